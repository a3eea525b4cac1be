"""Starts the processes of a drive, keeps them running and ends them without leftovers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from sim_bridge.standby import STANDBY_VARIABLE
from steering_net.lifeline import PARENT_VARIABLE

DDS_PROFILES_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
DDS_PROFILES_FILE = Path(__file__).with_name('fastdds.xml')

_RESTARTS_AT_MOST = 5
_RESTART_WINDOW_S = 60.0


class Child:
    """One process of `sim-bridge`, in a session of its own so that Ctrl-C reaches us alone."""

    def __init__(self, name: str, words: Sequence[str], *, pipe_output: bool = False) -> None:
        """`words` follow `sim-bridge` on the command line; the child starts at once."""
        self.name = name
        self._words = list(words)
        self._pipe_output = pipe_output
        self._started_s: list[float] = []
        self._standby: subprocess.Popen[str] | None = None
        self._start()

    def _start(self) -> None:
        self._started_s.append(time.monotonic())
        self._process = self._spawn()

    def _spawn(self, *, waiting: bool = False) -> subprocess.Popen[str]:
        environment = child_environment(os.environ)
        if waiting:
            environment[STANDBY_VARIABLE] = '1'
        return subprocess.Popen(
            [sys.executable, '-m', 'sim_bridge.cli', *self._words],
            env=environment,
            start_new_session=True,
            stdin=subprocess.PIPE if waiting else subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._pipe_output else None,
            text=True,
        )

    def keep_standby(self) -> None:
        """Have a second process wait, with its imports done, to replace this one once."""
        if self._standby is None:
            self._standby = self._spawn(waiting=True)

    def _take_standby(self) -> bool:
        """Let the waiting process, if there is one that lives, take this one's place."""
        standby, self._standby = self._standby, None
        if standby is None or standby.poll() is not None:
            return False
        assert standby.stdin is not None
        with contextlib.suppress(BrokenPipeError), standby.stdin:
            standby.stdin.write('go\n')
        self._started_s.append(time.monotonic())
        self._process = standby
        return True

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

    def restart(self) -> bool:
        """Start it again; False if it has died too often for that to help."""
        recent = [at for at in self._started_s if time.monotonic() - at < _RESTART_WINDOW_S]
        if len(recent) > _RESTARTS_AT_MOST:
            return False
        self._started_s = recent
        if not self._take_standby():
            self._start()
        return True

    def ask_to_end(self) -> None:
        """Send SIGINT, the signal that every program here ends cleanly on."""
        if self._standby is not None:
            self._standby.kill()
            self._standby.wait()
            self._standby = None
        if self.exit_code is None:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, whatever it does or does not do any more."""
        self._process.kill()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end, kill what does not end in time; the exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: it dies with us; by default DDS is quick, and stays local."""
    return {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        DDS_PROFILES_VARIABLE: str(DDS_PROFILES_FILE),
        **environment,
        PARENT_VARIABLE: str(os.getpid()),
    }
