# SPDX-License-Identifier: Apache-2.0
"""Export of bags: as driving logs in the simulator's format, and as videos. No ROS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sim_bridge.recording.bag import Bag, check_car, stamp_ns
from sim_bridge.recording.frame_folder import ImageNames
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    PERSON_COMMAND,
    SPEED,
    STEERING_ANGLE,
    STEERING_COMMAND,
    THROTTLE,
)
from sim_bridge.visualization import overlay
from steering_net.data.driving_log import recorder_row
from steering_net.data.frame_files import LeftOut
from steering_net.errors import ImageError
from steering_net.vision.jpeg import decode_jpeg

_VIDEO_LONGEST_FRAME_S = 0.5


@dataclass(frozen=True)
class Frame:
    """One frame of a bag with the values at its time, SI, left positive; None if unknown.

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
        self._times_ns: list[int] = []
        self._values: list[float] = []

    def add(self, time_ns: int, value: float) -> None:
        self._times_ns.append(time_ns)
        self._values.append(value)

    def nearest(self, time_ns: int) -> float | None:
        """Return the value nearest in time: the bridge publishes all values of a frame at once."""
        if not self._times_ns:
            return None
        times = self._times_ns
        after = min(int(np.searchsorted(times, time_ns)), len(times) - 1)
        before = max(after - 1, 0)
        is_before = time_ns - times[before] < times[after] - time_ns
        return self._values[before if is_before else after]


def frames(bag: Bag) -> Iterator[Frame]:
    """Yield the frames of a bag, sorted by time of arrival.

    Raises BagError if there are no frames, or if a topic has another type than in `TOPICS`.
    """
    series = {STEERING_ANGLE: _Series(), SPEED: _Series(), THROTTLE: _Series()}
    by_network: dict[int, tuple[float, int]] = {}
    by_person: dict[int, tuple[float, int]] = {}
    commands = {STEERING_COMMAND: by_network, PERSON_COMMAND: by_person}
    topics = set()
    for record in bag:
        if record.is_of(COMPRESSED_FRAME):
            topics.add(record.topic)
        for name, of_stamp in commands.items():
            if record.is_of(name):
                stamp, commanded_rad = record.command()
                of_stamp[stamp] = commanded_rad, record.time_ns
        for name, values in series.items():
            if record.is_of(name):
                values.add(record.time_ns, record.number())
    check_car(bag, topics)
    for record in bag:
        if record.is_of(COMPRESSED_FRAME):
            image = record.frame()
            stamp = stamp_ns(image)
            network = by_network.get(stamp, (None, None))
            answered_rad, answered_ns = by_person.get(stamp, network)
            yield Frame(
                stamp_ns=stamp,
                jpeg=image.data.tobytes(),
                steering_rad=series[STEERING_ANGLE].nearest(record.time_ns),
                speed_mps=series[SPEED].nearest(record.time_ns),
                throttle=series[THROTTLE].nearest(record.time_ns),
                commanded_rad=answered_rad,
                latency_ms=_latency_ms(stamp, answered_ns),
                is_by_person=stamp in by_person,
            )


def _latency_ms(stamp: int, answered_ns: int | None) -> float | None:
    """Return the time from a frame to its command; None if they have no times of their own."""
    if answered_ns is None or answered_ns <= stamp:
        return None
    return 1e-6 * (answered_ns - stamp)


def export_log(bag: Bag, folder: Path) -> int:
    """Write driving_log.csv and IMG/ as the simulator's recorder does; return the number of rows.

    The columns of the side cameras are empty, because a bag has none. Raises BagError if the
    folder already holds a log, or if the bag has no steering.
    """
    log = folder / 'driving_log.csv'
    if log.exists():
        raise BagError(f'{log} already exists; name another folder')
    images = folder / 'IMG'
    if next(frames(bag)).steering_rad is None:
        raise BagError(
            f'{bag.path} holds no steering: a bag needs {STEERING_ANGLE}, a log a column steering'
        )
    images.mkdir(parents=True, exist_ok=True)
    partial = log.with_suffix('.part')
    names = ImageNames(images, 'center_')
    rows = 0
    with partial.open('w', encoding='utf-8', newline='') as file:
        for frame in frames(bag):
            path = names.unused(frame.stamp_ns)
            path.write_bytes(frame.jpeg)
            file.write(
                recorder_row(
                    str(path.resolve()),
                    frame.steering_rad or 0.0,
                    frame.throttle or 0.0,
                    frame.speed_mps or 0.0,
                )
            )
            rows += 1
    os.replace(partial, log)
    return rows


def export_video(
    bag: Bag, path: Path, limit_mps: float | None = None, rate_hz: float | None = None
) -> int:
    """Write an MP4 with overlays; return the number of frames.

    `rate_hz` is the frame rate; without it, it is the mean rate of the bag. Frames that cannot be
    decoded are left out with a warning. Raises BagError if none can, if OpenCV cannot write the
    file or if the folder does not exist.
    """
    if not path.absolute().parent.is_dir():
        raise BagError(f'{path}: there is no folder {path.absolute().parent}; create it')
    writer: cv2.VideoWriter | None = None
    written = 0
    left_out = LeftOut(str(bag.path))
    rate_hz = rate_hz or frame_rate_hz(bag)
    try:
        for frame in frames(bag):
            try:
                reading = reading_of(frame, limit_mps)
                drawing = overlay.draw(decode_jpeg(frame.jpeg), reading)
            except ImageError as error:
                left_out.add(str(frame.stamp_ns), error)
                continue
            height, width = drawing.shape[:2]
            writer = writer or open_video(path, rate_hz, (width, height))
            writer.write(cv2.cvtColor(drawing, cv2.COLOR_RGB2BGR))
            written += 1
    finally:
        if writer:
            writer.release()
    if not written:
        raise BagError(f'no frame of {bag.path} can be decoded{left_out.last_reason}')
    left_out.warn()
    return written


def reading_of(frame: Frame, limit_mps: float | None = None) -> overlay.Reading:
    """Return the values at a frame, as drawings and viewers show them."""
    return overlay.Reading(
        commanded_rad=frame.commanded_rad,
        recorded_rad=frame.steering_rad,
        speed_mps=frame.speed_mps,
        limit_mps=limit_mps,
        throttle=frame.throttle,
        latency_ms=frame.latency_ms,
    )


def frame_rate_hz(bag: Bag) -> float:
    """Return the mean frame rate, 1/s, without pauses."""
    stamps = np.array([frame.stamp_ns for frame in frames(bag)], np.float64) * 1e-9
    gaps = np.diff(stamps)
    gaps = gaps[(gaps > 0.0) & (gaps < _VIDEO_LONGEST_FRAME_S)]
    return float(1.0 / gaps.mean()) if len(gaps) else 20.0


def open_video(path: Path, rate_hz: float, size_px: tuple[int, int]) -> cv2.VideoWriter:
    """Create an MP4 of frames with this width and height; BagError if OpenCV cannot."""
    codec = cv2.VideoWriter.fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(path), codec, rate_hz, size_px)
    if not writer.isOpened():
        raise BagError(f'OpenCV cannot write {path}; install FFmpeg with MPEG-4')
    return writer
