# SPDX-License-Identifier: Apache-2.0
"""The checker node: gets the answer of a steering node to each frame of a bag."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, JointState

from sim_bridge import topics
from sim_bridge.nodes import conversions
from steering_net.ros.qos import NEWEST
from steering_net.ros.readiness import has_publisher

_START_S = 60.0
_ANSWER_S = 0.5
_TRIES = 3


class NoAnswerError(RuntimeError):
    """The steering node publishes no commands."""


class CheckerNode(Node):
    """Publishes one frame at a time and waits for its command, so that no frame is missed."""

    def __init__(self, namespace: str) -> None:
        super().__init__('checker', namespace=namespace)
        self._frames = self.create_publisher(CompressedImage, topics.COMPRESSED_FRAME, NEWEST)
        self._received: tuple[int, float | None] = (-1, None)
        self.create_subscription(JointState, topics.STEERING_COMMAND, self._on_command, NEWEST)

    def wait_for_steering(self, keep_going: Callable[[], bool]) -> None:
        """Wait for the steering node. Raises NoAnswerError if it does not start."""
        deadline_s = time.monotonic() + _START_S
        while not (
            self._frames.get_subscription_count() and has_publisher(self, topics.STEERING_COMMAND)
        ):
            if time.monotonic() > deadline_s or not keep_going():
                raise NoAnswerError('the steering node did not start')
            rclpy.spin_once(self, timeout_sec=0.05)

    def steering_rad(self, frame_cdr: bytes, stamp_ns: int) -> float | None:
        """Return the steering for a frame, rad; None if the node does not answer it."""
        for _ in range(_TRIES):
            # DDS refuses a message at times ("cannot publish data") and takes the next one.
            with contextlib.suppress(RuntimeError):
                self._frames.publish(frame_cdr)
            deadline_s = time.monotonic() + _ANSWER_S
            while time.monotonic() < deadline_s:
                rclpy.spin_once(self, timeout_sec=0.05)
                if self._received[0] == stamp_ns:
                    return self._received[1]
        return None

    def _on_command(self, message: JointState) -> None:
        self._received = (
            conversions.stamp_ns(message.header.stamp),
            conversions.steering_of(message),
        )
