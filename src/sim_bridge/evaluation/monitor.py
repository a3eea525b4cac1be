# SPDX-License-Identifier: Apache-2.0
"""The monitor of the steering node, judged by drives in known worlds and in unknown ones.

A known world is an embedded track in clear weather that the network drives. An unknown one has
weather, or its network is mutated. A failure is a lane departure. It counts as foreseen N s ahead
if the network was unsure at some time of the second that ends N s before it. In known worlds each
second with an unsure frame is a false positive. Drives are those of the embedded simulator,
20 frames a simulated second, and every frame is answered before the next one. The speed
limit holds in curves too: there is no lateral limit.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_bridge.control.speed_controller import proportional
from sim_bridge.control.stop_controller import StopController
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import CLEAR, Weather
from steering_net.data.frame_files import LeftOut
from steering_net.data.recording import Recording
from steering_net.errors import ImageError
from steering_net.inference.caution import SLOW_FACTOR, UNSURE, Action, Caution
from steering_net.inference.packed_network import PackedNetwork
from steering_net.inference.predictor import Predictor
from steering_net.inference.self_check import Calibration, Drive, SelfCheck
from steering_net.vision.jpeg import decode_jpeg

AHEAD_S = (1, 2, 3)
FRAMES_PER_S = 20.0
_BEFORE_FAILURE_S = 3.0
_STARTING_S = 1.0
"""The time after the start, and after the car was put back, that is not judged."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """A drive to make: the network that steers and its title, the track and its weather."""

    title: str
    network: PackedNetwork
    track: TrackName
    weather: Weather = CLEAR

    def __str__(self) -> str:
        return f'{self.title} {self.track} {self.weather}'


@dataclass(frozen=True)
class Watched:
    """A drive of a course: for each frame time, uncertainty and whether the car is off the road.

    `is_judged` is false after the start and after the car was put back. `is_held` is whether the
    monitor has stopped the car.
    """

    course: str
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
    """Function from a course to the drive there, with the monitor in this mode.

    A drive ends when the car is held.
    """

    plan: Plan
    mode: str = 'warn'

    def __call__(self, course: Course) -> Watched:
        """Drive."""
        predictor, plan = course.network.load(), self.plan
        watcher = _Watcher(SelfCheck(predictor, plan.calibration), Caution(self.mode))
        options = SimulatorOptions(track=course.track, weather=course.weather, hz=FRAMES_PER_S)
        _drive(predictor, options, plan.seconds, plan.speed_limit_mps, watcher)
        return watcher.result(str(course))


class _Watcher:
    """Collects what `Watched` needs, frame by frame."""

    def __init__(self, check: SelfCheck, caution: Caution) -> None:
        self._check = check
        self._caution = caution
        self._rows: list[tuple[float, float, bool]] = []
        self._departures: list[float] = []
        self._put_back_s = 0.0
        self._interventions = 0
        self._action = Action.DRIVE

    def __call__(self, simulator: Simulator, steering_rad: float) -> Action:
        time_s, score = simulator.time_s, simulator.score
        uncertainty = self._check.uncertainty(steering_rad, time_s)
        if score.interventions > self._interventions:
            self._interventions, self._put_back_s = score.interventions, time_s
        self._rows.append((time_s, uncertainty, time_s - self._put_back_s >= _STARTING_S))
        if score.lane_departures > len(self._departures):
            self._departures.append(time_s)
        self._action = self._caution.add(uncertainty, time_s)
        return self._action

    def result(self, course: str) -> Watched:
        """Return the drive."""
        times_s, uncertainty, judged = (np.array(row) for row in zip(*self._rows, strict=True))
        departures_s, is_held = np.array(self._departures), self._action is Action.HOLD
        return Watched(course, times_s, uncertainty, judged, departures_s, is_held)


def _drive(
    predictor: Predictor,
    options: SimulatorOptions,
    seconds: float,
    limit_mps: float,
    on_frame: Callable[[Simulator, float], Action],
) -> None:
    """Drive until the time is over or the action is HOLD.

    `on_frame` gets the simulator and the angle for its frame, rad; it returns the action.
    """
    simulator = Simulator(options)
    stop_controller = StopController()
    while simulator.time_s < seconds:
        fields = simulator.telemetry()
        assert fields is not None
        rgb = decode_jpeg(base64.b64decode(fields['image']))
        steering_rad = predictor.predict(rgb)
        action = on_frame(simulator, steering_rad)
        if action is Action.HOLD:
            return
        speed_mps = abs(simulator.car.speed_mps)
        wanted_mps = limit_mps * (SLOW_FACTOR if action is Action.SLOW else 1.0)
        stop_controller.measure(simulator.time_s, speed_mps)
        throttle = stop_controller.drive(simulator.time_s, proportional(speed_mps, wanted_mps))
        simulator.apply(steering_rad, throttle)
        simulator.advance()


def known_drive(predictor: Predictor, track: TrackName, seconds: float, limit_mps: float) -> Drive:
    """Return what `calibrate` needs of a drive in a known world, up to a lane departure."""
    check = SelfCheck(predictor)
    rows: list[tuple[int, float, float]] = []

    def on_frame(simulator: Simulator, steering_rad: float) -> Action:
        rows.append((*check.sum_rad(steering_rad), simulator.time_s))
        return Action.HOLD if simulator.score.lane_departures else Action.DRIVE

    options = SimulatorOptions(track=track, hz=FRAMES_PER_S)
    _drive(predictor, options, seconds, limit_mps, on_frame)
    return _columns(rows)


def known_recording(predictor: Predictor, recording: Recording) -> Drive:
    """Return what `calibrate` needs of the frames of a recording; bad ones give warnings."""
    check, rows, left_out = SelfCheck(predictor), [], LeftOut(recording.name)
    for index, name in enumerate(recording.frame_names):
        try:
            steering_rad = predictor.predict(recording.frame(index))
        except ImageError as error:
            left_out.add(name, error)
            continue
        rows.append((*check.sum_rad(steering_rad), float(recording.times_s[index])))
    left_out.warn()
    return _columns(rows)


def _columns(rows: list[tuple[int, float, float]]) -> Drive:
    side, sum_rad, time_s = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(side, np.intp), np.array(sum_rad), np.array(time_s)


def judge(
    known: Sequence[Watched], unknown: Sequence[Watched], held: Sequence[Watched]
) -> dict[str, Any]:
    """Return the report: `unknown` are drives that the monitor only watches.

    `held` are the same courses with the monitor in mode `hold`.
    """
    windows = [is_unsure for drive in known for is_unsure in _seconds(drive)]
    false_positives = sum(windows)
    report: dict[str, Any] = {
        'known_drives': len(known),
        'known_departures': sum(len(drive.departures_s) for drive in known),
        'known_stops': sum(_would_stop(drive) for drive in known),
        'unknown_drives': len(unknown),
        'false_positive_percent': _percent(false_positives, len(windows)),
    }
    for ahead_s in AHEAD_S:
        foreseen = [seen for drive in unknown for seen in _foreseen(drive, ahead_s)]
        report[f'failures_{ahead_s}s'] = len(foreseen)
        report[f'recall_{ahead_s}s_percent'] = _percent(sum(foreseen), len(foreseen))
        alarms = sum(foreseen) + false_positives
        report[f'precision_{ahead_s}s_percent'] = _percent(sum(foreseen), alarms)
    report['frame_auc'] = _auc(known, unknown)
    without, with_hold = (sum(len(d.departures_s) for d in drives) for drives in (unknown, held))
    report['departures_without_hold'] = without
    report['departures_with_hold'] = with_hold
    # A car that is not held is put back and may fail again and again, so drives count too.
    for name, drives in (('failed_drives', unknown), ('failed_drives_with_hold', held)):
        report[name] = sum(len(drive.departures_s) > 0 for drive in drives)
    good = [
        after for before, after in zip(unknown, held, strict=True) if not len(before.departures_s)
    ]
    report['sound_unknown_drives'] = len(good)
    report['sound_drives_held'] = sum(drive.is_held for drive in good)
    return report


def lines(unknown: Sequence[Watched], held: Sequence[Watched]) -> list[str]:
    """Return a line for each unknown course: departures, unsure frames, and when it was held."""
    return [
        f'{watched.course:36} {len(watched.departures_s):3} departures, '
        f'{np.mean(watched.uncertainty >= UNSURE):4.0%} unsure, '
        + (f'held after {with_hold.times_s[-1]:.1f} s' if with_hold.is_held else 'not held')
        + f', {len(with_hold.departures_s)} departures'
        for watched, with_hold in zip(unknown, held, strict=True)
    ]


def _seconds(drive: Watched) -> list[bool]:
    """Return for each whole second of a drive whether the network was unsure in it."""
    per_s = round(FRAMES_PER_S)
    unsure = (drive.uncertainty >= UNSURE) & drive.is_judged
    return [
        bool(unsure[k : k + per_s].any()) for k in range(per_s, len(unsure) - per_s + 1, per_s)
    ]


def _foreseen(drive: Watched, ahead_s: float) -> list[bool]:
    """Return for each departure whether it was foreseen; those too early in a drive are left out.

    A departure also counts from the one before it.
    """
    seen = []
    starts = itertools.chain([0.0], drive.departures_s[:-1])
    for start_s, failure_s in zip(starts, drive.departures_s, strict=False):
        first_s, last_s = failure_s - ahead_s - 1.0, failure_s - ahead_s
        inside = (drive.times_s > first_s) & (drive.times_s <= last_s)
        if first_s < start_s + _STARTING_S or not drive.is_judged[inside].all():
            continue
        seen.append(bool((drive.uncertainty[inside] >= UNSURE).any()))
    return seen


def _would_stop(drive: Watched) -> bool:
    """Whether the monitor had stopped the car in mode `hold`."""
    caution = Caution('hold')
    frames = zip(drive.uncertainty, drive.times_s, strict=True)
    return any(caution.add(float(u), float(t)) is Action.HOLD for u, t in frames)


def _auc(known: Sequence[Watched], unknown: Sequence[Watched]) -> float:
    """Return how often a frame before a departure is less sure than one of a known world."""
    before = [
        drive.uncertainty[
            drive.is_judged & (drive.times_s > t - _BEFORE_FAILURE_S) & (drive.times_s <= t)
        ]
        for drive in unknown
        for t in drive.departures_s
    ]
    if not before:
        return float('nan')
    positive = np.concatenate(before)
    negative = np.sort(np.concatenate([drive.uncertainty[drive.is_judged] for drive in known]))
    below = np.searchsorted(negative, positive, 'left') + np.searchsorted(
        negative, positive, 'right'
    )
    return float(below.mean() / 2 / len(negative))


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else float('nan')
