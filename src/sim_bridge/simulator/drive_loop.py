# SPDX-License-Identifier: Apache-2.0
"""A drive of the embedded simulator in real time, as the client of a bridge or other server.

It sends one telemetry per token. Between two frames it waits on the socket, so that the arrival
time of an answer is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sim_bridge.limits import USUAL_URL
from sim_bridge.protocol.types import Control
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.client import Client, parse_url
from sim_bridge.simulator.faulty_client import FaultyClient
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from steering_net.statistics import percentiles_ms

STATUS_PERIOD_S = 0.25
_FAST_CHECK_S = 1.0
_MAX_LAG_S = 0.25
_STOP_CHECK_S = 0.1
_READY_CHECK_S = 0.05


@dataclass(frozen=True)
class DriveOptions:
    """Options of a drive: its server, its world, and when it ends (0: never).

    culture: number format of the simulated machine, a name of `CULTURES`. fast: the next frame
    follows when one is answered, however late, instead of every 1/hz s.
    """

    url: str = USUAL_URL
    world: SimulatorOptions = field(default_factory=SimulatorOptions)
    laps: int = 0
    seconds: float = 0.0
    culture: str = 'en-US'
    fast: bool = False

    def __post_init__(self) -> None:
        parse_url(self.url)
        for name in ('laps', 'seconds'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'{name} is {getattr(self, name)}; it must be 0 or greater')
        if self.culture not in CULTURES:
            known = ', '.join(CULTURES)
            raise ValueError(f'culture is {self.culture!r}; it must be one of {known}')


def run(
    options: DriveOptions,
    on_status: Callable[[dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    ready: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Drive until the laps or seconds are over or `stop` returns true; return the report.

    `on_status` gets the state of the drive four times a second. `stop` is called at every frame
    and ten times a second while waiting. The client connects when `ready` returns true.
    """
    simulator = Simulator(options.world)
    while not ready() and not stop():
        time.sleep(_READY_CHECK_S)
    client = _client(options)
    loop = _Loop(options, simulator, client, on_status, stop)
    try:
        loop.run()
        return loop.report()
    finally:
        client.quit()


def _client(options: DriveOptions) -> Client:
    culture = CULTURES[options.culture]
    if options.world.faults.healthy:
        return Client(options.url, culture)
    return FaultyClient(options.url, culture, options.world.faults)


class _Loop:
    """One drive in real time."""

    def __init__(
        self,
        options: DriveOptions,
        simulator: Simulator,
        client: Client,
        on_status: Callable[[dict[str, Any]], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._options = options
        self._simulator = simulator
        self._client = client
        self._on_status = on_status
        self._stop = stop
        self._start_s = time.perf_counter()
        self._first_frame_s: float | None = None
        self._is_paused = False
        self._steps_due = 0
        self._next_status_s = self._start_s

    def run(self) -> None:
        due_s = self._start_s
        while not self._is_over():
            if self._in_menu():
                self._client.poll(_STOP_CHECK_S)
                self._report_status()
                due_s = time.perf_counter()
                continue
            self._wait(due_s)
            self._frame()
            due_s = max(due_s + 1.0 / self._options.world.hz, time.perf_counter() - _MAX_LAG_S)

    def report(self) -> dict[str, Any]:
        client = self._client
        return {
            **self._simulator.score.report(),
            'connections': client.connections,
            'frames': self._simulator.frames,
            'answers': client.answers,
            'tokens_lost': client.lost,
            'latency_ms': _latency_ms(client.latencies_s),
            'telemetry_hz': self._telemetry_hz(),
            'track': self._options.world.track,
            'weather': str(self._options.world.weather),
        }

    def _in_menu(self) -> bool:
        return self._options.world.faults.active('menu', self._elapsed_s())

    def _is_over(self) -> bool:
        options, simulator = self._options, self._simulator
        if options.laps and simulator.score.laps >= options.laps:
            return True
        if options.seconds and max(simulator.time_s, self._elapsed_s()) >= options.seconds:
            return True
        return self._stop()

    def _wait(self, due_s: float) -> None:
        """Serve the socket until the next frame is due."""
        is_fast = self._options.fast and not self._is_paused
        if is_fast:
            due_s = time.perf_counter() + _FAST_CHECK_S
        while (left_s := due_s - time.perf_counter()) > 0.0 and not self._stop():
            if is_fast and self._client.tokens:
                return
            self._client.poll(min(left_s, _STOP_CHECK_S))
        self._client.poll(0.0)

    def _frame(self) -> None:
        self._is_paused = self._is_paused and self._client.connected
        while self._client.commands:
            command = self._client.commands.popleft()
            if isinstance(command, Control):
                self._control(command)
            else:
                self._simulator.apply(*command)
        if self._takes_step() if self._is_paused else self._is_answered():
            self._simulator.advance()
            self._send_telemetry()
        self._report_status()

    def _control(self, control: Control) -> None:
        if control is Control.RESET:
            # Telemetry from before is not answered any more, so its tokens have ended.
            self._simulator.reset()
            self._client.tokens = int(self._client.connected)
            if self._is_paused:
                self._send_telemetry()
        elif control is Control.STEP:
            self._steps_due += self._is_paused
        else:
            self._is_paused = control is Control.PAUSE
            self._steps_due = 0

    def _is_answered(self) -> bool:
        """Whether the world may go on: a fast one waits for the answer."""
        return not self._options.fast or self._client.tokens > 0

    def _takes_step(self) -> bool:
        """Whether a step is due and the telemetry of the step before is answered."""
        is_due = self._steps_due > 0 and self._client.tokens > 0
        self._steps_due -= is_due
        return is_due

    def _send_telemetry(self) -> None:
        for _ in range(self._client.tokens):
            if self._first_frame_s is None:
                self._first_frame_s = time.perf_counter()
            telemetry = self._simulator.telemetry()
            if telemetry is not None and self._options.fast:
                telemetry = replace(telemetry, waits=True)
            self._client.send_telemetry(telemetry)

    def _report_status(self) -> None:
        if self._on_status is None or time.perf_counter() < self._next_status_s:
            return
        self._next_status_s = time.perf_counter() + STATUS_PERIOD_S
        score = self._simulator.score
        self._on_status(
            {
                'speed_mps': round(abs(self._simulator.car.speed_mps), 3),
                'cross_track_m': round(self._simulator.place.cross_track_m, 3),
                'laps': score.laps,
                'telemetry_hz': round(self._telemetry_hz(), 1),
                'latency_ms': round(_latency_ms(self._client.latencies_s[-60:])['p50'], 2),
                'connections': self._client.connections,
                'frames': self._simulator.frames,
                'answers': self._client.answers,
                'lane_departures': score.lane_departures,
                'interventions': score.interventions,
            }
        )

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._start_s

    def _telemetry_hz(self) -> float:
        if self._first_frame_s is None:
            return 0.0
        return self._simulator.frames / max(time.perf_counter() - self._first_frame_s, 1e-3)


def _latency_ms(latencies_s: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and max, ms; 0 each while there are no latencies."""
    return {name: ms or 0.0 for name, ms in percentiles_ms(latencies_s).items()}
