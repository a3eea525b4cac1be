# SPDX-License-Identifier: Apache-2.0
"""Readiness: a node publishes on a latched topic whether it is ready.

The node publishes `false` when it starts, and then each change. Nodes that share a topic publish
only `true`, because the `false` of one would hide the `true` of another. A node that has ended has
no publisher on the topic. The topic is latched, so that a later subscriber gets the value too.
"""

from collections.abc import Callable

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.timer import Timer
from std_msgs.msg import Bool

from steering_net.ros.qos import LATCHED
from steering_net.ros.timers import steady_timer

STARTING_PERIOD_S = 0.05
READY_PERIOD_S = 1.0
"""Longer, because a timer takes more processor time than a message."""


def has_publisher(node: Node, topic: str) -> bool:
    """Whether any node publishes the topic that `node` calls `topic`, also after a remapping."""
    return bool(node.count_publishers(node.resolve_topic_name(topic)))


def set_check_period(timer: Timer, is_ready: bool) -> None:
    """Set the period of a timer that checks readiness: short until ready, then long."""
    period_ns = round(1e9 * (READY_PERIOD_S if is_ready else STARTING_PERIOD_S))
    if timer.timer_period_ns != period_ns:
        timer.timer_period_ns = period_ns
        timer.reset()  # Otherwise the old period would pass first.


class Readiness:
    """Publishes std_msgs/Bool on topics: whether the condition of each topic is met."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._conditions: dict[str, Callable[[], bool]] = {}
        self._publishers: dict[str, Publisher] = {}
        self._published: dict[str, bool] = {}
        self._alone: set[str] = set()
        self._timer = steady_timer(node, STARTING_PERIOD_S, self._check)

    def add(self, topic: str, is_met: Callable[[], bool], *, is_alone: bool = True) -> None:
        """Publish `false`, and from now on whether the condition is met.

        is_alone: no other node publishes on the topic. Otherwise only `true` is published.

        Call this before the publishers of commands are created, because a node that publishes
        commands but no readiness counts as ready.
        """
        self._conditions[topic] = is_met
        self._publishers[topic] = self._node.create_publisher(Bool, topic, LATCHED)
        self._published[topic] = False
        if is_alone:
            self._alone.add(topic)
            self._publishers[topic].publish(Bool(data=False))
        set_check_period(self._timer, False)

    def remove(self, topic: str) -> None:
        """Publish no more on this topic, as a node that has ended."""
        del self._conditions[topic], self._published[topic]
        self._alone.discard(topic)
        self._node.destroy_publisher(self._publishers.pop(topic))

    def _check(self) -> None:
        for topic, is_met in self._conditions.items():
            is_ready = is_met()
            if self._published[topic] is not is_ready:
                self._published[topic] = is_ready
                if is_ready or topic in self._alone:
                    self._publishers[topic].publish(Bool(data=is_ready))
        set_check_period(self._timer, all(self._published.values()))
