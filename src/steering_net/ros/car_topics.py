# SPDX-License-Identifier: Apache-2.0
"""CarTopics: the topics of one car in the steering node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from steering_net.ros.direct_publisher import DirectPublisher
from steering_net.ros.executor import QuickExecutor
from steering_net.ros.qos import NEWEST
from steering_net.ros.readiness import Readiness


class CarTopics:
    """The topics of one car, which begin with `prefix`: frames come in, steering goes out."""

    def __init__(self, node: Node, prefix: str, readiness: Readiness, *, is_alone: bool) -> None:
        """is_alone: no other node may steer this car, see `Readiness.add`."""
        self.prefix = prefix
        self._node = node
        self._readiness = readiness
        self._readiness.add(self._ready_topic, self.is_matched, is_alone=is_alone)
        self.commands = self._publisher(JointState, 'cmd/steering')
        self.angles = self._publisher(Float32, 'steering')
        self._frames: Any = None

    def _publisher(self, kind: type, topic: str) -> Any:
        return self._node.create_publisher(
            kind, self.prefix + topic, NEWEST, publisher_class=DirectPublisher
        )

    @property
    def _ready_topic(self) -> str:
        return f'{self.prefix}ready/steering'

    def subscribe(self, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        """Call `callback` with each frame from now on."""
        self._frames = self._node.create_subscription(kind, self.prefix + topic, callback, NEWEST)

    def is_matched(self) -> bool:
        """Whether frames are published and the commands have a subscriber."""
        if self._frames is None:
            return False
        frames = self._node.count_publishers(self._frames.topic_name)
        return bool(frames > 0 and self.commands.get_subscription_count() > 0)

    def take(self) -> Any:
        """Take the waiting frame; None if there is none, or with rclpy's own executor."""
        executor = self._node.executor
        return executor.take(self._frames) if isinstance(executor, QuickExecutor) else None

    def close(self) -> None:
        """Destroy the topics; a frame that the bridge hands over just now may still come."""
        self.take()
        self._node.destroy_subscription(self._frames)
        self._node.destroy_publisher(self.commands)
        self._node.destroy_publisher(self.angles)
        self._readiness.remove(self._ready_topic)
