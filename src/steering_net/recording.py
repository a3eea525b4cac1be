"""A recorded drive: frames in order, and what was known at each of them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steering_net.dataset import (
    Log,
    LogError,
    Series,
    find_image,
    read_log,
    smooth,
    smoothed_steering_rad,
)
from steering_net.preprocess import ImageError, Rgb, decode_jpeg

_LOG = logging.getLogger(__name__)
LOG_NAMES = ('driving_log.csv', 'frames.csv')
_RECORDER_PERIOD_S = 0.1


@dataclass(frozen=True)
class Recording:
    """Series of equal length n >= 1, in the order of recording: float64, SI, left positive.

    `target_rad` is what a network should answer: the steering itself where it is smooth, its
    centred one-second mean where it was keyed. `load(i)` returns frame i's JPEG bytes or raises
    ImageError.
    """

    name: str
    times_s: Series
    steering_rad: Series
    target_rad: Series
    speed_mps: Series
    frame_names: Sequence[str]
    load: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.times_s)

    def frame(self, index: int) -> Rgb:
        """Return frame `index`, uint8 (H, W, 3) RGB; ImageError if it is missing or broken."""
        return decode_jpeg(self.load(index))


def read_folder(path: Path) -> Recording:
    """Read a log, or a folder that holds one of LOG_NAMES; bad rows are reported as warnings."""
    log = read_log(find_log(path))
    for bad in log.bad_rows:
        _LOG.warning('%s line %d left out: %s', log.path, bad.line, bad.reason)
    return from_log(log)


def no_speed(recording: Recording) -> LogError:
    """Return the error for a recording that needs speeds and has none."""
    return LogError(
        f'{recording.name} holds no speed: record vehicle/speed, '
        'or give the log a column speed (mph)'
    )


def find_log(path: Path) -> Path:
    """Return the log in a folder, or `path` if it is no folder; LogError where there is none."""
    if not path.is_dir():
        return path
    for name in LOG_NAMES:
        if (path / name).is_file():
            return path / name
    raise LogError(f'{path} holds neither {" nor ".join(LOG_NAMES)}')


def from_log(log: Log) -> Recording:
    """Return a log's centre camera as a recording; rows without a time are 0.1 s apart."""
    rows, root = log.rows, log.path.parent
    steering_rad = np.array([row.steering_rad for row in rows])
    if any(row.timestamp_s is None for row in rows):
        _LOG.warning('%s: not all of its rows have a time: taken to be 0.1 s apart', log.path)
        times_s = np.arange(len(rows), dtype=np.float64) * _RECORDER_PERIOD_S
        target_rad = smooth(times_s, steering_rad)
    else:
        times_s = np.array([row.timestamp_s for row in rows], np.float64)
        target_rad = smoothed_steering_rad(rows)
    names = [row.center for row in rows]

    def load(index: int) -> bytes:
        path = find_image(names[index], root)
        try:
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f'cannot read {path}: {error.strerror}') from error

    speed_mps = np.array([row.speed_mps for row in rows])
    return Recording(str(log.path), times_s, steering_rad, target_rad, speed_mps, names, load)
