# SPDX-License-Identifier: Apache-2.0
"""Drives with the monitor of the steering node, in known worlds and in unknown ones.

A known world is an embedded track in clear weather that the network drives. An unknown one has
weather, or its network is mutated. Drives are those of the embedded simulator, 20 frames a
simulated second, and every frame is answered before the next one. The speed limit holds in curves
too: there is no lateral limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim_bridge.control.motion_controller import STANDING_MPS
from sim_bridge.control.node_throttle import NodeThrottle
from sim_bridge.evaluation.closed_loop import driven
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import CLEAR, Weather
from steering_net.data.frame_files import LeftOut
from steering_net.data.recording import Recording
from steering_net.errors import ImageError
from steering_net.inference.caution import SLOW_FACTOR, Action, Caution
from steering_net.inference.packed_network import PackedNetwork
from steering_net.inference.predictor import Predictor
from steering_net.inference.self_check import Answers, Calibration, CheckedDrive, SelfCheck
from steering_net.vision.jpeg import decode_jpeg

FRAMES_PER_S = 20.0
STARTING_S = 1.0
"""The time after the start, and after the car was put back, that is not judged."""

_FACTORS = {Action.DRIVE: 1.0, Action.SLOW: SLOW_FACTOR, Action.HOLD: 0.0}
"""Share of the speed limit that each action leaves."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Conditions:
    """Conditions of a drive: the network that steers and its title, the track and its weather."""

    title: str
    network: PackedNetwork
    track: TrackName
    weather: Weather = CLEAR

    def __str__(self) -> str:
        return f'{self.title} {self.track} {self.weather}'


@dataclass(frozen=True)
class Watched:
    """A drive: its conditions, and time and uncertainty of each of n frames, (n,).

    `departures_s` are the times at which the car left the lane, (k,). `is_judged`, (n,), is
    false after the start and after the car was put back. `is_held` is whether the monitor has
    stopped the car.
    """

    conditions: str
    times_s: Floats
    uncertainty: Floats
    is_judged: npt.NDArray[np.bool_]
    departures_s: Floats
    is_held: bool


@dataclass(frozen=True)
class Plan:
    """Length of each drive, s, speed limit, m/s, and the calibration of the monitor."""

    seconds: float
    speed_limit_mps: float
    calibration: Calibration


@dataclass(frozen=True)
class Watch:
    """Function from conditions to the drive under them, with the monitor in this mode.

    A car that is held brakes, and its drive ends when it stands.
    """

    plan: Plan
    mode: str = 'warn'

    def __call__(self, conditions: Conditions) -> Watched:
        """Drive."""
        predictor, plan = conditions.network.load(), self.plan
        watcher = _Watcher(SelfCheck(predictor, plan.calibration), Caution(self.mode))
        simulator = Simulator(
            SimulatorOptions(track=conditions.track, weather=conditions.weather, hz=FRAMES_PER_S)
        )
        throttle = NodeThrottle(plan.speed_limit_mps, 0.0)
        for steering_rad in _driven(predictor, simulator, throttle, plan.seconds):
            if watcher.action is Action.HOLD:
                watcher.note_departure(simulator)
                if abs(simulator.car.speed_mps) < STANDING_MPS:
                    break
            else:
                watcher(simulator, steering_rad)
                throttle.limit_mps = _FACTORS[watcher.action] * plan.speed_limit_mps
        return watcher.result(str(conditions))


class _Watcher:
    """Collects what `Watched` needs, frame by frame. `action` is that of the monitor."""

    def __init__(self, check: SelfCheck, caution: Caution) -> None:
        self._check = check
        self._caution = caution
        self._rows: list[tuple[float, float, bool]] = []
        self._departures: list[float] = []
        self._put_back_s = 0.0
        self._interventions = 0
        self.action = Action.DRIVE

    def __call__(self, simulator: Simulator, steering_rad: float) -> None:
        time_s, score = simulator.time_s, simulator.score
        uncertainty = self._check.uncertainty(steering_rad, time_s)
        if score.interventions > self._interventions:
            self._interventions, self._put_back_s = score.interventions, time_s
        self._rows.append((time_s, uncertainty, time_s - self._put_back_s >= STARTING_S))
        self.note_departure(simulator)
        self.action = self._caution.add(uncertainty, time_s)

    def note_departure(self, simulator: Simulator) -> None:
        """Keep the time if the car has just left the lane."""
        if simulator.score.lane_departures > len(self._departures):
            self._departures.append(simulator.time_s)

    def result(self, conditions: str) -> Watched:
        """Return the drive."""
        times_s, uncertainty, judged = (np.array(row) for row in zip(*self._rows, strict=True))
        departures_s, is_held = np.array(self._departures), self.action is Action.HOLD
        return Watched(conditions, times_s, uncertainty, judged, departures_s, is_held)


def _driven(
    predictor: Predictor, simulator: Simulator, throttle: NodeThrottle, seconds: float
) -> Iterator[float]:
    """Drive with a network; see `driven`."""
    return driven(simulator, throttle, lambda jpeg: predictor.predict(decode_jpeg(jpeg)), seconds)


def known_drive(
    predictor: Predictor, track: TrackName, seconds: float, limit_mps: float
) -> CheckedDrive:
    """Return what `calibrate` needs of a drive in a known world, up to a lane departure."""
    check = SelfCheck(predictor)
    drive: list[tuple[Answers, float]] = []
    simulator = Simulator(SimulatorOptions(track=track, hz=FRAMES_PER_S))
    for steering_rad in _driven(predictor, simulator, NodeThrottle(limit_mps, 0.0), seconds):
        drive.append((check.answers(steering_rad), simulator.time_s))
        if simulator.score.lane_departures:
            break
    return drive


def known_recording(predictor: Predictor, recording: Recording) -> CheckedDrive:
    """Return what `calibrate` needs of the frames of a recording; bad ones give warnings."""
    check, left_out = SelfCheck(predictor), LeftOut(recording.name)
    drive: list[tuple[Answers, float]] = []
    for index, name in enumerate(recording.frame_names):
        try:
            steering_rad = predictor.predict(recording.frame(index))
        except ImageError as error:
            left_out.add(name, error)
            continue
        drive.append((check.answers(steering_rad), float(recording.times_s[index])))
    left_out.warn()
    return drive
