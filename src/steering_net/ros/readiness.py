# SPDX-License-Identifier: Apache-2.0
"""Readiness: a node publishes on a latched topic whether it is ready.

The node publishes `false` when it starts, and then each change. A node that has ended has no
publisher on the topic. The topic is latched, so that a later subscriber gets the value too.
"""

from collections.abc import Callable, Mapping

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from std_msgs.msg import Bool

from steering_net.ros.timers import steady_timer

LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Quality of service of a latched topic: a later subscriber gets the newest value."""

STARTING_PERIOD_S = 0.05
READY_PERIOD_S = 1.0
"""Longer, because a timer takes more processor time than a message."""


def set_check_period(timer: Timer, is_ready: bool) -> None:
    """Set the period of a timer that checks readiness: short until ready, then long."""
    period_ns = round(1e9 * (READY_PERIOD_S if is_ready else STARTING_PERIOD_S))
    if timer.timer_period_ns != period_ns:
        timer.timer_period_ns = period_ns


class Readiness:
    """Publishes std_msgs/Bool on topics: whether the condition of each topic is met."""

    def __init__(self, node: Node, conditions: Mapping[str, Callable[[], bool]]) -> None:
        """`conditions`: by topic, a function that is called periodically from now on.

        Create this before the publishers of commands, because a node that publishes commands but
        no readiness counts as ready.
        """
        self._conditions = dict(conditions)
        self._publishers = {
            topic: node.create_publisher(Bool, topic, LATCHED) for topic in conditions
        }
        self._published: dict[str, bool] = {}
        for topic in conditions:
            self._publish(topic, False)
        self._timer = steady_timer(node, STARTING_PERIOD_S, self._check)

    def _check(self) -> None:
        for topic, is_met in self._conditions.items():
            self._publish(topic, is_met())
        set_check_period(self._timer, all(self._published.values()))

    def _publish(self, topic: str, is_ready: bool) -> None:
        if self._published.get(topic) is not is_ready:
            self._published[topic] = is_ready
            self._publishers[topic].publish(Bool(data=is_ready))
