# SPDX-License-Identifier: Apache-2.0
"""SteeringNode: camera frames in, steering angles out, each with the stamp of its frame.

One node steers any number of cars, or several nodes share them (`shared_cars`). Each car has a
queue of one frame. While the network runs, a newer frame replaces the waiting one, so the newest
frame is next. Cars are served in turn.

All callbacks run on one thread. The network is loaded and warmed up before the subscriptions
exist, so no frame waits for it. Another network, named by parameter, is loaded on a second thread
and replaces the current one between two frames.
"""

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float32, Header

from steering_net.cars import MAX_CARS, prefixes
from steering_net.errors import ImageError
from steering_net.inference.hot_reload import Loader, Request, check
from steering_net.inference.output_monitor import Level, OutputMonitor
from steering_net.inference.predictor import (
    BACKENDS,
    BatchPredictor,
    PredictionError,
    Predictor,
    load_predictor,
)
from steering_net.ros.car_topics import CarTopics
from steering_net.ros.image_message import to_rgb
from steering_net.ros.monitor import PARAMETER as MONITOR
from steering_net.ros.monitor import Monitor
from steering_net.ros.network_swap import NetworkSwap
from steering_net.ros.parameters import Parameter, declare, on_change
from steering_net.ros.readiness import Readiness
from steering_net.ros.runner import run
from steering_net.ros.shared_cars import SHARED, SharedCars
from steering_net.ros.timers import steady_timer
from steering_net.vehicle import MAX_STEERING_RAD
from steering_net.vision.camera_model import CAMERAS, Rgb
from steering_net.vision.camera_names import AS_TRAINED, AUTONOMOUS
from steering_net.vision.frame_size import SizeNotice
from steering_net.vision.jpeg import decode_jpeg

START_ERRORS = (ValueError,)
"""Exceptions of `SteeringNode()` for a parameter or a network that cannot be used."""

TOPICS = {'compressed': 'camera/image_raw/compressed', 'raw': 'camera/image_raw'}
_WARNING_PERIOD_S = 5.0
_DIAGNOSTICS_PERIOD_S = 1.0
_LEVELS = {
    Level.OK: DiagnosticStatus.OK,
    Level.WARN: DiagnosticStatus.WARN,
    Level.ERROR: DiagnosticStatus.ERROR,
}

PARAMETERS = (
    Parameter(
        'max_steering_rad',
        round(MAX_STEERING_RAD, 8),
        'Largest steering angle sent, rad.',
        0.01,
        1.5,
    ),
    Parameter(
        'image_transport', 'compressed', 'Kind of the image messages.', choices=tuple(TOPICS)
    ),
    Parameter('cars', 1, 'Number of cars; the same as that of the bridge.', 1, MAX_CARS),
    Parameter('model', 'default', 'File or folder of a network, or `default`.', read_only=False),
    Parameter('backend', 'litert', 'Library that runs the network.', choices=BACKENDS),
    Parameter(
        'profile',
        '',
        'Preprocessing profile; empty: that of the model; `search`.',
        read_only=False,
    ),
    Parameter('threads', 1, 'Number of threads of the network.', 1, 16),
    Parameter(
        'camera',
        AUTONOMOUS,
        f'Camera that takes the frames: {", ".join(CAMERAS)} or a pose. Frames are turned to the '
        f'camera that the network was trained with; {AS_TRAINED}: they are not turned.',
    ),
    MONITOR,
    SHARED,
)


