# SPDX-License-Identifier: Apache-2.0
"""Frames of a bag, each with the values at its time. No ROS."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from sim_bridge.recording.bag import Bag, Record, UnusableError, check_car, stamp_ns
from sim_bridge.recording.runs import Runs, latency_ms
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    PERSON_COMMAND,
    SPEED,
    STEERING_ANGLE,
    STEERING_COMMAND,
    THROTTLE,
)
from sim_bridge.visualization.overlay import Reading
from steering_net.data.driving_log import LARGEST_SPEED_MPS
from steering_net.data.frame_files import LeftOut
from steering_net.data.trajectory import frame_rate_hz
from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb
from steering_net.vision.frame_size import as_frame
from steering_net.vision.jpeg import decode_jpeg

_LOG = logging.getLogger(__name__)
_USUAL_RATE_HZ = 20.0
_time_of = itemgetter(0)


@dataclass(frozen=True)
class Frame:
    """One frame of a bag with the values at its time, SI, left positive; None if unknown.

    stamp_ns: stamp on a rising time line: see `Runs` for a recording in which stamps go back.
    is_by_person: the command is that of a person or planner, which drove in place of the network.
    """

    stamp_ns: int
    jpeg: bytes
    steering_rad: float | None
    speed_mps: float | None
    throttle: float | None
    commanded_rad: float | None
    latency_ms: float | None
    is_by_person: bool = False


class _Series:
    """Values of a topic without stamps, which are found by their time of arrival."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []

    def __len__(self) -> int:
        return len(self._points)

    def add(self, time_ns: int, value: float) -> None:
        """Append a value; `sort` follows the last one."""
        self._points.append((time_ns, value))

    def sort(self) -> None:
        """Sort the values by time, as `nearest` needs them."""
        self._points.sort(key=_time_of)

    def nearest(self, time_ns: int) -> float | None:
        """Return the value nearest in time: the bridge publishes all values of a frame at once."""
        points = self._points
        if not points:
            return None
        after = min(bisect_left(points, time_ns, key=_time_of), len(points) - 1)
        before = max(after - 1, 0)
        is_before = time_ns - points[before][0] < points[after][0] - time_ns
        return points[before if is_before else after][1]


class Frames:
    """The frames of a bag, sorted by time of arrival. Each iteration reads the bag once.

    The constructor reads the bag once, too: it keeps stamps, commands and values, but no images.
    """

    def __init__(self, bag: Bag) -> None:
        """Read the values; messages without a usable number are left out with a warning.

        Raises BagError if there are no frames, or if a topic has another type than in TOPICS.
        """
        self._bag = bag
        self._stamps_ns: list[int] = []
        self._series = {STEERING_ANGLE: _Series(), SPEED: _Series(), THROTTLE: _Series()}
        # Steering, rad, and time of receipt, ns, by the number of a run and the stamp of a frame.
        self._by_network: dict[tuple[int, int], tuple[float, int]] = {}
        self._by_person: dict[tuple[int, int], tuple[float, int]] = {}
        topics = set()
        runs = Runs()
        unusable: list[UnusableError] = []
        for record in bag:
            if record.is_of(COMPRESSED_FRAME):
                topics.add(record.topic)
                self._stamps_ns.append(runs.add(stamp_ns(record.frame())))
            try:
                self._keep_values(record, runs.number)
            except UnusableError as error:
                unusable.append(error)
        for values in self._series.values():
            values.sort()
        check_car(bag, topics)
        warn_of_unusable(bag, unusable)

    def _keep_values(self, record: Record, run: int) -> None:
        commands = {STEERING_COMMAND: self._by_network, PERSON_COMMAND: self._by_person}
        for name, of_frame in commands.items():
            if record.is_of(name):
                stamp, commanded_rad = record.command()
                of_frame[run, stamp] = commanded_rad, record.time_ns
        for name, values in self._series.items():
            if record.is_of(name):
                value = record.number()
                if name == SPEED and abs(value) > LARGEST_SPEED_MPS:
                    raise UnusableError(
                        f'{record.topic} has the value {value:g}; '
                        f'it must be at most {LARGEST_SPEED_MPS:.1f} m/s'
                    )
                values.add(record.time_ns, value)

    def __iter__(self) -> Iterator[Frame]:
        runs = Runs()
        for record in self._bag:
            if record.is_of(COMPRESSED_FRAME):
                image = record.frame()
                stamp = stamp_ns(image)
                placed_ns = runs.add(stamp)
                key = runs.number, stamp
                network = self._by_network.get(key, (None, None))
                answered_rad, answered_ns = self._by_person.get(key, network)
                yield Frame(
                    stamp_ns=placed_ns,
                    jpeg=image.data.tobytes(),
                    steering_rad=self._series[STEERING_ANGLE].nearest(record.time_ns),
                    speed_mps=self._series[SPEED].nearest(record.time_ns),
                    throttle=self._series[THROTTLE].nearest(record.time_ns),
                    commanded_rad=answered_rad,
                    latency_ms=latency_ms(stamp, answered_ns),
                    is_by_person=key in self._by_person,
                )

    def decoded(self) -> Iterator[tuple[Frame, Rgb]]:
        """Yield each frame with its image, uint8 (160, 320, 3) RGB.

        Frames that cannot be decoded are left out with a warning. Raises BagError if none can.
        """
        left_out = LeftOut(str(self._bag.path))
        is_any_decoded = False
        for frame in self:
            try:
                rgb = as_frame(decode_jpeg(frame.jpeg))
            except ImageError as error:
                left_out.add(str(frame.stamp_ns), error)
                continue
            is_any_decoded = True
            yield frame, rgb
        if not is_any_decoded:
            raise BagError(f'no frame of {self._bag.path} can be decoded{left_out.last_reason}')
        left_out.warn()

    @property
    def rate_hz(self) -> float:
        """Mean rate of the frames, as `frame_rate_hz` returns it; 20 if that is None."""
        return frame_rate_hz(np.array(self._stamps_ns, np.float64) * 1e-9) or _USUAL_RATE_HZ

    def check_steering(self) -> None:
        """Raise BagError unless the bag has the angle of the wheels."""
        if not self._series[STEERING_ANGLE]:
            raise BagError(
                f'{self._bag.path} holds no steering: a bag needs {STEERING_ANGLE}, '
                'a log a column steering'
            )


def warn_of_unusable(bag: Bag, errors: Sequence[UnusableError]) -> None:
    """Log one warning for the messages of a bag that were left out, if there are any."""
    if errors:
        count = f'; {len(errors)} messages in all' if len(errors) > 1 else ''
        _LOG.warning('%s: left out: %s%s', bag.path, errors[0], count)


def reading_of(frame: Frame, limit_mps: float | None = None) -> Reading:
    """Return the values at a frame, as drawings and viewers show them."""
    return Reading(
        commanded_rad=frame.commanded_rad,
        recorded_rad=frame.steering_rad,
        speed_mps=frame.speed_mps,
        limit_mps=limit_mps,
        throttle=frame.throttle,
        latency_ms=frame.latency_ms,
    )
