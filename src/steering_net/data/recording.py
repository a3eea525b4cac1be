# SPDX-License-Identifier: Apache-2.0
"""Recording: the frames of a drive in order, each with time, steering and speed."""

import functools
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steering_net.data.driving_log import (
    RECORDER_PERIOD_S,
    Log,
    LogError,
    Series,
    name_time,
    read_log,
    troubles,
)
from steering_net.data.frame_files import base_name, images_in, read_jpeg
from steering_net.data.steering_smoothing import smooth, smoothed_steering_rad
from steering_net.vision.camera_model import Rgb, find_camera
from steering_net.vision.camera_names import AUTONOMOUS, TRAINING
from steering_net.vision.frame_size import SizeNotice
from steering_net.vision.jpeg import decode_jpeg

_LOG = logging.getLogger(__name__)
LOG_NAMES = ('driving_log.csv', 'frames.csv')
LOG_SUFFIXES = ('.csv', '.tsv', '.txt')
_TIME_ALONE = re.compile(r'[\d_]+')


@dataclass(frozen=True)
class Recording:
    """Series of equal length n >= 1, in the order of recording: float64, SI, left positive.

    `target_rad` is the steering that a network should output: the recorded steering where it is
    smooth, its centred one-second mean where it came from a keyboard. `load(i)` returns frame i's
    JPEG bytes or raises ImageError. `camera` is the camera of the frames, as `find_camera` takes
    it, and `camera_reason` tells people how it is known. `times_to_train` is how often a training
    uses each frame, int (n,); None means once.
    """

    name: str
    times_s: Series
    steering_rad: Series
    target_rad: Series
    speed_mps: Series
    frame_names: Sequence[str]
    load: Callable[[int], bytes]
    camera: str = TRAINING
    camera_reason: str = ''
    times_to_train: NDArray[np.int64] | None = None
    _notice: SizeNotice = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown camera."""
        find_camera(self.camera)
        object.__setattr__(self, '_notice', SizeNotice(self.name))

    def __len__(self) -> int:
        return len(self.times_s)

    def frame(self, index: int) -> Rgb:
        """Return frame `index`, uint8 (H, W, 3) RGB; ImageError if it is missing or broken."""
        return self.decode(self.load(index))

    def decode(self, jpeg: bytes) -> Rgb:
        """Return the frame, uint8 (H, W, 3) RGB, of a JPEG file; ImageError if it is broken.

        The first frame of another size than 320 x 160 gives a warning.
        """
        rgb = decode_jpeg(jpeg)
        self._notice.look(rgb)
        return rgb


def read_folder(path: Path, camera: str = '', steering_unit: str = '') -> Recording:
    """Read a log, or a folder with a log; each kind of bad row gives a warning.

    `camera` is the camera of the frames, as `from_log` takes it, and `steering_unit` one of
    STEERING_UNITS; if it is empty, it is that of the recorder.
    """
    log = read_log(find_log(path), steering_unit)
    warn_of_bad_rows(log)
    return from_log(log, camera)


def warn_of_bad_rows(log: Log) -> None:
    """Log one warning for each kind of bad row."""
    for trouble in troubles(log.bad_rows):
        _LOG.warning('%s: %s', log.path, trouble)


def camera_of(names: Iterable[str]) -> str:
    """Return the camera that took the frames with these names.

    The recorder of Training mode names a frame after its camera and its time. drive.py, which
    records in Autonomous mode, names it after its time alone.
    """
    is_driven = all(
        _TIME_ALONE.fullmatch(Path(base_name(name)).stem) and name_time(name) is not None
        for name in names
    )
    return AUTONOMOUS if is_driven else TRAINING


@functools.cache
def warn_of_missing_times(path: Path, treated: str = 'all rows') -> None:
    """Log the warning once, because the runs of a log become recordings one by one."""
    _LOG.warning('%s: some rows have no time; %s are treated as 0.1 s apart', path, treated)


def no_speed(recording: Recording) -> LogError:
    """Return the error for a recording without the speeds that are needed."""
    return LogError(
        f'{recording.name} holds no speed: record vehicle/speed, '
        'or give the log a column speed (mph)'
    )


def find_log(path: Path) -> Path:
    """Return the log in a folder, or `path` if it is a file; LogError for a folder without one.

    It is the file with one of LOG_NAMES, whatever its capitals, or the only file with one of
    LOG_SUFFIXES.
    """
    if not path.is_dir():
        return path
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in LOG_SUFFIXES)
    for name in LOG_NAMES:
        for file in files:
            if file.name.lower() == name:
                return file
    logs = [file for file in files if file.suffix.lower() in LOG_SUFFIXES[:2]] or files
    if len(logs) > 1:
        found = ', '.join(file.name for file in logs[:5])
        raise LogError(f'{path} holds several files that may be the log: {found}; name one')
    if not logs:
        reason = ', nor a bag'
        if images_in(path):
            reason = ': it has frames without steering, which only replay and export --mp4 take'
        elif inner := sorted(log.parent.name for log in path.glob(f'*/{LOG_NAMES[0]}')):
            names = ', '.join(inner[:5])
            reason = f', but folders in it do: give one of {names}'
            if len(inner) == 1:
                reason = f', but the folder {names} in it does: give that'
        raise LogError(f'{path} holds neither {" nor ".join(LOG_NAMES)}{reason}')
    return logs[0]


def from_log(log: Log, camera: str = '') -> Recording:
    """Return a log's centre camera as a recording; 0.1 s per row if times are missing.

    `camera` is the camera of the frames; if it is empty, it is that of `camera_of`.
    """
    rows, root = log.rows, log.path.parent
    steering_rad = np.array([row.steering_rad for row in rows])
    if any(row.timestamp_s is None for row in rows):
        warn_of_missing_times(log.path)
        times_s = np.arange(len(rows), dtype=np.float64) * RECORDER_PERIOD_S
        target_rad = smooth(times_s, steering_rad)
    else:
        times_s = np.array([row.timestamp_s for row in rows], np.float64)
        target_rad = smoothed_steering_rad(rows)
    names = [row.center for row in rows]

    def load(index: int) -> bytes:
        return read_jpeg(names[index], root)

    speed_mps = np.array([row.speed_mps for row in rows])
    camera = camera or camera_of(names)
    return Recording(
        str(log.path), times_s, steering_rad, target_rad, speed_mps, names, load, camera
    )
