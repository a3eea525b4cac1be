# SPDX-License-Identifier: Apache-2.0
"""The bridge with a guard: a spare takes over at once from a bridge that has crashed or frozen.

A crashed bridge cannot stop its simulator, and the car keeps its last command until a bridge
answers again. So a spare process waits: it has imported its modules, and the other nodes know it.
The bridge's server writes four heartbeats a second into a pipe. The guard does not send requests
to the port, because a storm of connections delays their answers while the car is driven well. A
heartbeat names the cars that are held, and the next bridge holds them too.

A machine that is suspended, or a container that is frozen, stops guard and bridge together, and
either may go on first. So a guard that was paused itself gives the bridge the whole time for a
heartbeat again.

As a program it takes the arguments of the bridge, and ends after SIGINT or SIGTERM. The exit code
is 2 if the bridge rejects its parameters, and 1 if it reaches the limit of restarts.
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
from sim_bridge.nodes.standby import (
    BEAT_VARIABLE,
    HELD_VARIABLE,
    STANDBY_VARIABLE,
    control_token,
)
from sim_bridge.process import EXIT_REFUSED, ManagedProcess, RestartLimit, RestartLimitError
from steering_net.process import end_with_parent

SILENCE_S = 1.5
"""Time without a heartbeat after which a running bridge is killed."""

_TAKING_OVER_S = 4.0
"""Time from the start of a spare's service to its first heartbeat, at most."""
_SETTLED_S = 3.0
"""Time from a bridge's first heartbeat to the start of its spare, after the other nodes."""
_LOOK_PERIOD_S = 0.05
_LOOK_PERIOD_AT_MOST_S = 0.6
_PAUSED_S = 2.0
"""Time between two looks that shows a pause of the guard itself: longer than `drive`, which is the
guard of its bridge, takes to ask the bridge for its state between two looks."""
_END_S = 4.0
"""Time for a clean end. `ros2 launch` kills this program after 5 s."""


def _boot_time_s() -> float:
    """Return seconds of a clock that also runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class GuardedBridge(ManagedProcess):
    """A bridge process with a spare. One thread has to call `supervise` several times a second."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = _boot_time_s,
    ) -> None:
        """`clock` returns seconds, those too in which the machine was suspended."""
        control_token()  # So that the bridge and its spares have the same.
        self._spare: subprocess.Popen[str] | None = None
        self._spare_limit = RestartLimit()
        self._heartbeats: dict[int, int] = {}
        self._held = ''
        self._clock = clock
        self._looked_s = clock()
        self._was_paused = False
        super().__init__('bridge', arguments, environment=environment)

    def _start(self) -> subprocess.Popen[str]:
        """Start the service of the spare if it runs; else return a new process."""
        self._beats = False
        self._spare_due_s = float('inf')
        self._silence_s = float('-inf')  # A new process may start slowly.
        spare, self._spare = self._spare, None
        if spare is None or spare.poll() is not None:
            return self._spawn_beating()
        assert spare.stdin is not None
        with contextlib.suppress(BrokenPipeError), spare.stdin:
            spare.stdin.write(f'{self._held}\n')
        self._silence_s = SILENCE_S - _TAKING_OVER_S
        return spare

    def _spawn_beating(self, *, waiting: bool = False) -> subprocess.Popen[str]:
        reader, writer = os.pipe()
        variables = {BEAT_VARIABLE: str(writer), HELD_VARIABLE: self._held}
        if waiting:
            variables[STANDBY_VARIABLE] = '1'
        process = self._spawn(variables, [writer], pipe_input=waiting)
        os.close(writer)
        os.set_blocking(reader, False)
        self._heartbeats[process.pid] = reader
        return process

    def supervise(self, report: Callable[[str], None]) -> None:
        """Replace a bridge that died or froze, and a spare that died.

        Raises as `ManagedProcess.supervise` does.
        """
        self._read_heartbeats(report)
        super().supervise(report)
        self._supervise_spare(report)
        for pid in self._heartbeats.keys() - {
            one.pid for one in (self._process, self._spare) if one
        }:
            os.close(self._heartbeats.pop(pid))

    def _read_heartbeats(self, report: Callable[[str], None]) -> None:
        """Read heartbeats, and kill a bridge that runs but sends none any more."""
        self._add_silence()
        with contextlib.suppress(BlockingIOError):
            if beats := os.read(self._heartbeats[self.pid], 65536).decode('ascii'):
                self._held = beats.splitlines()[-1]
                self._silence_s = 0.0
                self._was_paused = False
                if not self._beats:
                    self._spare_due_s = time.monotonic() + _SETTLED_S
                self._beats = True
        if self.exit_code is None and self._silence_s > SILENCE_S:
            report('the bridge node sends no heartbeats any more; it is killed')
            self._process.kill()
            self._process.wait()

    def _add_silence(self) -> None:
        """Add the time since the last look to the silence of the bridge.

        A pause of this process is not a silence of the bridge, because both may have been frozen.
        After a pause the silence begins anew, but only once: on a machine that is so slow that
        each look is late, a frozen bridge is killed too.
        """
        now_s = self._clock()
        passed_s, self._looked_s = now_s - self._looked_s, now_s
        if passed_s > _PAUSED_S and not self._was_paused:
            self._was_paused = True
            self._silence_s = min(self._silence_s, 0.0)
        else:
            self._silence_s += min(passed_s, _LOOK_PERIOD_AT_MOST_S)

    def _supervise_spare(self, report: Callable[[str], None]) -> None:
        if self._spare is None:
            if time.monotonic() >= self._spare_due_s:
                self._spare = self._spawn_beating(waiting=True)
            return
        code = self._spare.poll()
        if code is None:
            return
        self._spare, self._spare_due_s = None, time.monotonic() + _SETTLED_S
        if self._spare_limit.count_end():
            report(f'the spare bridge ended with code {code}; another one is started')
        else:
            report(
                f'the spare bridge ended with code {code}, for the sixth time within a minute; '
                'there is no spare until the bridge is restarted'
            )
            self._spare_due_s = float('inf')

    def ask_to_end(self) -> None:
        """Kill the spare, and send SIGINT to the bridge."""
        if self._spare is not None:
            self._spare.kill()
            self._spare.wait()
            self._spare = None
        self._spare_due_s = float('inf')
        super().ask_to_end()


def main(args: list[str] | None = None) -> int:
    """Guard a bridge until SIGINT, SIGTERM or the end of the parent; return the exit code."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    end_with_parent()
    # The environment is passed on, because `ros2 launch` decides how far DDS reaches.
    bridge = GuardedBridge(['bridge', *(args or [])[1:]], os.environ)
    try:
        while not ending.wait(_LOOK_PERIOD_S):
            bridge.supervise(_report)
    except UsageError:
        return EXIT_REFUSED
    except RestartLimitError as error:
        _report(str(error))
        return 1
    finally:
        bridge.ask_to_end()
        code = bridge.wait(_END_S)
    return int(code == -signal.SIGKILL)


def _report(line: str) -> None:
    print(f'sim-bridge guarded-bridge: {line}', file=sys.stderr, flush=True)
