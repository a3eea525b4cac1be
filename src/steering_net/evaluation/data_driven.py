# SPDX-License-Identifier: Apache-2.0
"""Data-driven simulation: a network drives a recorded lap, with frames re-projected to its pose.

After the simulation in M. Bojarski et al., "End to End Learning for Self-Driving Cars",
arXiv:1604.07316 (2016). The trajectory of the recorded car is that of the bicycle model under the
recorded steering. The network's car has the recorded speed, and its network gets each frame
re-projected to the car's offset and heading. The car starts on a reference line: in the paper the
middle of the lane. More than 1 m beside that line it is put back on it: an intervention.

Keyboard steering is a series of full pulses and zeros. The trajectory is computed from the pulses,
not from their one-second mean, because a car integrates them twice. The frames confirm it: on a
recorded lap, the motion of the distant hills between two frames correlates by 0.95 with the turns
of this trajectory, and by 0.82 with those of the mean's.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np
from tqdm import tqdm

from steering_net.bicycle_model import curvature_1pm
from steering_net.data.centerline import directions, edges_in, middles_of
from steering_net.data.driving_log import LogError, Series
from steering_net.data.frame_files import LeftOut
from steering_net.data.recording import Recording, no_speed
from steering_net.data.trajectory import LONGEST_STEP_S, acting_steering_rad, runs
from steering_net.errors import ImageError
from steering_net.statistics import autonomy_percent, percentiles_ms
from steering_net.vehicle import REAR_AXLE_M, within_lock
from steering_net.vision.camera_model import (
    TRAINING_CAMERA,
    Pinhole,
    Rgb,
    find_camera,
    reprojected,
)
from steering_net.vision.crop import crop_of
from steering_net.vision.frame_size import as_frame

INTERVENTION_BEYOND_M = 1.0
LEAST_KNOWN = 0.9
_SUBSTEP_M = 0.1


@dataclass(frozen=True)
class Offset:
    """Pose of the network's rear axle relative to the recorded car's: m and rad, left positive."""

    left_m: float = 0.0
    yaw_rad: float = 0.0

    @property
    def origin_m(self) -> float:
        """Distance of the car's origin from the recorded trajectory, m to the left."""
        return self.left_m + REAR_AXLE_M * math.sin(self.yaw_rad)


@dataclass(frozen=True)
class ReferenceLine:
    """Reference line of a drive, at each frame, (n,) each.

    `left_m` is its distance to the left of the recorded car's origin, `yaw_rad` its direction to
    the left of the recorded car's; NaN where it is not known.
    """

    name: str
    left_m: Series
    yaw_rad: Series

    def is_known(self, index: int) -> bool:
        """Whether the line is known at this frame and the next."""
        ends = (*self.left_m[index : index + 2], *self.yaw_rad[index : index + 2])
        return all(map(math.isfinite, ends))

    def at(self, index: int) -> Offset:
        """Return the offset of a car that is on the line and heads along it."""
        yaw_rad = float(self.yaw_rad[index])
        left_m = float(self.left_m[index]) - REAR_AXLE_M * math.sin(yaw_rad)
        return Offset(left_m, yaw_rad)


@dataclass(frozen=True)
class RecordedDrive:
    """The fields of the report, and offsets from the line after each frame: (n - 1,), m, left.

    `offsets_m` are those of the network's car, NaN in pauses. `driver_m` are those of the recorded
    car, NaN where the line is not known.
    """

    report: dict[str, Any]
    offsets_m: Series
    driver_m: Series


def advance(offset: Offset, steering_rad: float, recorded_rad: float, distance_m: float) -> Offset:
    """Return the offset after the recorded car drove `distance_m`, both steering constantly.

    Both follow the bicycle model. Per metre of the recorded car's path, of curvature k0, the other
    car, of curvature k, at e left of it and turned left by psi, moves left by (1 - k0 e) tan(psi)
    and turns left by (1 - k0 e) k / cos(psi) - k0.
    """
    left_m, yaw_rad = offset.left_m, offset.yaw_rad
    steps = max(1, math.ceil(distance_m / _SUBSTEP_M))
    step_m = distance_m / steps
    own_1pm = float(curvature_1pm(within_lock(steering_rad)))
    recorded_1pm = float(curvature_1pm(within_lock(recorded_rad)))
    for _ in range(steps):
        stretch = 1.0 - recorded_1pm * left_m
        turn = (stretch * own_1pm / math.cos(yaw_rad) - recorded_1pm) * step_m
        left_m += stretch * math.tan(yaw_rad + turn / 2) * step_m
        yaw_rad += turn
    return Offset(left_m, yaw_rad)


