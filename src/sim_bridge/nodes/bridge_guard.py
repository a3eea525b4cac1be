"""The bridge with a guard: a spare takes over at once from a bridge that died or froze.

A bridge that ended cannot tell its simulator to stop, and the car drives on with its last command
until a bridge answers again. So a spare process waits: its imports are done, and the other nodes
know it. The bridge's server writes a heartbeat into a pipe four times a second. The guard does not
send requests to the port, because a storm of connections delays their answers while the car is
driven well.

As a program: takes the arguments of the bridge, hands them on, and ends with SIGINT or SIGTERM.
Exit code 2 if the bridge does not accept its parameters, 1 if it keeps ending.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from sim_bridge.errors import UsageError
from sim_bridge.nodes.standby import BEAT_VARIABLE, STANDBY_VARIABLE
from sim_bridge.process import REFUSED, ManagedProcess, RestartLimit, RestartLimitError
from steering_net.process import end_with_parent

SILENCE_S = 1.5
"""A bridge that lives but has sent no heartbeat for so long is killed."""

_TAKING_OVER_S = 4.0
"""A spare has to send its first heartbeat within this time after it was told to start."""
_SETTLED_S = 3.0
"""Time from a bridge's first heartbeat to the start of its spare: other nodes start first."""
_LOOK_PERIOD_S = 0.05
_LOOK_PERIOD_AT_MOST_S = 0.6
_END_S = 4.0
"""`ros2 launch` waits for 5 s until it uses force."""


class GuardedBridge(ManagedProcess):
    """The bridge, or the program that holds it, with a spare that takes over.

    To be used by one thread, which calls `supervise` some times a second.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._spare: subprocess.Popen[str] | None = None
        self._spare_limit = RestartLimit()
        self._heartbeats: dict[int, int] = {}
        self._looked_s = time.monotonic()
        super().__init__('bridge', words, environment=environment)

    def _start(self) -> subprocess.Popen[str]:
        """Let the spare start, if it lives; else return a new process."""
        self._beats = False
        self._spare_due_s = float('inf')
        self._silence_s = float('-inf')  # A new process may take any time to start.
        spare, self._spare = self._spare, None
        if spare is None or spare.poll() is not None:
            return self._spawn_beating()
        assert spare.stdin is not None
        with contextlib.suppress(BrokenPipeError), spare.stdin:
            spare.stdin.write('go\n')
        self._silence_s = SILENCE_S - _TAKING_OVER_S
        return spare

    def _spawn_beating(self, *, waiting: bool = False) -> subprocess.Popen[str]:
        heard, beating = os.pipe()
        variables = {BEAT_VARIABLE: str(beating)}
        if waiting:
            variables[STANDBY_VARIABLE] = '1'
        process = self._spawn(variables, [beating], pipe_input=waiting)
        os.close(beating)
        os.set_blocking(heard, False)
        self._heartbeats[process.pid] = heard
        return process

    def supervise(self, say: Callable[[str], None]) -> None:
        """Replace a bridge that died or froze, and a spare that died.

        Raises as `ManagedProcess.supervise` does.
        """
        self._listen(say)
        super().supervise(say)
        self._supervise_spare(say)
        for pid in self._heartbeats.keys() - {
            one.pid for one in (self._process, self._spare) if one
        }:
            os.close(self._heartbeats.pop(pid))

    def _listen(self, say: Callable[[str], None]) -> None:
        """Read the bridge's heartbeats; kill a bridge that lives but sends none any more."""
        now_s = time.monotonic()
        # A pause of this process is no silence of the bridge: both may have been frozen.
        self._silence_s += min(now_s - self._looked_s, _LOOK_PERIOD_AT_MOST_S)
        self._looked_s = now_s
        with contextlib.suppress(BlockingIOError):
            if os.read(self._heartbeats[self.pid], 4096):
                self._silence_s = 0.0
                self._spare_due_s = self._spare_due_s if self._beats else now_s + _SETTLED_S
                self._beats = True
        if self.exit_code is None and self._silence_s > SILENCE_S:
            say('the bridge node sends no heartbeats any more; it is killed')
            self._process.kill()
            self._process.wait()

    def _supervise_spare(self, say: Callable[[str], None]) -> None:
        if self._spare is None:
            if time.monotonic() >= self._spare_due_s:
                self._spare = self._spawn_beating(waiting=True)
            return
        code = self._spare.poll()
        if code is None:
            return
        self._spare, self._spare_due_s = None, time.monotonic() + _SETTLED_S
        if self._spare_limit.count_end():
            say(f'the spare bridge ended with code {code}; another one is started')
        else:
            say(
                f'the spare bridge ended with code {code}, for the sixth time within a minute; '
                'there is no spare until the bridge is restarted'
            )
            self._spare_due_s = float('inf')

    def ask_to_end(self) -> None:
        """End the spare, and ask the bridge to end."""
        if self._spare is not None:
            self._spare.kill()
            self._spare.wait()
            self._spare = None
        self._spare_due_s = float('inf')
        super().ask_to_end()


def main(args: list[str] | None = None) -> int:
    """Guard a bridge until SIGINT, SIGTERM or the end of the parent; the exit code."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    end_with_parent()
    # The environment stays as it is: `ros2 launch` decides how far DDS reaches.
    bridge = GuardedBridge(['bridge', *(args or [])[1:]], os.environ)
    try:
        while not ending.wait(_LOOK_PERIOD_S):
            bridge.supervise(_say)
    except UsageError:
        return REFUSED
    except RestartLimitError as error:
        _say(str(error))
        return 1
    finally:
        bridge.ask_to_end()
        code = bridge.wait(_END_S)
    return int(code == -signal.SIGKILL)


def _say(line: str) -> None:
    print(f'sim-bridge guarded-bridge: {line}', file=sys.stderr, flush=True)
