"""The topics of one car: what its simulator says goes out, the commands for it come in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float32, Header

from sim_bridge.nodes import conversions
from sim_bridge.nodes.qos import LATCHED, NEWEST
from sim_bridge.nodes.readiness_monitor import Attendance
from sim_bridge.protocol.udacity import Telemetry
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.response_scheduler import State
from sim_bridge.web.live_stream import Live, Moment
from steering_net.errors import ImageError
from steering_net.statistics import RateMeter, percentiles_ms
from steering_net.vision.preprocessing import decode_jpeg, jpeg_size

Post = Callable[[Callable[[float], None]], None]
"""Has the server's thread call something, with the time then."""


@dataclass(frozen=True)
class Lens:
    """The camera of every car: frame_id of what is stamped, vertical field of view in rad."""

    frame_id: str
    vertical_fov_rad: float


class CarInterface:
    """Publishers and subscriptions of one car, its topics' names begin with `prefix`.

    Frames are taken on the server's thread; commands come on the executor's thread and are posted
    over.
    """

    def __init__(
        self, node: Node, prefix: str, *, seat: CarSession, lens: Lens, live: Live, post: Post
    ) -> None:
        self.seat = seat
        self.live = live
        self.speed_limit_mps: float | None = None
        self._node = node
        self._prefix = prefix
        self._frame_id = prefix + lens.frame_id
        self._vertical_fov_rad = lens.vertical_fov_rad
        self._post = post
        self._rate = RateMeter()
        self._is_attended = False
        seat.attend(time.monotonic(), self._is_attended)
        self._create_publishers()
        self._subscribe(JointState, 'cmd/steering', self._on_steering)
        self._subscribe(Float32, 'cmd/throttle', self._on_throttle)
        self._subscribe(Float32, 'speed_limit/active', self._on_speed_limit, LATCHED)
        self._attendance = Attendance(node, prefix, self.look)

    def _create_publishers(self) -> None:
        self._compressed = self._publisher(CompressedImage, 'camera/image_raw/compressed')
        self._raw = self._publisher(Image, 'camera/image_raw')
        self._info = self._publisher(CameraInfo, 'camera/camera_info')
        self._speed = self._publisher(Float32, 'vehicle/speed')
        self._angle = self._publisher(Float32, 'vehicle/steering_angle')
        self._throttle = self._publisher(Float32, 'vehicle/throttle')

    def _publisher(self, kind: type, topic: str) -> Any:
        return self._node.create_publisher(kind, self._prefix + topic, NEWEST)

    def _subscribe(
        self, kind: type, topic: str, callback: Callable[[Any], None], quality: QoSProfile = NEWEST
    ) -> None:
        self._node.create_subscription(kind, self._prefix + topic, callback, quality)

    # The server's thread.

    def take(self, frame: Telemetry, stamp: int) -> None:
        """Publish a frame, and show it while the network computes."""
        self._rate.tick(time.monotonic())
        self._publish(frame, stamp)
        self._show(frame)

    def _publish(self, frame: Telemetry, stamp: int) -> None:
        """What the network and the throttle wait for goes first."""
        head = conversions.header(stamp, self._frame_id)
        self._compressed.publish(conversions.compressed_image(head, frame.jpeg))
        self._speed.publish(conversions.float_message(frame.speed_mps))
        self._angle.publish(conversions.float_message(frame.steering_rad))
        self._throttle.publish(conversions.float_message(frame.throttle))
        try:
            self._publish_for_viewers(frame.jpeg, head)
        except ImageError as error:
            self._node.get_logger().warning(f'frame: {error}', throttle_duration_sec=5.0)

    def _publish_for_viewers(self, jpeg: bytes, head: Header) -> None:
        if self._info.get_subscription_count():
            size = jpeg_size(jpeg)
            self._info.publish(conversions.camera_info(head, *size, self._vertical_fov_rad))
        if self._raw.get_subscription_count():
            self._raw.publish(conversions.raw_image(head, decode_jpeg(jpeg)))

    def _show(self, frame: Telemetry) -> None:
        """Keep for the page what is new."""
        if self.live.keep(frame.jpeg):
            latencies_s = self.seat.latencies_s
            command = self.seat.last_command
            self.live.add(
                Moment(
                    at_s=time.monotonic(),
                    recorded_rad=frame.steering_rad,
                    commanded_rad=command.steering_rad,
                    speed_mps=frame.speed_mps,
                    limit_mps=self.speed_limit_mps,
                    throttle=command.throttle,
                    latency_ms=1e3 * latencies_s[-1] if latencies_s else None,
                )
            )

    # The executor's thread.

    def _on_steering(self, message: JointState) -> None:
        stamp = conversions.stamp_ns(message.header.stamp)
        steering_rad = conversions.steering_of(message)
        if steering_rad is not None:
            self._post(lambda now: self.seat.steering(now, stamp, steering_rad))

    def _on_throttle(self, message: Float32) -> None:
        throttle = float(message.data)
        self._post(lambda now: self.seat.throttle(now, throttle))

    def _on_speed_limit(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self.speed_limit_mps = float(message.data)

    @property
    def is_attended(self) -> bool:
        """Whether the nodes that the car cannot be driven without are there."""
        return self._is_attended

    def look(self) -> None:
        """Look which nodes are there, and tell the seat if that changed."""
        self._attendance.look()
        is_attended = not self._attendance.reasons
        if is_attended != self._is_attended:
            self._is_attended = is_attended
            self._post(lambda now: self.seat.attend(now, is_attended))

    # Either thread.

    def status(self) -> dict[str, Any]:
        """What this car does, as /state.json and diagnostics show it."""
        seat, command = self.seat, self.seat.last_command
        reason = ', '.join(self._attendance.reasons)
        is_unreadable = seat.state is State.UNREADABLE
        return {
            'ready': not reason,
            'state': seat.state_line,
            'reason': reason,
            'trouble': seat.state_line if is_unreadable else reason,
            'nodes': self._attendance.nodes,
            'telemetry_hz': round(self._rate.hz(time.monotonic()), 1),
            'speed_mps': round(seat.speed_mps, 3),
            'speed_limit_mps': self.speed_limit_mps,
            'commanded_rad': round(command.steering_rad, 5),
            'throttle': round(command.throttle, 4),
            'latency_ms': percentiles_ms(tuple(seat.latencies_s)),
            'last_bad_packet': seat.last_error,
            **vars(seat.counters),
        }
