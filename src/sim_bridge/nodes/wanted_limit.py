# SPDX-License-Identifier: Apache-2.0
"""WantedLimit: a throttle node that is started again gets the speed limit that was asked for."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.timer import Timer
from std_msgs.msg import Bool, Float32

from sim_bridge import topics
from steering_net.ros.qos import LATCHED, NEWEST
from steering_net.ros.timers import steady_timer

_TIMES = 10
_PERIOD_S = 0.05


class WantedLimit:
    """The newest message on `speed_limit` of one car."""

    def __init__(self, node: Node, prefix: str) -> None:
        """`prefix` begins the topics of the car."""
        self._node = node
        self._topic = prefix + topics.SPEED_LIMIT
        self._newest: Float32 | None = None
        self._publisher: Publisher | None = None
        self._timer: Timer | None = None
        self._left = 0
        node.create_subscription(Float32, self._topic, self._keep, NEWEST)
        node.create_subscription(Bool, prefix + topics.THROTTLE_READY, self._repeat, LATCHED)

    def _repeat(self, is_ready: Bool) -> None:
        """Publish it for half a second once a throttle node is ready.

        DDS may connect the subscription of that node a moment later.
        """
        self._left = _TIMES
        if is_ready.data and self._newest is not None and self._timer is None:
            self._timer = steady_timer(self._node, _PERIOD_S, self._publish)

    def _keep(self, message: Float32) -> None:
        self._newest = message
        if self._publisher is None:
            self._publisher = self._node.create_publisher(Float32, self._topic, NEWEST)

    def _publish(self) -> None:
        if self._publisher is not None:
            self._publisher.publish(self._newest)
        self._left -= 1
        if self._left <= 0 and self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
