"""Starts the processes of a drive, keeps them running and ends them without leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from sim_bridge.errors import UsageError
from steering_net.process import PARENT_VARIABLE

DDS_PROFILES_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
DDS_PROFILES_FILE = Path(__file__).with_name('fastdds.xml')

REFUSED = 2
"""Exit code of a node that does not accept its parameters: starting it again cannot help."""

_DEATHS_AT_MOST = 5
_DEATHS_WINDOW_S = 60.0


class KeepsEndingError(RuntimeError):
    """A process ended so often within a minute that it is not started again."""


class RestartLimit:
    """Counts how often something died lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._died_s: list[float] = []

    def is_exceeded(self) -> bool:
        """Count one; whether that was one too many for the last minute."""
        now_s = self._clock()
        self._died_s = [at for at in self._died_s if now_s - at < _DEATHS_WINDOW_S]
        self._died_s.append(now_s)
        return len(self._died_s) > _DEATHS_AT_MOST


class ManagedProcess:
    """One process of `sim-bridge`, in a session of its own so that Ctrl-C reaches us alone."""

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        *,
        pipe_output: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `sim-bridge WORDS`; in the environment of a drive if no other is given."""
        self.name = name
        self._words = list(words)
        self._pipe_output = pipe_output
        self._environment = environment
        self._deaths = RestartLimit()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return self._spawn({})

    def _spawn(
        self, variables: Mapping[str, str], descriptors: Iterable[int] = (), *, told: bool = False
    ) -> subprocess.Popen[str]:
        """A new process with more environment variables, descriptors, and a pipe if it is `told`.

        Its lifeline is this process.
        """
        environment = child_environment(os.environ)
        if self._environment is not None:
            environment = {**self._environment, PARENT_VARIABLE: str(os.getpid())}
        return subprocess.Popen(
            [sys.executable, '-m', 'sim_bridge.cli', *self._words],
            env={**environment, **variables},
            pass_fds=tuple(descriptors),
            start_new_session=True,
            stdin=subprocess.PIPE if told else subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._pipe_output else None,
            text=True,
        )

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative if a signal ended it."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def output(self) -> IO[str]:
        """The standard output of a child that was started with `pipe_output`."""
        assert self._process.stdout is not None
        return self._process.stdout

    def look_after(self, say: Callable[[str], None]) -> None:
        """Start the process again if it has ended, and tell so; to be called again and again.

        Raises UsageError if it did not accept its parameters, KeepsEndingError if it ended too
        often for a new start to help.
        """
        code = self.exit_code
        if code is None:
            return
        if code == REFUSED:
            raise UsageError(f'the {self.name} node did not start, see above')
        say(f'the {self.name} node ended with {code}, it is started again')
        if self._deaths.is_exceeded():
            raise KeepsEndingError(f'the {self.name} node keeps ending with {code}, see above')
        self._process = self._start()

    def ask_to_end(self) -> None:
        """Send SIGINT, the signal that every program here ends cleanly on."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Wait for the end, kill what does not end in time; the exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a drive's child: DDS is quick, and stays local; it dies with us."""
    return {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        DDS_PROFILES_VARIABLE: str(DDS_PROFILES_FILE),
        **environment,
        PARENT_VARIABLE: str(os.getpid()),
    }