def view(rgb: Rgb, offset: Offset, camera: Pinhole = TRAINING_CAMERA) -> Rgb:
    """Return a recorded frame, uint8 (H, W, 3) RGB, as seen from the network's car: (160, 320, 3).

    `camera` is the camera of the frame. Raises ImageError for a frame that `as_frame` rejects.
    """
    back_m = REAR_AXLE_M * (math.cos(offset.yaw_rad) - 1.0)
    return reprojected(as_frame(rgb), back_m, offset.origin_m, offset.yaw_rad, camera)


See: TypeAlias = Callable[[int, Rgb, Offset], Rgb]
"""Function from a row, its frame, and an offset to the frame (160, 320, 3) seen from there."""


def over_plane(recording: Recording) -> See:
    """Return the function that re-projects the frames of a recording over flat ground."""
    camera = find_camera(recording.camera)
    return lambda _, rgb, offset: view(rgb, offset, camera)


def recorded_way(recording: Recording) -> ReferenceLine:
    """Return the recorded trajectory as the reference line."""
    nothing = np.zeros(len(recording))
    return ReferenceLine('driver', nothing, nothing)


def road_middle(recording: Recording) -> ReferenceLine:
    """Return the middle of the road, measured in the recording's frames, as the reference line.

    It is interpolated where too few frames show the road's edges, and NaN at the ends of a run
    where it is not known. Raises LogError if it is not known at more than a tenth of the frames,
    if no frame can be used, or if the recording has no speeds.
    """
    if not recording.speed_mps.any():
        raise no_speed(recording)
    left_m, yaw_rad = np.full((2, len(recording)), np.nan)
    seen = edges_in(recording)
    if all(edges is None for edges in seen):
        _refuse(recording)
    for run, way, middle_m in middles_of(recording, seen):
        left_m[run], yaw_rad[run] = _filled(middle_m), _filled(directions(way, middle_m))
    known = np.isfinite(left_m) & np.isfinite(yaw_rad)
    if known.mean() < LEAST_KNOWN:
        raise LogError(
            f"the road's middle is known at only {known.mean():.0%} of the frames of "
            f'{recording.name}: use --reference driver'
        )
    return ReferenceLine('middle', left_m, yaw_rad)


def _refuse(recording: Recording) -> NoReturn:
    """Raise LogError with the reason why no frame can be used."""
    try:
        crop_of(recording.frame(0))
    except ImageError as error:
        raise LogError(f'no frame of {recording.name} can be used: {error}') from error
    raise LogError(f'no frame of {recording.name} can be used')


def _filled(values: Series) -> Series:
    """Interpolate NaN between known values."""
    rows, known = np.arange(len(values)), np.isfinite(values)
    if not known.any():
        return values
    return np.asarray(
        np.interp(rows, rows[known], values[known], left=np.nan, right=np.nan), np.float64
    )


def drive(
    steer: Callable[[Rgb], float],
    recording: Recording,
    line: ReferenceLine | None = None,
    clock: Callable[[], float] = time.perf_counter,
    see: See | None = None,
) -> RecordedDrive:
    """Drive with `steer` (frame -> rad, left positive) from the first frame to the last but one.

    `line` is the reference line, by default the recorded trajectory. `see` re-projects the frames,
    by default over flat ground. After a gap in the recording (more than 0.5 s) or in the line the
    car is put back on the line, which is no intervention. At a frame that cannot be used the
    steering stays as it is. Raises LogError if no frame can be used or the car does not move.
    `clock`: time in s, for the latencies.
    """
    line = line or recorded_way(recording)
    run = _Run(recording, line, clock, see or over_plane(recording))
    for index in tqdm(range(len(recording) - 1), 'driving', unit='frame', disable=None):
        run.step(index, steer)
    return RecordedDrive(run.report(), np.array(run.offsets_m), 0.0 - line.left_m[1:])