class SteeringNode(Node):
    """Publishes `cmd/steering` and `steering` for every frame, and `diagnostics` each second.

    Raises ValueError (ParameterError and ModelError among them) for a parameter or a model that
    cannot be used.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: time in s, for latencies and diagnostics."""
        super().__init__('steering')
        self._now_s = clock
        values = declare(self, PARAMETERS)
        self._max_steering_rad: float = values['max_steering_rad']
        self._count: int = values['cars']
        cars = prefixes(self._count)
        self._monitor = Monitor(self, values['monitor'])
        self._monitor.check(values['model'])
        self._drive_with(self._load(values), values['model'])
        self._outputs = OutputMonitor(self._max_steering_rad, clock)
        self._size_notice = SizeNotice('the simulator', self.get_logger().warning)
        self._command = JointState(name=['steering'], position=[0.0])
        self._angle = Float32()
        self._bridge = CvBridge()
        self._readiness = Readiness(self)
        self._cars: dict[str, CarTopics] = {}
        self._diagnostics = {
            prefix: self.create_publisher(DiagnosticArray, f'{prefix}diagnostics', 1)
            for prefix in sorted({'', *cars})
        }
        self._swap = self._swap_of(values)
        steady_timer(self, _DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        on_change(self, PARAMETERS, self._swap.change)
        self._transport: str = values['image_transport']
        self._read = self._read_jpeg if self._transport == 'compressed' else self._read_image
        self._sharing: SharedCars | None = None
        if values['shared']:
            self._sharing = SharedCars(self, cars, self._cars, self._begin, self._cease, clock)
        else:
            for prefix in cars:
                self._begin(prefix)

    def _begin(self, prefix: str) -> None:
        """Steer the car whose topics begin with `prefix`."""
        is_alone = self._sharing is None
        car = self._cars[prefix] = CarTopics(self, prefix, self._readiness, is_alone=is_alone)
        self._monitor.begin(prefix)
        kind = CompressedImage if self._transport == 'compressed' else Image
        car.subscribe(kind, TOPICS[self._transport], partial(self._on_frame, car))

    def _cease(self, prefix: str) -> None:
        """Leave a car to another node."""
        self._monitor.cease(prefix)
        self._cars.pop(prefix).close()

    def _load(self, values: dict[str, Any]) -> Predictor:
        model, profile = values['model'], values['profile']
        backend, threads, camera = values['backend'], values['threads'], values['camera']
        # On frames this small OpenCV's own threads cost more time than they save.
        cv2.setNumThreads(1)
        predictor = load_predictor(model, backend, profile or None, threads, camera=camera)
        self.get_logger().info(
            f'{_described(predictor)}, {predictor.backend}, {threads} thread(s), '
            f'camera {predictor.view}'
        )
        return predictor

    def _swap_of(self, values: dict[str, Any]) -> NetworkSwap:
        driving = Request(values['model'], values['profile'])
        loader = Loader(values['backend'], values['threads'], values['camera'])
        return NetworkSwap(self, driving, loader, self._check, self._take_over)

    def _check(self, request: Request) -> None:
        check(request)
        self._monitor.check(request.model)

    def _drive_with(self, predictor: Predictor, model: str) -> None:
        self._monitor.watch(model, predictor)
        self._predictor = predictor
        self._batches: BatchPredictor | None = None
        # In a batch there is no newest frame that the network could see again.
        is_single = self._count == 1 or self._monitor.is_watching
        if not is_single and isinstance(predictor, BatchPredictor):
            self._batches = predictor

    def _read_jpeg(self, message: CompressedImage) -> tuple[Rgb, object]:
        """Return the frame and its bytes, by which the monitor tells frames apart."""
        jpeg = bytes(message.data)
        rgb = decode_jpeg(jpeg)
        self._size_notice.look(rgb)
        return rgb, jpeg

    def _read_image(self, message: Image) -> tuple[Rgb, object]:
        rgb = to_rgb(message, self._bridge)
        self._size_notice.look(rgb)
        return rgb, message.data

    def _on_frame(self, car: CarTopics, message: CompressedImage | Image) -> None:
        if self._cars.get(car.prefix) is not car:
            return  # In one process the bridge may hand over a frame of a car that was just left.
        if self._batches is not None:
            self._steer_all(self._batches, [(car, message), *self._waiting(car)])
            return
        started = self._now_s()
        try:
            rgb, frame = self._read(message)
            steering_rad = self._predictor.predict(rgb)
        except ImageError as error:
            self._drop(error)
        except PredictionError as error:
            self._drop(error)
            self._judge(car, message.header, 0.0)
        else:
            self._steer(car, steering_rad, message.header, frame, started)
            self._judge(car, message.header, steering_rad)

    def _judge(self, car: CarTopics, header: Header, steering_rad: float) -> None:
        """Let the monitor judge the newest frame, after its command was sent."""
        now_s = _seconds(header)
        self._monitor.add(car.prefix, steering_rad, now_s, self._outputs.is_faulty)

    def _waiting(self, besides: CarTopics) -> Iterator[tuple[CarTopics, CompressedImage | Image]]:
        """The waiting frames of the other cars."""
        for car in self._cars.values():
            message = None if car is besides else car.take()
            if message is not None:
                yield car, message

    def _steer_all(
        self, predictor: BatchPredictor, waiting: list[tuple[CarTopics, CompressedImage | Image]]
    ) -> None:
        """Steer several cars by one run of the network."""
        started = self._now_s()
        good = []
        for car, message in waiting:
            try:
                good.append((car, message.header, *self._read(message)))
            except ImageError as error:
                self._drop(error)
        answers = predictor.predict_batch([rgb for _, _, rgb, _ in good])
        for (car, header, _, frame), answer in zip(good, answers, strict=True):
            if isinstance(answer, float):
                self._steer(car, answer, header, frame, started)
            else:
                self._drop(answer)

    def _steer(
        self, car: CarTopics, steering_rad: float, header: Header, frame: object, started: float
    ) -> None:
        limit = self._max_steering_rad
        steering_rad = max(-limit, min(limit, steering_rad))
        # publish() serialises before it returns, so one message serves for every frame.
        self._command.header = header
        self._command.position[0] = steering_rad
        car.commands.publish(self._command)
        self._angle.data = steering_rad
        car.angles.publish(self._angle)
        self._outputs.add(steering_rad, (self._now_s() - started) * 1e3, frame)

    def _drop(self, error: ImageError | PredictionError) -> None:
        if isinstance(error, ImageError):
            self._outputs.bad_frame(str(error))
        else:
            self._outputs.bad_output()
        self.get_logger().warning(
            f'frame dropped: {error}', throttle_duration_sec=_WARNING_PERIOD_S
        )

    def _take_over(self, request: Request, predictor: Predictor) -> None:
        """Let another network drive from now on."""
        self._monitor.check(request.model)
        self._drive_with(predictor, request.model)
        self.get_logger().info(
            f'{_described(predictor)} drives from now on, camera {predictor.view}'
        )
        self._outputs.forget()

    def _publish_diagnostics(self) -> None:
        self._monitor.tell()
        level, summary, values = self._outputs.take(_DIAGNOSTICS_PERIOD_S)
        if level is not Level.OK:
            self.get_logger().warning(summary, throttle_duration_sec=_WARNING_PERIOD_S)
        if self._monitor.trouble and level is Level.OK:
            level, summary = Level.WARN, self._monitor.trouble
        if self._swap.refused and level is Level.OK:
            level, summary = Level.WARN, f'the new network was refused: {self._swap.refused}'
        predictor = self._predictor
        values |= {
            'model': predictor.name,
            'model_sha256': predictor.sha256,
            'backend': predictor.backend,
            'profile': predictor.profile.name,
            'camera': str(predictor.view),
            'loading': self._swap.loading,
            'refused': self._swap.refused,
            **self._monitor.values(),
        }
        if self._sharing is not None:
            values |= self._sharing.values()
        array = self._diagnostic(level, summary, values)
        for prefix in {'', *self._cars}:
            self._diagnostics[prefix].publish(array)

    def _diagnostic(self, level: Level, summary: str, values: dict[str, str]) -> DiagnosticArray:
        status = DiagnosticStatus(
            level=_LEVELS[level],
            name=f'{self.get_fully_qualified_name().lstrip("/")}: network',
            message=summary,
            hardware_id='steering',
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        stamp = self.get_clock().now().to_msg()
        return DiagnosticArray(header=Header(stamp=stamp), status=[status])


def _seconds(header: Header) -> float:
    return float(header.stamp.sec) + 1e-9 * header.stamp.nanosec


def _described(predictor: Predictor) -> str:
    return f'{predictor.name} ({predictor.sha256[:12]}), profile {predictor.profile.name}'


def main(args: list[str] | None = None) -> int:
    """Run the node until it is asked to end; return 0, or 2 after an unusable parameter."""
    return run(SteeringNode, args=args, program='steering', refused=START_ERRORS)


if __name__ == '__main__':
    sys.exit(main())
