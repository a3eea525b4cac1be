# SPDX-License-Identifier: Apache-2.0
"""FrameFolder: writer of a drive as JPEG files, as drive.py writes them, and a driving log."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sim_bridge.recording.bag import Offer, Record, UnusableError, is_named, stamp_ns
from sim_bridge.recording.runs import Runs
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    PERSON_COMMAND,
    SPEED,
    STEERING_COMMAND,
    THROTTLE,
)
from steering_net.data.driving_log import recorder_row

FRAME_TOPICS = (COMPRESSED_FRAME, SPEED, THROTTLE, STEERING_COMMAND, PERSON_COMMAND)
"""Topics of a drive that this writer needs."""

_LOG = 'driving_log.csv'
_WAITING_ROWS = 20
"""Rows that wait for their frame or for a person's command: topics are not read in step."""


@dataclass
class _Row:
    """A row of the log until it is written: empty name, frame not here yet; None, no command."""

    name: str = ''
    steering_rad: float | None = None
    speed_mps: float = 0.0
    throttle: float = 0.0
    is_by_person: bool = False


def check_empty(folder: Path) -> None:
    """Raise BagError unless there is no such folder, or an empty one that can be read."""
    try:
        _check_empty(folder)
    except OSError as error:
        raise BagError(f'cannot write frames to {folder}: {error.strerror}') from error


def _check_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        kind = 'is not empty' if folder.is_dir() else 'is a file'
        raise BagError(f'{folder} {kind}; name a new folder, or an empty one, for the frames')


class ImageNames:
    """Names of the images in a folder: the time of the frame, or the next free millisecond."""

    def __init__(self, folder: Path, prefix: str = '') -> None:
        self._folder = folder
        self._prefix = prefix
        self._wanted_ms = self._given_ms = -1

    def unused(self, stamp: int) -> Path:
        """Return an unused file name for a frame with this stamp, ns."""
        wanted_ms = stamp // 1_000_000
        # So that many frames of one millisecond do not try the names of all before them.
        is_taken = self._wanted_ms <= wanted_ms <= self._given_ms
        given_ms = self._given_ms + 1 if is_taken else wanted_ms
        while (path := self._path(given_ms)).exists():
            given_ms += 1
        self._wanted_ms, self._given_ms = wanted_ms, given_ms
        return path

    def _path(self, milliseconds: int) -> Path:
        moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
        name = f'{moment:%Y_%m_%d_%H_%M_%S}_{moment.microsecond // 1000:03d}.jpg'
        return self._folder / f'{self._prefix}{name}'


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file, or none if the disk is full."""
    try:
        path.write_bytes(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


class FrameFolder:
    """Writer of one folder, with the methods of `BagWriter`.

    A frame is written when it comes, its row in the log 20 frames later or at the end. The command
    of a row is that of the person or planner if one drove, else that of the network. A message
    that the bridge ignores, because its number is missing or not finite, is skipped. Of several
    frames with one stamp the first has the row.
    """

    def __init__(self, path: Path) -> None:
        """Create the folder. Raises BagError if it holds something or cannot be created."""
        self.messages = 0
        self._path = path
        self._names = ImageNames(path)
        self._runs = Runs()
        self._rows: dict[tuple[int, int], _Row] = {}
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
        relative = next((topic for topic in FRAME_TOPICS if is_named(name, topic)), name)
        if any(is_named(other, relative) for other in self._types):
            raise BagError(f'{name} is not recorded: a folder holds the frames of one car')
        self._types[name] = message_type

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Write a frame, or keep a value for the rows of the log."""
        record = Record(topic, self._types[topic], time_ns, cdr)
        if record.is_of(COMPRESSED_FRAME):
            image = record.frame()
            path = self._names.unused(self._runs.add(stamp_ns(image)))
            _write_whole(path, image.data.tobytes())
            row = self._row(stamp_ns(image))
            row.name = row.name or path.name
            self.messages += 1
            return
        with contextlib.suppress(UnusableError):
            self._keep_value(record)

    def _keep_value(self, record: Record) -> None:
        if record.is_of(STEERING_COMMAND) or record.is_of(PERSON_COMMAND):
            self._keep_command(record)
        else:
            for name in self._values:
                if record.is_of(name):
                    self._values[name] = record.number()

    def _keep_command(self, record: Record) -> None:
        stamp, steering_rad = record.command()
        row, is_by_person = self._row(stamp), record.is_of(PERSON_COMMAND)
        if is_by_person or not row.is_by_person:
            row.steering_rad, row.is_by_person = steering_rad, is_by_person
            row.speed_mps, row.throttle = self._values[SPEED], self._values[THROTTLE]

    def close(self) -> None:
        """Write the last rows and close the log. Frames without a command have no row."""
        with self._log:
            self._write_rows(0)

    def _row(self, stamp: int) -> _Row:
        """Return the row of the frame with this stamp, ns, in the run; a new one if needed."""
        row = self._rows.setdefault((self._runs.number, stamp), _Row())
        self._write_rows(_WAITING_ROWS)
        return row

    def _write_rows(self, waiting: int) -> None:
        """Write the oldest rows, so that this many wait."""
        while len(self._rows) > waiting:
            row = self._rows.pop(next(iter(self._rows)))
            if row.name and row.steering_rad is not None:
                self._log.write(
                    recorder_row(row.name, row.steering_rad, row.throttle, row.speed_mps)
                )
