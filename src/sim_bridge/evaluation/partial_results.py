# SPDX-License-Identifier: Apache-2.0
"""Partial results: a file with one JSON line for each finished track of an evaluation."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import cv2
import numpy as np

import sim_bridge
import steering_net
from sim_bridge.simulator.track_names import TrackName

Report = dict[str, Any]

_CODE = ('.py', '.csv')


class PartialResults:
    """The results of finished tracks, also in a file, so that an interrupted evaluation goes on.

    A line of the file is `{"key": ..., "report": {...}}`. `found` has the reports by track.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        """Read the lines with this key of a file that may exist; without a path keep no file."""
        self._path, self._key = path, key
        self._file: IO[str] | None = None
        self.found = _read(path, key) if path else {}

    def __enter__(self) -> None:
        if self._path:
            # A line of its own, because the last line may have been cut off.
            is_new = not self._path.exists()
            self._file = self._path.open('a', encoding='utf-8')
            self._file.write('' if is_new else '\n')

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, track: TrackName, report: Report) -> None:
        """Keep a report; it is in the file when this returns."""
        self.found[track] = report
        if self._file:
            line = json.dumps({'key': self._key, 'report': report})
            self._file.write(f'{line}\n')
            self._file.flush()


def _read(path: Path, key: str) -> dict[TrackName, Report]:
    found: dict[TrackName, Report] = {}
    lines = (
        path.read_text(encoding='utf-8', errors='replace').splitlines() if path.exists() else ()
    )
    for line in lines:
        try:
            entry = json.loads(line)
            if entry['key'] == key:
                found[entry['report']['track']] = entry['report']
        except (ValueError, KeyError, TypeError):
            continue
    return found


@functools.cache
def program_digest() -> str:
    """Return the sha256 of the code of both packages and of the versions of what they rest on."""
    found = hashlib.sha256(f'{np.__version__} {cv2.__version__}'.encode())
    for package in (sim_bridge, steering_net):
        root = Path(package.__path__[0])
        for file in sorted(file for file in root.rglob('*') if file.suffix in _CODE):
            found.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return found.hexdigest()
