# SPDX-License-Identifier: Apache-2.0
"""The embedded simulator: track, car, camera and client, advanced frame by frame.

Like Unity it acts only at frame boundaries: it applies the received commands, moves the car, and
sends one telemetry per token. Between two frames it waits on the socket, so that the arrival time
of an answer is exact.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim_bridge.protocol.types import Control, Telemetry, Truth
from sim_bridge.protocol.udacity import CULTURES, encode_telemetry
from sim_bridge.simulator.camera import JPEG_QUALITY, encode_jpeg
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.client import Client, parse_url
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.fault_injection import FaultPlan
from sim_bridge.simulator.faulty_client import FaultyClient
from sim_bridge.simulator.score import Score
from sim_bridge.simulator.track import Projection
from sim_bridge.simulator.tracks import TrackName, open_track, parse_track
from sim_bridge.simulator.vehicle_dynamics import (
    CarParams,
    CarState,
    Slope,
    standing_at,
    step,
)
from sim_bridge.simulator.weather import CLEAR, Weather
from steering_net.statistics import percentiles_ms
from steering_net.vehicle import DRIVE_MPS2, GRAVITY_MPS2

STATUS_PERIOD_S = 0.25
_FAST_CHECK_S = 1.0
MANUAL_THROTTLE = 0.3
_MAX_LAG_S = 0.25
_STOP_CHECK_S = 0.1
_READY_CHECK_S = 0.05
_STEP_S = 0.02
"""Physics step of Unity; a frame moves the car by the whole steps that are due."""

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class SimulatorOptions:
    """Options of a drive: server, track, weather, when to end (0: never), and faults.

    fast: the next frame follows when one is answered, however late, instead of every 1/hz s.
    manual_s: spans of simulated time in which a person drives, so the telemetry is null.
    menu_s: spans of time since the start in which the simulator shows its menu. The socket stays
    open, no telemetry is sent, and tokens accumulate until the menu is left.
    """

    url: str = 'ws://127.0.0.1:4567'
    track: TrackName = 0
    weather: Weather = CLEAR
    laps: int = 0
    seconds: float = 0.0
    culture: str = 'en-US'
    fast: bool = False
    hz: float = 60.0
    jpeg_quality: int = JPEG_QUALITY
    manual_s: Spans = ()
    menu_s: Spans = ()
    faults: FaultPlan = field(default_factory=FaultPlan)

    def __post_init__(self) -> None:
        parse_url(self.url)
        parse_track(str(self.track))
        for name in ('laps', 'seconds'):
            if not getattr(self, name) >= 0:
                raise ValueError(f'{name} is {getattr(self, name)}; it must be 0 or greater')
        if self.culture not in CULTURES:
            known = ', '.join(CULTURES)
            raise ValueError(f'culture is {self.culture!r}; it must be one of {known}')
        if not 10.0 <= self.hz <= 1000.0:
            raise ValueError(f'hz is {self.hz}; it must be 10..1000')
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f'jpeg_quality is {self.jpeg_quality}; it must be 1..100')


class Simulator:
    """Car, track and camera of one drive. `advance` simulates one frame."""

    def __init__(self, options: SimulatorOptions) -> None:
        """Build the track and its camera, which takes about 0.5 s."""
        self._options = options
        self._track = open_track(options.track)
        self._render = make_camera(self._track, weather=options.weather)
        self._params = CarParams()
        self._car = standing_at(self._track.pose(self._track.start_m))
        self._steering_rad = 0.0
        self._throttle = 0.0
        self._commanded = False
        self._yaw_rate_radps = 0.0
        self.score = Score(self._track)
        self.time_s = 0.0
        self._steps = 0
        self.frames = 0
        self.run = 0
        self.place = self._track.project(self._car.x_m, self._car.y_m, self._track.start_m)
        self._start = self._car, self.place

    @property
    def car(self) -> CarState:
        """Current state of the car."""
        return self._car

    @property
    def manual(self) -> bool:
        """Whether a person drives now."""
        options = self._options
        return _within(self.time_s, options.manual_s) or options.faults.active(
            'manual', self.time_s
        )

    def apply(self, steering_rad: float, throttle: float | None) -> None:
        """Apply a command; the car keeps it until the next one."""
        self._commanded = True
        self._steering_rad = steering_rad
        if throttle is not None:
            self._throttle = throttle

    def reset(self) -> None:
        """Put the car back to the start, standing, and start the score anew; the time goes on."""
        self._car, self.place = self._start
        self._steering_rad = self._throttle = 0.0
        self._commanded = False
        self.score = Score(self._track)
        self.run += 1

    def advance(self) -> None:
        """Simulate one frame. The time of the score starts with the first command."""
        if self.manual:
            steering_rad = pursuit_steering_rad(self._track, self._car.pose, self.place.s_m)
            self.apply(steering_rad, self._manual_throttle())
        self.time_s += 1.0 / self._options.hz
        slope = self._slope()
        before_rad = self._car.yaw_rad
        while (self._steps + 1) * _STEP_S <= self.time_s + 1e-9:
            self._steps += 1
            self._car = step(
                self._car,
                self._steering_rad,
                self._throttle,
                _STEP_S,
                self._params,
                self._options.faults.grade(self.place.s_m),
                slope,
            )
        turned_rad = math.remainder(self._car.yaw_rad - before_rad, math.tau)
        self._yaw_rate_radps = turned_rad * self._options.hz
        self.place = self._locate()
        if self._commanded and self.score.update(
            self.time_s, self._car, self.place, self._steering_rad
        ):
            self._car = standing_at(self._track.pose(self.place.s_m), self._car.traction)
            self.place = self._locate()
            self.score.put_back(self.place)

    def telemetry(self) -> dict[str, str] | None:
        """Return the fields of the telemetry; None for manual driving."""
        self.frames += 1
        if self.manual:
            return None
        jpeg = encode_jpeg(
            self._render(self._car.pose, self.place.s_m), self._options.jpeg_quality
        )
        values = Telemetry(
            steering_rad=self._steering_rad,
            throttle=max(0.0, self._throttle),
            speed_mps=abs(self._car.speed_mps),
            jpeg=jpeg,
            run=self.run,
            time_ns=round(1e9 * self.time_s),
            truth=self._truth().text(),
            waits=self._options.fast,
        )
        return encode_telemetry(values, CULTURES[self._options.culture])

    def _truth(self) -> Truth:
        car, score = self._car, self.score
        posture = self._track.posture(self.place, car.yaw_rad)
        return Truth(
            x_m=car.x_m,
            y_m=car.y_m,
            z_m=posture.height_m,
            yaw_rad=car.yaw_rad,
            pitch_up_rad=posture.pitch_rad,
            speed_mps=car.speed_mps,
            yaw_rate_radps=self._yaw_rate_radps,
            cross_track_m=self.place.cross_track_m,
            laps=score.laps,
            lap_time_s=score.lap_time_s,
            off_road=score.off_road,
        )

    def _manual_throttle(self) -> float:
        """Return the throttle of a person: more on a climb, by the force that the slope takes."""
        climb_mps2 = GRAVITY_MPS2 * math.sin(self._slope().pitch_rad)
        return min(1.0, MANUAL_THROTTLE + max(0.0, climb_mps2 / DRIVE_MPS2))

    def _slope(self) -> Slope:
        """Return the road under the car; a frame is short enough that it serves all its steps."""
        posture = self._track.posture(self.place, self._car.yaw_rad)
        return Slope(posture.pitch_rad, self._track.bend_1pm(self.place.s_m))

    def _locate(self) -> Projection:
        return self._track.project(self._car.x_m, self._car.y_m, self.place.s_m)


def run(
    options: SimulatorOptions,
    on_status: Callable[[dict[str, Any]], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    ready: Callable[[], bool] = lambda: True,
) -> dict[str, Any]:
    """Drive until the laps or seconds are over or `stop` returns true; return the report.

    `on_status` gets the state of the drive four times a second. `stop` is called at every frame
    and ten times a second while waiting. The client connects when `ready` returns true.
    """
    simulator = Simulator(options)
    while not ready() and not stop():
        time.sleep(_READY_CHECK_S)
    client = _client(options)
    loop = _Loop(options, simulator, client, on_status, stop)
    try:
        loop.run()
    finally:
        client.quit()
    return loop.report()


def _client(options: SimulatorOptions) -> Client:
    culture = CULTURES[options.culture]
    if options.faults.healthy:
        return Client(options.url, culture)
    return FaultyClient(options.url, culture, options.faults)


class _Loop:
    """One drive in real time."""

    def __init__(
        self,
        options: SimulatorOptions,
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
            due_s = max(due_s + 1.0 / self._options.hz, time.perf_counter() - _MAX_LAG_S)

    def report(self) -> dict[str, Any]:
        client = self._client
        return {
            **self._simulator.score.report(),
            'frames': self._simulator.frames,
            'answers': client.answers,
            'tokens_lost': client.lost,
            'latency_ms': _latency_ms(client.latencies_s),
            'telemetry_hz': self._telemetry_hz(),
            'track': self._options.track,
            'weather': str(self._options.weather),
        }

    def _in_menu(self) -> bool:
        now_s = self._elapsed_s()
        return _within(now_s, self._options.menu_s) or self._options.faults.active('menu', now_s)

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
            self._client.tokens = 1
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
            self._client.send_telemetry(self._simulator.telemetry())

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


def _within(time_s: float, spans: Spans) -> bool:
    return any(first_s <= time_s < last_s for first_s, last_s in spans)


def _latency_ms(latencies_s: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and max, ms; 0 each while there are no latencies."""
    return {name: ms or 0.0 for name, ms in percentiles_ms(latencies_s).items()}