class _Run:
    def __init__(
        self, recording: Recording, line: ReferenceLine, clock: Callable[[], float], see: See
    ) -> None:
        self.offsets_m: list[float] = []
        self._recording, self._line, self._clock, self._see = recording, line, clock, see
        self._steps_s = np.diff(recording.times_s)
        self._recorded_rad = np.concatenate(
            [acting_steering_rad(recording.steering_rad[run]) for run in runs(recording.times_s)]
        )
        self._offset = line.at(0)
        self._steering_rad = 0.0
        self._steered_s = math.nan
        self._interventions = 0
        self._distance_m = 0.0
        self._turned_rad2ps = 0.0
        self._latencies_s: list[float] = []
        self._left_out = LeftOut(recording.name)

    def step(self, index: int, steer: Callable[[Rgb], float]) -> None:
        """Steer by frame `index`, and drive to the next."""
        step_s = float(self._steps_s[index])
        if not (0.0 < step_s <= LONGEST_STEP_S and self._line.is_known(index)):
            self._put_back(index + 1)
            self.offsets_m.append(math.nan)
            return
        self._steer(index, steer)
        distance_m = float(self._recording.speed_mps[index]) * step_s
        recorded_rad = float(self._recorded_rad[index])
        self._offset = advance(self._offset, self._steering_rad, recorded_rad, distance_m)
        off_line_m = self._offset.origin_m - float(self._line.left_m[index + 1])
        self.offsets_m.append(off_line_m)
        self._distance_m += distance_m
        if abs(off_line_m) > INTERVENTION_BEYOND_M:
            self._interventions += 1
            self._put_back(index + 1)

    def _put_back(self, index: int) -> None:
        """Put the car on the line; the jump is no steering."""
        self._offset = self._line.at(index)
        self._steered_s = math.nan

    def _steer(self, index: int, steer: Callable[[Rgb], float]) -> None:
        try:
            seen = self._see(index, self._recording.frame(index), self._offset)
            asked_s = self._clock()
            steering_rad = within_lock(steer(seen))
        except ImageError as error:
            self._left_out.add(self._recording.frame_names[index], error)
            return
        self._latencies_s.append(self._clock() - asked_s)
        time_s = float(self._recording.times_s[index])
        if math.isfinite(self._steered_s):
            turned_rad = steering_rad - self._steering_rad
            self._turned_rad2ps += turned_rad**2 / (time_s - self._steered_s)
        self._steering_rad, self._steered_s = steering_rad, time_s

    def report(self) -> dict[str, Any]:
        """Return the fields of the report, SI, without the pauses."""
        self._left_out.warn()
        if len(self._recording) < 2:
            raise LogError(f'{self._recording.name} holds one frame; a drive needs two or more')
        if not self._latencies_s:
            reason = self._left_out.last_reason or (
                f': no two are at most {LONGEST_STEP_S} s apart where the reference line is known'
            )
            raise LogError(f'no frame of {self._recording.name} can be used{reason}')
        if not self._distance_m:
            raise no_speed(self._recording)
        offsets_m = np.array(self.offsets_m)
        driven = np.isfinite(offsets_m)
        duration_s = float(self._steps_s[driven].sum())
        return {
            'reference': self._line.name,
            'frames': len(self._latencies_s),
            'duration_s': duration_s,
            'distance_m': self._distance_m,
            'interventions': self._interventions,
            'autonomy_percent': autonomy_percent(self._interventions, duration_s),
            'rms_cross_track_m': float(np.sqrt(np.mean(offsets_m[driven] ** 2))),
            'max_cross_track_m': float(np.max(np.abs(offsets_m[driven]))),
            'max_speed_mps': float(np.max(self._recording.speed_mps)),
            'steering_rms_rate_radps': math.sqrt(self._turned_rad2ps / duration_s),
            'latency_ms': percentiles_ms(self._latencies_s),
        }
