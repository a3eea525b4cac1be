"""The bridge node: telemetry from the simulator's socket becomes topics, commands go back.

Two threads. The server's thread takes telemetry in, publishes it, and owns the sessions with
their tokens and deadlines. The executor's thread receives commands and posts them over. Nothing
is shared but that queue; diagnostics read counters, which only the server's thread writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float32, Header

from sim_bridge import messages
from sim_bridge.meters import RateMeter, percentiles_ms
from sim_bridge.nodes.parameters import Parameter, ParameterError, declare
from sim_bridge.nodes.qos import NEWEST
from sim_bridge.nodes.running import run
from sim_bridge.pairing import Limits, State
from sim_bridge.protocol import Telemetry
from sim_bridge.server import SimulatorServer, sleep
from sim_bridge.sessions import Sessions
from sim_bridge.web import create_app
from sim_bridge.web.live import Live, Moment
from steering_net.preprocess import ImageError, decode_jpeg, jpeg_size

PARAMETERS = (
    Parameter('host', '127.0.0.1', 'Address to listen on; other than loopback opens the bridge.'),
    Parameter('port', 4567, 'TCP port to listen on; the simulator knows only 4567.', 0, 65535),
    Parameter('command_timeout', 0.1, 'Longest wait for the commands of a frame, s.', 0.01, 1.0),
    Parameter('stop_timeout', 0.5, 'Time without fresh commands before braking, s.', 0.05, 5.0),
    Parameter('frame_id', 'camera_optical_frame', 'Frame of images and of everything stamped.'),
    Parameter('vertical_fov', 1.0472, 'Vertical field of view of the camera, rad.', 0.1, 3.0),
)


class BridgeNode(Node):
    """Publishes what the simulator says, and answers it with the commands that come."""

    def __init__(self) -> None:
        super().__init__('bridge')
        self._serving = False
        values = declare(self, PARAMETERS)
        limits = _limits(values)
        self._frame_id: str = values['frame_id']
        self._vertical_fov_rad: float = values['vertical_fov']
        self._last_stamp_ns = 0
        self._telemetry_rate = RateMeter()
        self._create_publishers()
        self._network = ''
        self._speed_limit_mps: float | None = None
        self._live = Live(self.status, clock=time.monotonic, sleep=sleep)
        self._server = SimulatorServer(
            host=values['host'],
            port=values['port'],
            pages=create_app(self.status, self._live),
        )
        self._sessions = Sessions(limits, self._server.send)
        self.create_subscription(JointState, 'cmd/steering', self._on_steering, NEWEST)
        self.create_subscription(Float32, 'cmd/throttle', self._on_throttle, NEWEST)
        self.create_subscription(DiagnosticArray, 'diagnostics', self._on_diagnostics, 10)
        self.create_timer(1.0, self._publish_diagnostics)
        self._server.start(self)
        self._serving = True
        self.get_logger().info(f'listening on {values["host"]}:{self._server.port}')
        if not self._server.is_local:
            self.get_logger().warning(
                f'host {values["host"]}: everybody on the network can watch and drive; '
                'host 127.0.0.1 keeps them out'
            )

    def _create_publishers(self) -> None:
        self._compressed = self.create_publisher(
            CompressedImage, 'camera/image_raw/compressed', NEWEST
        )
        self._raw = self.create_publisher(Image, 'camera/image_raw', NEWEST)
        self._info = self.create_publisher(CameraInfo, 'camera/camera_info', NEWEST)
        self._speed = self.create_publisher(Float32, 'vehicle/speed', NEWEST)
        self._angle = self.create_publisher(Float32, 'vehicle/steering_angle', NEWEST)
        self._throttle = self.create_publisher(Float32, 'vehicle/throttle', NEWEST)
        self._diagnostics = self.create_publisher(DiagnosticArray, 'diagnostics', 10)

    # The server's thread.

    def connected(self, sid: str, *, is_simulator: bool) -> None:
        """A client connected."""
        self._sessions.connected(time.monotonic(), sid, is_simulator=is_simulator)
        self._wake()

    def disconnected(self, sid: str) -> None:
        """A client is gone."""
        self._sessions.disconnected(time.monotonic(), sid)
        self._wake()

    def telemetry(self, sid: str, payload: object) -> None:
        """A client sent a frame: publish it and wait for its commands."""
        stamp = self._next_stamp_ns()
        frame = self._sessions.telemetry(time.monotonic(), sid, payload, stamp)
        if frame is not None:
            self._telemetry_rate.tick(time.monotonic())
            self._publish(frame, stamp)
            self._show(frame)
        self._wake()

    def _show(self, frame: Telemetry) -> None:
        """Keep for the page what is new, while the network computes."""
        if self._live.keep(frame.jpeg):
            latencies_s = self._sessions.latencies_s
            command = self._sessions.last_command
            self._live.add(
                Moment(
                    at_s=time.monotonic(),
                    recorded_rad=frame.steering_rad,
                    commanded_rad=command.steering_rad,
                    speed_mps=frame.speed_mps,
                    limit_mps=self._speed_limit_mps,
                    throttle=command.throttle,
                    latency_ms=1e3 * latencies_s[-1] if latencies_s else None,
                )
            )

    def woken(self) -> None:
        """A deadline may have passed."""
        self._sessions.expire(time.monotonic())
        self._wake()

    def _wake(self) -> None:
        self._server.wake_at(self._sessions.next_deadline())

    def _next_stamp_ns(self) -> int:
        """Receipt time, made unique, for the stamp is what pairs commands with frames."""
        now_ns = self.get_clock().now().nanoseconds
        self._last_stamp_ns = max(now_ns, self._last_stamp_ns + 1)
        return self._last_stamp_ns

    def _publish(self, frame: Telemetry, stamp: int) -> None:
        """What the network and the throttle wait for goes first."""
        head = messages.header(stamp, self._frame_id)
        self._compressed.publish(messages.compressed_image(head, frame.jpeg))
        self._speed.publish(messages.float_message(frame.speed_mps))
        self._angle.publish(messages.float_message(frame.steering_rad))
        self._throttle.publish(messages.float_message(frame.throttle))
        try:
            self._publish_for_viewers(frame.jpeg, head)
        except ImageError as error:
            self.get_logger().warning(f'frame: {error}', throttle_duration_sec=5.0)

    def _publish_for_viewers(self, jpeg: bytes, head: Header) -> None:
        if self._info.get_subscription_count():
            size = jpeg_size(jpeg)
            self._info.publish(messages.camera_info(head, *size, self._vertical_fov_rad))
        if self._raw.get_subscription_count():
            self._raw.publish(messages.raw_image(head, decode_jpeg(jpeg)))

    # The executor's thread.

    def _on_steering(self, message: JointState) -> None:
        stamp = messages.stamp_ns(message.header.stamp)
        steering_rad = messages.steering_of(message)
        if steering_rad is not None:
            self._post(lambda now: self._sessions.steering(now, stamp, steering_rad))

    def _on_throttle(self, message: Float32) -> None:
        throttle = float(message.data)
        self._post(lambda now: self._sessions.throttle(now, throttle))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep what the other nodes say of themselves, for the page."""
        self._network = messages.network_of(message) or self._network
        limit_mps = messages.speed_limit_mps(message)
        self._speed_limit_mps = self._speed_limit_mps if limit_mps is None else limit_mps

    def _post(self, deliver: Callable[[float], None]) -> None:
        self._server.post(lambda: self._deliver(deliver))

    def _deliver(self, deliver: Callable[[float], None]) -> None:
        deliver(time.monotonic())
        self._wake()

    def _missing(self) -> list[str]:
        """What is not there of somebody to steer and somebody to hold the speed."""
        present = {
            'nobody takes the frames': self._frame_readers(),
            'nobody takes vehicle/speed': self._speed.get_subscription_count(),
            'nobody publishes cmd/steering': self.count_publishers('cmd/steering'),
            'nobody publishes cmd/throttle': self.count_publishers('cmd/throttle'),
        }
        return [reason for reason, count in present.items() if not count]

    def _frame_readers(self) -> int:
        readers = self._compressed.get_subscription_count() + self._raw.get_subscription_count()
        return int(readers)

    def status(self) -> dict[str, Any]:
        """What the bridge is doing, as /state.json and diagnostics show it."""
        now = time.monotonic()
        state = self._sessions.state
        missing = self._missing()
        command = self._sessions.last_command
        return {
            'ready': not missing,
            'state': state.value if state else 'no simulator connected',
            'reason': ', '.join(missing),
            'frame_readers': self._frame_readers(),
            'simulators': self._sessions.simulators,
            'telemetry_hz': round(self._telemetry_rate.hz(now), 1),
            'speed_mps': round(self._sessions.speed_mps, 3),
            'speed_limit_mps': self._speed_limit_mps,
            'commanded_rad': round(command.steering_rad, 5),
            'throttle': round(command.throttle, 4),
            'network': self._network,
            'latency_ms': percentiles_ms(tuple(self._sessions.latencies_s)),
            'last_bad_packet': self._sessions.last_error,
            **vars(self._sessions.counters),
            **self._server.refusals,
        }

    def _publish_diagnostics(self) -> None:
        status = self.status()
        stamp = self.get_clock().now().to_msg()
        level = _LEVELS.get(self._sessions.state, DiagnosticStatus.OK)
        self._diagnostics.publish(
            messages.diagnostics(stamp, messages.BRIDGE_STATUS, level, status['state'], status)
        )

    def destroy_node(self) -> None:
        """Halt the car, then end."""
        if self._serving:
            self._server.stop(self._sessions.farewell)
        super().destroy_node()


_LEVELS = {
    None: DiagnosticStatus.WARN,
    State.DEGRADED: DiagnosticStatus.WARN,
    State.STOPPED: DiagnosticStatus.ERROR,
}


def _limits(values: Mapping[str, Any]) -> Limits:
    try:
        return Limits(
            command_timeout_s=values['command_timeout'], stop_timeout_s=values['stop_timeout']
        )
    except ValueError as error:
        raise ParameterError(str(error)) from error


def main(args: list[str] | None = None) -> int:
    """Run the node; the exit code."""
    return run(BridgeNode, args)
