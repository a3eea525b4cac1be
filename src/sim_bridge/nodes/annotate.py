# SPDX-License-Identifier: Apache-2.0
"""The annotate node: frames with the predicted path, steering, speed and latency drawn on them.

It subscribes to the drive only while its own topic has a subscription. It draws a frame when the
command of this frame comes, so that frame and command belong together. While a person or planner
drives, that is the command of `driver/command`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String

from sim_bridge import topics
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import Health, publish_health
from sim_bridge.nodes.reading_inputs import keep_newest
from sim_bridge.nodes.runner import run_viewer
from sim_bridge.recording.runs import latency_ms
from sim_bridge.session.arbiter import PERSONS
from sim_bridge.visualization import overlay
from steering_net.errors import ImageError
from steering_net.ros.parameters import Parameter, declare, on_change
from steering_net.ros.qos import LATCHED, NEWEST
from steering_net.ros.timers import steady_timer
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg

PARAMETERS = (
    Parameter('rate', 15.0, 'Largest rate of drawn frames, 1/s.', 1.0, 60.0, read_only=False),
)

_CHECK_PERIOD_S = 0.5
_JPEG_QUALITY = 95
_PERSONS = {driver.value for driver in PERSONS}


class AnnotateNode(Node):
    """Publishes `camera/image_annotated/compressed` while it has a subscription."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns monotonic seconds."""
        super().__init__('annotate')
        self._monotonic_s = clock
        self._change(declare(self, PARAMETERS))
        on_change(self, PARAMETERS, self._change)
        self._drawn_s = 0.0
        self._drawings = 0
        self._bad_frames = 0
        self._frame: CompressedImage | None = None
        self._person_drives = False
        self._values: dict[str, float] = {}
        self._subscriptions_of_drive: list[Subscription] = []
        self._publisher = self.create_publisher(CompressedImage, topics.ANNOTATED_FRAME, NEWEST)
        steady_timer(self, _CHECK_PERIOD_S, self._subscribe_on_demand)
        publish_health(self, conversions.ANNOTATE_STATUS, self._health)

    def _change(self, values: dict[str, Any]) -> None:
        self._period_s = 1.0 / values['rate']

    def _subscribe_on_demand(self) -> None:
        """Subscribe to the drive while the drawings have a subscription."""
        wanted = self._publisher.get_subscription_count() > 0
        if wanted and not self._subscriptions_of_drive:
            self._subscriptions_of_drive = self._subscribe()
        elif not wanted and self._subscriptions_of_drive:
            for subscription in self._subscriptions_of_drive:
                self.destroy_subscription(subscription)
            self._subscriptions_of_drive, self._frame = [], None

    def _subscribe(self) -> list[Subscription]:
        inputs: tuple[tuple[type, str, Callable[[Any], None], QoSProfile], ...] = (
            (CompressedImage, topics.COMPRESSED_FRAME, self._on_frame, NEWEST),
            (JointState, topics.STEERING_COMMAND, partial(self._on_command, False), NEWEST),
            (JointState, topics.PERSON_COMMAND, partial(self._on_command, True), NEWEST),
            (String, topics.DRIVER, self._on_driver, LATCHED),
        )
        return [
            *(self.create_subscription(*one) for one in inputs),
            *keep_newest(self, self._values),
        ]

    def _on_frame(self, message: CompressedImage) -> None:
        self._frame = message

    def _on_driver(self, message: String) -> None:
        self._person_drives = message.data in _PERSONS

    def _on_command(self, is_by_person: bool, message: JointState) -> None:
        frame, now_s = self._frame, self._monotonic_s()
        if frame is None or frame.header.stamp != message.header.stamp:
            return
        if is_by_person != self._person_drives or now_s - self._drawn_s < self._period_s:
            return
        self._drawn_s = now_s
        reading = overlay.Reading(
            commanded_rad=conversions.steering_of(message),
            latency_ms=latency_ms(
                conversions.stamp_ns(frame.header.stamp), self.get_clock().now().nanoseconds
            ),
            **self._values,
        )
        self._draw(frame, reading)

    def _draw(self, frame: CompressedImage, reading: overlay.Reading) -> None:
        try:
            drawing = overlay.draw(decode_jpeg(bytes(frame.data)), reading)
        except ImageError as error:
            self._bad_frames += 1
            self.get_logger().warning(f'frame: {error}', throttle_duration_sec=5.0)
            return
        self._drawings += 1
        jpeg = encode_jpeg(drawing, _JPEG_QUALITY)
        self._publisher.publish(conversions.compressed_image(frame.header, jpeg))

    def _health(self) -> Health:
        summary = 'drawing' if self._subscriptions_of_drive else 'no subscription'
        values = {'drawings': self._drawings, 'bad_frames': self._bad_frames}
        level = DiagnosticStatus.WARN if self._bad_frames else DiagnosticStatus.OK
        return level, summary, values


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run_viewer(AnnotateNode, args)
