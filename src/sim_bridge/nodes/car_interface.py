# SPDX-License-Identifier: Apache-2.0
"""Publishes the telemetry of one car and receives the commands for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float32, Header

from sim_bridge import topics
from sim_bridge.control.kinematics import base_link_twist
from sim_bridge.limits import is_speed_limit
from sim_bridge.nodes import conversions
from sim_bridge.nodes.driver_topics import DriverTopics, JoyLayout
from sim_bridge.nodes.raw_image import raw_image
from sim_bridge.nodes.readiness_monitor import ReadinessMonitor
from sim_bridge.nodes.server_call import ServerCall
from sim_bridge.nodes.state_topics import StateTopics
from sim_bridge.protocol.types import Telemetry
from sim_bridge.session.arbiter import PERSONS
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.web.live_stream import LiveFeed, Moment
from steering_net.errors import ImageError
from steering_net.ros.direct_publisher import DirectPublisher
from steering_net.ros.qos import EVERY, LATCHED, NEWEST
from steering_net.statistics import RateMeter, percentiles_ms
from steering_net.vision.jpeg import decode_jpeg, jpeg_size

_UNCERTAINTY_S = 1.0
"""Age from which an uncertainty does not count any more."""

_LOCK_STEP_REFUSED = (
    'command_timeout is 0 (lock-step), but the world of this simulator runs on while it waits; '
    f'{AnswerTimeouts.command_timeout_s:g} s is used. The embedded simulator waits with --fast'
)
_RESET_IGNORED = 'the simulator has not carried out the newest reset; it is driven on'


@dataclass(frozen=True)
class Camera:
    """The camera of every car: frame_id of stamped data, vertical field of view in rad."""

    frame_id: str
    vertical_fov_rad: float


class CarInterface:
    """Publishers and subscriptions of one car, whose topics begin with `prefix`.

    Frames come on the server's thread. Commands come on the executor's thread and are passed on to
    the car's session with `call_soon`.
    """

    def __init__(
        self,
        node: Node,
        prefix: str,
        session: CarSession,
        camera: Camera,
        feed: LiveFeed,
        *,
        joy: JoyLayout,
        call_soon: ServerCall,
        clock: Callable[[], float],
    ) -> None:
        self.speed_limit_mps: float | None = None
        self._uncertainty = 0.0
        self._uncertainty_s = -math.inf
        self.newest_truth: str | None = None
        self.newest_stamp_ns = 0
        self._node = node
        self.prefix = prefix
        self._session = session
        self._feed = feed
        frames = topics.frame_prefix(node.get_namespace()) + prefix
        self._frame_id = frames + camera.frame_id
        self._base_frame = frames + topics.BASE_FRAME
        self.map_frame = frames + topics.MAP_FRAME
        self._vertical_fov_rad = camera.vertical_fov_rad
        self._call_soon = call_soon
        self._clock = clock
        self._rate = RateMeter()
        self._is_ready = False
        self._has_planner = False
        session.set_nodes_ready(clock(), False)
        self._create_publishers()
        self._state_topics = StateTopics(
            node, prefix, session, map_frame=self.map_frame, base_frame=self._base_frame
        )
        self._subscribe(JointState, topics.STEERING_COMMAND, self._on_steering)
        self._subscribe(Float32, topics.THROTTLE_COMMAND, self._on_throttle)
        self._subscribe(Float32, topics.ACTIVE_SPEED_LIMIT, self._on_speed_limit, LATCHED)
        self._subscribe(Float32, topics.SPEED_LIMIT, self._on_wanted_limit)
        self._subscribe(Float32, topics.UNCERTAINTY, self._on_uncertainty)
        self._drivers = DriverTopics(node, prefix, session, joy=joy, call_soon=call_soon)
        self._monitor = ReadinessMonitor(node, prefix, self.update_readiness)

    def _create_publishers(self) -> None:
        self._compressed = self._direct_publisher(CompressedImage, topics.COMPRESSED_FRAME)
        self._raw = self._publisher(Image, topics.RAW_FRAME)
        self._twist = self._publisher(TwistStamped, topics.TWIST, EVERY)
        self._info = self._publisher(CameraInfo, topics.CAMERA_INFO)
        self._wanted_limit = self._publisher(Float32, topics.WANTED_SPEED_LIMIT, LATCHED)
        self._values = {
            field: self._direct_publisher(Float32, topic)
            for topic, field in topics.TELEMETRY_FIELDS.items()
        }

    def _publisher(self, kind: type, topic: str, quality: QoSProfile = NEWEST) -> Any:
        return self._node.create_publisher(kind, self.prefix + topic, quality)

    def _direct_publisher(self, kind: type, topic: str) -> Any:
        return self._node.create_publisher(
            kind, self.prefix + topic, NEWEST, publisher_class=DirectPublisher
        )

    def _subscribe(
        self, kind: type, topic: str, callback: Callable[[Any], None], quality: QoSProfile = NEWEST
    ) -> None:
        self._node.create_subscription(kind, self.prefix + topic, callback, quality)

    # Called on the server's thread.

    def publish(self, now_s: float, frame: Telemetry, stamp_ns: int) -> None:
        """Publish a frame, then show it on the page while the network computes."""
        self._rate.tick(now_s)
        if self._session.lock_step_refused:
            self._node.get_logger().warning(_LOCK_STEP_REFUSED, once=True)
        if self._session.reset_ignored:
            self._node.get_logger().warning(_RESET_IGNORED, throttle_duration_sec=60.0)
        self.newest_truth, self.newest_stamp_ns = frame.truth, stamp_ns
        self._publish(frame, stamp_ns)
        if self._feed.keep(frame.jpeg):
            self._feed.add(self._moment(now_s, frame))

    def _publish(self, frame: Telemetry, stamp_ns: int) -> None:
        """Publish a frame: first the inputs of the nodes, then the rest."""
        head = conversions.header(stamp_ns, self._frame_id)
        self._compressed.publish(conversions.compressed_image(head, frame.jpeg))
        for field, publisher in self._values.items():
            publisher.publish(conversions.float_message(getattr(frame, field)))
        if self._twist.get_subscription_count():
            self._publish_twist(frame, stamp_ns)
        self._state_topics.publish(frame, stamp_ns)
        try:
            self._publish_for_viewers(frame.jpeg, head)
        except ImageError as error:
            self._node.get_logger().warning(f'frame: {error}', throttle_duration_sec=5.0)

    def _publish_twist(self, frame: Telemetry, stamp_ns: int) -> None:
        speeds = base_link_twist(self._session.signed_speed_mps, frame.steering_rad)
        head = conversions.header(stamp_ns, self._base_frame)
        self._twist.publish(conversions.twist(head, *speeds))

    def _publish_for_viewers(self, jpeg: bytes, head: Header) -> None:
        if self._info.get_subscription_count():
            size = jpeg_size(jpeg)
            self._info.publish(conversions.camera_info(head, *size, self._vertical_fov_rad))
        if self._raw.get_subscription_count():
            self._raw.publish(raw_image(head, decode_jpeg(jpeg)))

    def _moment(self, now_s: float, frame: Telemetry) -> Moment:
        """Return the values for the plots of the page."""
        latency_s = self._session.latency_s
        command = self._session.last_command
        return Moment(
            at_s=now_s,
            recorded_rad=frame.steering_rad,
            commanded_rad=command.steering_rad,
            speed_mps=frame.speed_mps,
            limit_mps=self.speed_limit_mps,
            throttle=command.throttle,
            latency_ms=None if latency_s is None else 1e3 * latency_s,
            driver=self._session.driver.value,
        )

    # Called on the executor's thread.

    def _on_steering(self, message: JointState) -> None:
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        steering_rad = conversions.steering_of(message)
        if steering_rad is not None:
            self._call_soon(lambda now_s: self._session.steering(now_s, stamp_ns, steering_rad))

    def _on_throttle(self, message: Float32) -> None:
        throttle = float(message.data)
        self._call_soon(lambda now_s: self._session.throttle(now_s, throttle))

    def _on_speed_limit(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self.speed_limit_mps = float(message.data)

    def _on_wanted_limit(self, message: Float32) -> None:
        """Keep a limit for a throttle node that is started again, or has not heard it."""
        if is_speed_limit(message.data):
            self._wanted_limit.publish(message)

    def _on_uncertainty(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self._uncertainty, self._uncertainty_s = float(message.data), self._clock()

    @property
    def is_ready(self) -> bool:
        """Whether the nodes that driving needs are ready, or a planner can drive."""
        return self._is_ready or self._has_planner

    def update_readiness(self) -> None:
        """Find out which nodes are ready, and pass a change on to the session."""
        self._monitor.update()
        self._has_planner = self._drivers.has_planner
        is_ready = not self._monitor.reasons
        if is_ready != self._is_ready:
            self._is_ready = is_ready
            self._call_soon(lambda now_s: self._session.set_nodes_ready(now_s, is_ready))

    # Called on either thread.

    @property
    def has_client(self) -> bool:
        """Whether a simulator drives this car."""
        return self._session.client is not None

    def status(self) -> dict[str, Any]:
        """State of this car, for /state.json and diagnostics."""
        session, command = self._session, self._session.last_command
        is_driven = session.driver in PERSONS
        reason = '' if is_driven else ', '.join(self._monitor.reasons)
        missing = '' if self._has_planner else reason
        for is_so, told in (
            (session.lock_step_refused, _LOCK_STEP_REFUSED),
            (session.reset_ignored, _RESET_IGNORED),
        ):
            reason = ', '.join(filter(None, (reason, told if is_so else '')))
        is_unreadable = session.state is State.UNREADABLE
        return {
            'ready': not missing,
            'state': session.state_line,
            'driver': session.driver.value,
            'held': session.is_held,
            'reason': reason,
            'trouble': session.state_line if is_unreadable else missing,
            'nodes': self._monitor.nodes,
            'telemetry_hz': round(self._rate.hz(self._clock()), 1),
            'speed_mps': round(session.speed_mps, 3),
            'speed_limit_mps': self.speed_limit_mps,
            'uncertainty': self._newest_uncertainty(),
            'commanded_rad': round(command.steering_rad, 5),
            'throttle': round(command.throttle, 4),
            'latency_ms': percentiles_ms(tuple(session.latencies_s)),
            'last_bad_packet': session.last_error,
            **vars(session.counters),
        }

    def _newest_uncertainty(self) -> float | None:
        """Return how unsure the network is, 0..1; None if it is not measured."""
        is_new = self._clock() - self._uncertainty_s < _UNCERTAINTY_S
        return round(self._uncertainty, 3) if is_new else None
