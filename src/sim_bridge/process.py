# SPDX-License-Identifier: Apache-2.0
"""Child processes of a drive: started, restarted after a crash, and ended without leftovers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from sim_bridge.errors import UsageError
from steering_net.process import PARENT_VARIABLE, interrupts_blocked

DRIVE_VARIABLE = 'SIM_BRIDGE_DRIVE_ID'
"""Environment variable: identifies the drive, so that its simulators find their own bridge."""

DRIVE_ID = os.environ.get(DRIVE_VARIABLE) or uuid.uuid4().hex
"""Identifies the drive that this process belongs to, or the one that it starts."""

EXIT_REFUSED = 2
"""Exit code of a program that rejects its parameters. A restart cannot help."""

_MAX_RESTARTS = 5
_WINDOW_S = 60.0
_NICE = 10
_TRIES = 20
_TRY_S = 0.1


class RestartLimitError(RuntimeError):
    """A process ended more than five times within a minute, so it is not started again."""


class RestartLimit:
    """Limit of restarts: at most five within a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns the time in s."""
        self._clock = clock
        self._ended_s: list[float] = []

    def count_end(self) -> bool:
        """Count one end of a process; return whether it may be started again."""
        now_s = self._clock()
        self._ended_s = [at for at in self._ended_s if now_s - at < _WINDOW_S]
        self._ended_s.append(now_s)
        return len(self._ended_s) <= _MAX_RESTARTS


class ManagedProcess:
    """One process of `sim-bridge`, which is restarted when it ends unexpectedly.

    It runs in a session of its own, so that Ctrl-C in a terminal reaches only this program.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        pipe_output: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `sim-bridge ARGUMENTS`.

        `name` is for messages. With `pipe_output` this program reads the standard output. Without
        an `environment` the process gets that of `child_environment`.
        """
        self.name = name
        self._arguments = list(arguments)
        self._pipe_output = pipe_output
        self._environment = environment
        self._limit = RestartLimit()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return self._spawn({})

    def _spawn(
        self,
        variables: Mapping[str, str],
        descriptors: Iterable[int] = (),
        *,
        pipe_input: bool = False,
    ) -> subprocess.Popen[str]:
        """Return a new process with more environment variables and open file descriptors.

        The process ends when this one ends.
        """
        environment = child_environment(os.environ)
        if self._environment is not None:
            environment = {**self._environment, PARENT_VARIABLE: str(os.getpid())}
        with interrupts_blocked():
            return subprocess.Popen(
                [sys.executable, '-m', 'sim_bridge.cli', *self._arguments],
                env={**environment, **variables},
                pass_fds=tuple(descriptors),
                start_new_session=True,
                stdin=subprocess.PIPE if pipe_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._pipe_output else None,
                text=True,
            )

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while the process runs, negative if a signal ended it."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def output(self) -> IO[str]:
        """Standard output of a process that was started with `pipe_output`."""
        assert self._process.stdout is not None
        return self._process.stdout

    def supervise(self, report: Callable[[str], None]) -> None:
        """Start the process again if it has ended. Call this several times a second.

        `report` gets one line for each restart. Raises UsageError if the process rejected its
        parameters, RestartLimitError if it was restarted too often.
        """
        code = self.exit_code
        if code is None:
            return
        if code == EXIT_REFUSED:
            raise UsageError(f'the {self.name} node rejected its parameters, see above')
        if not self._limit.count_end():
            raise RestartLimitError(
                f'the {self.name} node ended with code {code}, for the sixth time within a '
                'minute; see its messages above'
            )
        report(f'the {self.name} node ended with code {code}; it is restarted')
        self._process = self._start()

    def ask_to_end(self) -> None:
        """Send SIGINT; every program of sim_bridge ends cleanly on it."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Wait until the process has ended, kill it after `timeout_s`; return the exit code."""
        if not self.ends_within(timeout_s):
            self._process.kill()
        return self._process.wait()

    def ends_within(self, timeout_s: float) -> bool:
        """Wait until the process has ended, `timeout_s` at most; return whether it has."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process of a drive.

    DDS stays on this machine, unless `environment` says otherwise. The child ends when this
    process ends.
    """
    return {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        **environment,
        DRIVE_VARIABLE: DRIVE_ID,
        PARENT_VARIABLE: str(os.getpid()),
    }


def lower_priority() -> None:
    """Let the drive run before this process when processors are short.

    This must come before the middleware starts its threads, because they inherit the priority.
    """
    os.nice(_NICE)
    # A batch process does not interrupt others when a message wakes it up.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def lower_priority_of_session() -> None:
    """Let the drive run before the session of this process, unless others share the session.

    Linux shares the processors among sessions first (man 7 sched, autogroups), so the priority of
    a process counts only within its session. Each process of a drive has a session of its own.
    """
    if os.getsid(0) != os.getpid():
        return
    for _ in range(_TRIES):
        try:
            Path('/proc/self/autogroup').write_text(str(_NICE), encoding='ascii')
        except BlockingIOError:  # Linux accepts one change in 0.1 s.
            time.sleep(_TRY_S)
        except OSError:  # This Linux does not group processes by session.
            return
        else:
            return
