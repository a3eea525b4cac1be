"""The steering node: camera frames in, steering angles out, each with its frame's own stamp.

One thread does everything. The network is loaded and warmed up before the subscription exists,
so a frame never waits for it; with a queue of one, what comes while the network runs replaces
what waits, and the newest frame is always the next.
"""

import contextlib
import gc
import os
import signal
import sys
import time
from array import array
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import rclpy
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float32, Header

from steering_net.executor import QuickExecutor
from steering_net.predictor import BACKENDS, PredictionError, Predictor, load_predictor
from steering_net.preprocess import ImageError, Rgb, decode_jpeg

PARENT_PID_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Names the process that started the node, without which the node has no reason to live."""

TRANSPORTS = ('compressed', 'raw')
_QUEUE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_WARNING_PERIOD_S = 5.0
_DIAGNOSTICS_PERIOD_S = 1.0
_PARENT_CHECK_PERIOD_S = 1.0
_BYTES_PER_PIXEL = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
# A second of a moving car whose steering does not move at all is worth a word.
_CONSTANT_SPAN_RAD = 1e-6
_CONSTANT_FRAMES = 10

_T = TypeVar('_T')


class SteeringNode(Node):
    """Publishes `cmd/steering` and `steering` for every frame, and `diagnostics` each second.

    Raises ValueError (ModelError among them) for a parameter or a model that cannot be used.
    """

    def __init__(self) -> None:
        super().__init__('steering')
        self._max_steering_rad = self._parameter(
            'max_steering_rad', 0.43633231, 'Largest steering angle sent, rad.', 0.01, 1.5
        )
        transport = self._parameter(
            'image_transport', 'compressed', f'How frames come: {" or ".join(TRANSPORTS)}.'
        )
        if transport not in TRANSPORTS:
            raise ValueError(f'image_transport must be one of {", ".join(TRANSPORTS)}')
        self._predictor = self._load()
        self._statistics = Statistics()
        self._command = JointState(name=['steering'], position=[0.0])
        self._angle = Float32()
        self._bridge = CvBridge()
        self._commands = self.create_publisher(JointState, 'cmd/steering', _QUEUE)
        self._angles = self.create_publisher(Float32, 'steering', _QUEUE)
        self._diagnostics = self.create_publisher(DiagnosticArray, 'diagnostics', 1)
        self._start_timers()
        # Everything made so far lives as long as the node: the collector need not look at it.
        gc.collect()
        gc.freeze()
        if transport == 'compressed':
            topic, message, callback = (
                'camera/image_raw/compressed',
                CompressedImage,
                self._on_jpeg,
            )
        else:
            topic, message, callback = 'camera/image_raw', Image, self._on_image
        self.create_subscription(message, topic, callback, _QUEUE)

    def _load(self) -> Predictor:
        model = self._parameter('model', 'default', 'A .keras, .h5 or .tflite file, or `default`.')
        backend = self._parameter('backend', 'litert', f'One of {", ".join(BACKENDS)}.')
        profile = self._parameter(
            'profile', '', 'Preprocessing profile; empty: as the model says.'
        )
        threads = self._parameter('threads', 1, 'Threads of the network.', 1, 16)
        # On frames this small OpenCV's own threads cost more than they bring.
        cv2.setNumThreads(1)
        predictor = load_predictor(model, backend, profile or None, threads)
        self.get_logger().info(
            f'{predictor.name} ({predictor.sha256[:12]}), profile {predictor.profile.name}, '
            f'{predictor.backend}, {threads} thread(s)'
        )
        return predictor

    def _parameter(
        self, name: str, default: _T, description: str, low: Any = None, high: Any = None
    ) -> _T:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        if isinstance(default, int):
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        elif isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        value: _T = self.declare_parameter(name, default, descriptor).value
        return value

    def _start_timers(self) -> None:
        self.create_timer(_DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        parent = os.environ.get(PARENT_PID_VARIABLE, '')
        if parent.isdecimal():
            self._parent_pid = parent
            self.create_timer(_PARENT_CHECK_PERIOD_S, self._end_with_parent)

    def _on_jpeg(self, message: CompressedImage) -> None:
        started = time.perf_counter()
        try:
            rgb = decode_jpeg(bytes(message.data))
            steering_rad = self._predictor.predict(rgb)
        except (ImageError, PredictionError) as error:
            self._drop(error)
        else:
            self._steer(steering_rad, message.header, started)

    def _on_image(self, message: Image) -> None:
        started = time.perf_counter()
        try:
            rgb = to_rgb(message, self._bridge)
            steering_rad = self._predictor.predict(rgb)
        except (ImageError, PredictionError) as error:
            self._drop(error)
        else:
            self._steer(steering_rad, message.header, started)

    def _steer(self, steering_rad: float, header: Header, started: float) -> None:
        limit = self._max_steering_rad
        steering_rad = max(-limit, min(limit, steering_rad))
        # publish() serialises before it returns, so one message serves for every frame.
        self._command.header = header
        self._command.position[0] = steering_rad
        self._commands.publish(self._command)
        self._angle.data = steering_rad
        self._angles.publish(self._angle)
        self._statistics.add(steering_rad, (time.perf_counter() - started) * 1e3)

    def _drop(self, error: ImageError | PredictionError) -> None:
        if isinstance(error, ImageError):
            self._statistics.bad_frames += 1
        else:
            self._statistics.bad_outputs += 1
        self.get_logger().warning(
            f'frame dropped: {error}', throttle_duration_sec=_WARNING_PERIOD_S
        )

    def _publish_diagnostics(self) -> None:
        level, summary, values = self._statistics.take(_DIAGNOSTICS_PERIOD_S)
        predictor = self._predictor
        values |= {
            'model': predictor.name,
            'model sha256': predictor.sha256,
            'backend': predictor.backend,
            'profile': predictor.profile.name,
        }
        self._diagnostics.publish(self._diagnostic(level, summary, values))

    def _diagnostic(self, level: bytes, summary: str, values: dict[str, str]) -> DiagnosticArray:
        status = DiagnosticStatus(
            level=level,
            name=f'{self.get_fully_qualified_name().lstrip("/")}: network',
            message=summary,
            hardware_id='steering',
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        stamp = self.get_clock().now().to_msg()
        return DiagnosticArray(header=Header(stamp=stamp), status=[status])

    def _end_with_parent(self) -> None:
        if not _lives(self._parent_pid):
            self.get_logger().warning('the process that started this node is gone: ending too')
            raise ExternalShutdownException


class Statistics:
    """What happened to the frames: totals since the start, times and angles since last taken."""

    def __init__(self) -> None:
        self.bad_frames = 0
        self.bad_outputs = 0
        self._frames = 0
        self._milliseconds: list[float] = []
        self._angles_rad: list[float] = []

    def add(self, steering_rad: float, milliseconds: float) -> None:
        """Count a frame that was answered, and the time from its arrival to its answer."""
        self._frames += 1
        self._angles_rad.append(steering_rad)
        self._milliseconds.append(milliseconds)

    def take(self, period_s: float) -> tuple[bytes, str, dict[str, str]]:
        """Return a diagnostic level, a summary and the values of the last `period_s`."""
        times, angles = self._milliseconds, self._angles_rad
        self._milliseconds, self._angles_rad = [], []
        values = {
            'frames': str(self._frames),
            'rate (Hz)': f'{len(times) / period_s:.1f}',
            'answer p50 (ms)': f'{np.median(times):.3f}' if times else '',
            'answer max (ms)': f'{max(times):.3f}' if times else '',
            'undecodable frames': str(self.bad_frames),
            'non-finite outputs': str(self.bad_outputs),
        }
        if self.bad_outputs:
            return DiagnosticStatus.ERROR, 'the network put out what is no number', values
        if len(angles) >= _CONSTANT_FRAMES and max(angles) - min(angles) < _CONSTANT_SPAN_RAD:
            return DiagnosticStatus.WARN, 'the steering does not depend on the frames', values
        if self.bad_frames:
            return DiagnosticStatus.WARN, 'some frames could not be decoded', values
        return DiagnosticStatus.OK, 'steering' if times else 'no frames', values


def _lives(pid: str) -> bool:
    """Whether a process runs. One that has ended stays listed until somebody asks for its end."""
    try:
        stat = Path('/proc', pid, 'stat').read_text(encoding='ascii', errors='replace')
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(')')[2].split()[0] not in 'ZX'


def to_rgb(message: Image, bridge: CvBridge) -> Rgb:
    """Return an Image as uint8 (H, W, 3) RGB; ImageError if it is no such picture."""
    pixel = _BYTES_PER_PIXEL.get(message.encoding)
    if pixel is None:
        raise ImageError(f'image encoding {message.encoding!r} is not supported')
    width = message.width * pixel
    if message.step < width or len(message.data) != message.step * message.height or not width:
        raise ImageError(f'the image data does not fit its size, {len(message.data)} bytes')
    if message.step > width:
        # No cv_bridge gets padded rows right.
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        message.data, message.step = array('B', rows[:, :width].tobytes()), width
    rgb: Rgb = bridge.imgmsg_to_cv2(message, 'rgb8')
    return rgb


def main(args: list[str] | None = None) -> int:
    """Run the node until it is asked to end: 0, or 2 with one line for what cannot be used."""
    rclpy.init(args=args)
    node = None
    try:
        node = SteeringNode()
        QuickExecutor(node).spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ParameterException, ValueError) as error:
        print(f'steering: {error}', file=sys.stderr)
        return 2
    except RuntimeError:
        # A signal that comes while the network is loaded ends ROS under the node's feet.
        if rclpy.ok():
            raise
    finally:
        # A process group without a terminal gets SIGINT twice; the second must not hurt.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            with contextlib.suppress(KeyboardInterrupt):
                node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
