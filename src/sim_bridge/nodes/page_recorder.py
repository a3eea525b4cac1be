# SPDX-License-Identifier: Apache-2.0
"""Records bags for pages, each with a process of `sim-bridge record`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sim_bridge.process import ManagedProcess
from sim_bridge.web.control import FieldError, RefusedError

_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}')
_END_S = 3.0
"""Longest wait at the end of the bridge, which its guard kills after 4 s."""


class PageRecorder:
    """The recording that pages start and stop. One at a time.

    The bag has the topics of a drive: what drives (`driver/active`) and the command that was sent
    for each frame while a person drives (`driver/command`) among them.
    """

    def __init__(
        self, folder: Path, cars: int, clock: Callable[[], float], namespace: str = '/'
    ) -> None:
        """Record the topics of `cars` cars into `folder`, which is created when it is needed.

        `namespace` is that of the bridge.
        """
        self._folder = folder
        self._options = ['--cars', str(cars)]
        if namespace != '/':
            self._options += ['--namespace', namespace]
        self._clock = clock
        self._process: ManagedProcess | None = None
        self._bag = folder
        self._result = ''
        self._seconds: float | None = None
        self._is_ending = False

    def start(self, name: str) -> str:
        """Start to record into the new bag `name`. Raises FieldError or RefusedError."""
        if self._process is not None and self._process.exit_code is None:
            raise RefusedError(f'{self._bag.name} is being recorded; stop it first')
        name = name or f'drive_{datetime.now():%Y_%m_%d_%H_%M_%S}'
        if not _NAME.fullmatch(name):
            raise FieldError(
                f'name is {name!r}; it must be 1..64 letters, digits, dots, dashes and '
                'underscores, and begin with a letter or digit'
            )
        self._bag = self._folder / name
        if self._bag.exists():
            raise RefusedError(f'{self._bag} already exists; choose another name')
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedError(f'{self._folder} cannot be made: {error.strerror}') from error
        self._process = ManagedProcess(
            'recorder',
            ['record', str(self._bag), *self._options],
            pipe_output=True,
            environment=os.environ,
        )
        self._started_s, self._seconds = self._clock(), None
        self._is_ending, self._result = False, ''
        return f'recording {self._bag}'

    def stop(self) -> str:
        """Let the recorder complete the bag and end."""
        if self._process is None or self._process.exit_code is not None:
            raise RefusedError('nothing is being recorded')
        self._is_ending = True
        self._seconds = self._clock() - self._started_s
        self._process.ask_to_end()
        return f'{self._bag} is being completed'

    def status(self) -> dict[str, Any] | None:
        """State of the newest recording; None without one.

        name; state: `starting`, `recording`, `ending`, `done` or `failed`; bytes: size; seconds:
        duration; result: the last line of the recorder.
        """
        if self._process is None:
            return None
        code, size = self._process.exit_code, _size(self._bag)
        if code is not None and not self._result:
            silent = 'stopped before it began' if self._is_ending else 'see the terminal'
            self._result = self._process.output.read().strip() or silent
        seconds = self._clock() - self._started_s if self._seconds is None else self._seconds
        if code is not None:
            self._seconds = seconds
        return {
            'name': self._bag.name,
            'state': self._state(code),
            'bytes': size,
            'seconds': round(seconds, 1),
            'result': self._result,
        }

    def _state(self, code: int | None) -> str:
        if code is not None:
            return 'failed' if code else 'done'
        if self._is_ending:
            return 'ending'
        return 'recording' if self._bag.exists() else 'starting'

    def close(self) -> None:
        """End the recorder, and wait `_END_S` at most until the bag is complete.

        A recorder that needs longer goes on alone, because without its index the bag is damaged.
        """
        if self._process is not None:
            self._process.ask_to_end()
            self._process.ends_within(_END_S)


def _size(bag: Path) -> int:
    """Size of the files of a bag, bytes; 0 before it exists."""
    try:
        return sum(path.stat().st_size for path in bag.iterdir())
    except OSError:
        return 0
