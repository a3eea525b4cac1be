# SPDX-License-Identifier: Apache-2.0
"""LogSource: a driving log, or a folder of frames without one, as the source of a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rosbags.interfaces import Qos

from sim_bridge.recording.bag import command_cdr, frame_cdr, number_cdr
from sim_bridge.recording.storage import Remark, Stored
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    SPEED,
    STEERING_ANGLE,
    STEERING_COMMAND,
    THROTTLE,
    TOPICS,
)
from steering_net.data.driving_log import RECORDER_PERIOD_S, Log, LogError, name_time, read_log
from steering_net.data.frame_files import images_in, read_jpeg
from steering_net.data.recording import find_log, from_log, warn_of_bad_rows
from steering_net.errors import ImageError

_LONGEST_PAUSE_S = 5.0
_LATEST_S = 2.0**31 - 1.0
"""Latest stamp of a message, in 2038."""


class _Shot(NamedTuple):
    """A frame and the values at its time, SI, left positive; None if unknown."""

    time_s: float
    load: Callable[[], bytes]
    steering_rad: float | None = None
    speed_mps: float | None = None
    throttle: float | None = None


class LogSource:
    """A log whose messages are those that a bag of the same drive holds.

    The steering of a row stands both for the angle of the wheels and for the command. A folder of
    frames without a log has only frames. Pauses are shortened to 5 s, because a log may hold the
    drives of several days. Times begin at 0 if a stamp cannot hold them. `steering_unit` is one of
    STEERING_UNITS or empty.
    """

    def __init__(self, path: Path, steering_unit: str = '') -> None:
        """Raise LogError if there are neither a log nor frames."""
        self.path = path
        self._missing: list[ImageError] = []
        try:
            log_path = find_log(path)
        except LogError:
            names = images_in(path)
            if not names:
                raise
            shots: Iterable[_Shot] = _of_frames(path, names)
        else:
            log = read_log(log_path, steering_unit)
            warn_of_bad_rows(log)
            shots = _of_log(log)
        self._shots = sorted(shots, key=lambda shot: shot.time_s)

    def offers(self) -> dict[str, list[Qos]]:
        """Return no offers, because a log has none."""
        return {}

    def messages(self) -> Iterator[Stored]:
        """Yield the messages; those of a row whose image is missing are left out."""
        self._missing.clear()
        # A bag has stamps from 1970 to 2038, and no two frames with one time.
        last_s, stamp = self._shots[0].time_s, -1
        latest_s = _LATEST_S - _LONGEST_PAUSE_S * len(self._shots)
        time_s = last_s if 0.0 <= last_s <= latest_s else 0.0
        for shot in self._shots:
            time_s += min(shot.time_s - last_s, _LONGEST_PAUSE_S)
            last_s, stamp = shot.time_s, max(stamp + 1, round(time_s * 1e6) * 1000)
            try:
                jpeg = shot.load()
            except ImageError as error:
                self._missing.append(error)
                continue
            yield _message(COMPRESSED_FRAME, stamp, frame_cdr(stamp, jpeg))
            for topic, value in (
                (STEERING_ANGLE, shot.steering_rad),
                (SPEED, shot.speed_mps),
                (THROTTLE, shot.throttle),
            ):
                if value is not None:
                    yield _message(topic, stamp, number_cdr(value))
            if shot.steering_rad is not None:
                yield _message(STEERING_COMMAND, stamp, command_cdr(stamp, shot.steering_rad))

    @property
    def remark(self) -> Remark | None:
        """Number of images that were missing when the messages were read, or None."""
        if not self._missing:
            return None
        return Remark(f'lacks {len(self._missing)} images', str(self._missing[0]))


def _message(topic: str, stamp_ns: int, cdr: bytes) -> Stored:
    return Stored(f'/{topic}', TOPICS[topic].type, stamp_ns, cdr)


def _of_log(log: Log) -> Iterator[_Shot]:
    recording = from_log(log)
    has_speed = bool(recording.speed_mps.any())
    for index, row in enumerate(log.rows):
        yield _Shot(
            float(recording.times_s[index]),
            partial(recording.load, index),
            row.steering_rad,
            row.speed_mps if has_speed else None,
            row.throttle - row.brake,
        )


def _of_frames(folder: Path, names: Sequence[str]) -> list[_Shot]:
    times_s = [name_time(name) for name in names]
    if None in times_s:
        times_s = [index * RECORDER_PERIOD_S for index in range(len(names))]
    return [
        _Shot(time_s, partial(read_jpeg, name, folder))
        for name, time_s in zip(names, times_s, strict=True)
        if time_s is not None
    ]
