# SPDX-License-Identifier: Apache-2.0
"""WantedLimit: what is asked for on `speed_limit` reaches the throttle node, also a new one."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.timer import Timer
from std_msgs.msg import Bool, Float32

from sim_bridge import topics
from sim_bridge.limits import MAX_SPEED_LIMIT_MPS
from steering_net.ros.qos import LATCHED, NEWEST
from steering_net.ros.timers import steady_timer

_TIMES = 4
_PERIOD_S = 0.1


class WantedLimit:
    """Repeats the newest valid speed limit of one car.

    It does so when it hears one, and when a throttle node has become ready; each time for 0.4 s,
    because DDS connects the subscriptions of two nodes at different moments.
    """

    def __init__(self, node: Node, prefix: str) -> None:
        """`prefix` begins the topics of the car."""
        self._node = node
        self._topic = prefix + topics.SPEED_LIMIT
        self._newest: Float32 | None = None
        self._repeated: Float32 | None = None
        self._publisher: Publisher | None = None
        self._timer: Timer | None = None
        self._left = 0
        node.create_subscription(Float32, self._topic, self._on_limit, NEWEST)
        node.create_subscription(Bool, prefix + topics.THROTTLE_READY, self._on_ready, LATCHED)

    def _on_limit(self, message: Float32) -> None:
        is_own = message == self._repeated  # It must not replace one that came after it.
        if is_own or not 0.0 <= message.data <= MAX_SPEED_LIMIT_MPS:
            return
        self._newest = message
        if self._publisher is None:
            self._publisher = self._node.create_publisher(Float32, self._topic, NEWEST)
        self._begin()

    def _on_ready(self, is_ready: Bool) -> None:
        if is_ready.data and self._newest is not None:
            self._begin()

    def _begin(self) -> None:
        self._left = _TIMES
        if self._timer is None:
            self._timer = steady_timer(self._node, _PERIOD_S, self._repeat)

    def _repeat(self) -> None:
        if self._publisher is not None:
            self._repeated = self._newest
            self._publisher.publish(self._newest)
        self._left -= 1
        if self._left <= 0 and self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
