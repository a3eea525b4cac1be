# SPDX-License-Identifier: Apache-2.0
"""FrameFolder: writer of a drive as JPEG files, as drive.py writes them, and a driving log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sim_bridge.recording.bag import Offer, Record, stamp_ns
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import COMPRESSED_FRAME, SPEED, STEERING_COMMAND, THROTTLE, without_car
from steering_net.data.driving_log import recorder_row

FRAME_TOPICS = (COMPRESSED_FRAME, SPEED, THROTTLE, STEERING_COMMAND)
"""Topics of a drive that this writer needs."""

_LOG = 'driving_log.csv'


def check_empty(folder: Path) -> None:
    """Raise BagError unless there is no such folder, or an empty one."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        kind = 'is not empty' if folder.is_dir() else 'is a file'
        raise BagError(f'{folder} {kind}; name a new folder, or an empty one, for the frames')


def unused_image(folder: Path, stamp: int, prefix: str = '') -> Path:
    """Return a file name with the time of a frame, ns, or the next free millisecond."""
    while True:
        moment = datetime.fromtimestamp(stamp // 1_000_000 / 1000, tz=UTC)
        milliseconds = moment.microsecond // 1000
        path = folder / f'{prefix}{moment:%Y_%m_%d_%H_%M_%S}_{milliseconds:03d}.jpg'
        if not path.exists():
            return path
        stamp += 1_000_000


class FrameFolder:
    """Writer of one folder, with the methods of `BagWriter`.

    A frame is written when it comes, and its row in the log when its command comes.
    """

    def __init__(self, path: Path) -> None:
        """Create the folder. Raises BagError if it holds something or cannot be created."""
        self.messages = 0
        self._path = path
        self._names: dict[int, str] = {}
        self._values = {SPEED: 0.0, THROTTLE: 0.0}
        self._types: dict[str, str] = {}
        check_empty(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._log = (path / _LOG).open('w', encoding='utf-8', newline='', buffering=1)
        except OSError as error:
            raise BagError(f'cannot write frames to {path}: {error.strerror}') from error

    @property
    def unit(self) -> str:
        """Name of what `messages` counts."""
        return 'frames'

    def add_topic(self, name: str, message_type: str, offer: Offer) -> None:
        """Add a topic. Raises BagError for a topic of a second car."""
        if without_car(name) in map(without_car, self._types):
            raise BagError(f'{name} is not recorded: a folder holds the frames of one car')
        self._types[name] = message_type

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Write a frame, or the row of the frame that a command answers."""
        record = Record(topic, self._types[topic], time_ns, cdr)
        if record.is_of(COMPRESSED_FRAME):
            image = record.frame()
            path = unused_image(self._path, stamp_ns(image))
            path.write_bytes(image.data.tobytes())
            self._names[stamp_ns(image)] = path.name
            self.messages += 1
        elif record.is_of(STEERING_COMMAND):
            stamp, steering_rad = record.command()
            if name := self._names.pop(stamp, ''):
                speed_mps, throttle = self._values[SPEED], self._values[THROTTLE]
                self._log.write(recorder_row(name, steering_rad, throttle, speed_mps))
        else:
            for name in self._values:
                if record.is_of(name):
                    self._values[name] = record.number()

    def close(self) -> None:
        """Close the log. Frames without a command have no row."""
        self._log.close()
