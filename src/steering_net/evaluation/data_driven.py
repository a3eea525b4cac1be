"""Let a network drive a recorded lap: frames are re-projected to where its car would be.

After the simulation in M. Bojarski et al., "End to End Learning for Self-Driving Cars",
arXiv:1604.07316 (2016). The recorded car's way is that of the bicycle model under the recorded
steering. The network's car keeps the recorded speed, and sees each frame re-projected for its
offset and heading. It starts on the line that is its yardstick, in the paper the lane's middle;
more than a metre off that, it is put back on it: an intervention.

Recorded steering is keyed, in full pulses and zeros, but a car integrates it twice: its way is
smooth all the same. So the pulses are what the way is made of, not their one-second mean. That it
is the right way shows in the frames: on a recorded lap, the turns that the distant hills make
between two frames correlate by 0.95 with those of the recorded car here (by 0.82 with the mean's).
"""

import functools
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from steering_net.data.centerline import directions, look, middles_of
from steering_net.data.driving_log import LogError, Series
from steering_net.data.recording import Recording, no_speed
from steering_net.data.trajectory import LONGEST_STEP_S, acting
from steering_net.errors import ImageError
from steering_net.statistics import percentiles_ms
from steering_net.vehicle import MAX_STEERING_RAD, REAR_AXLE_M, curvature_1pm
from steering_net.vision.camera_model import (
    TRAINING_CAMERA,
    Pinhole,
    Rgb,
    find_camera,
    reprojected,
)
from steering_net.vision.crop import crop_of
from steering_net.vision.frame_size import as_frame

_LOG = logging.getLogger(__name__)
INTERVENTION_BEYOND_M = 1.0
INTERVENTION_COST_S = 6.0
LEAST_KNOWN = 0.9
_SUBSTEP_M = 0.1


@dataclass(frozen=True)
class Offset:
    """Where the network's rear axle is beside the recorded car's: m and rad, left positive."""

    left_m: float = 0.0
    yaw_rad: float = 0.0

    @property
    def origin_m(self) -> float:
        """How far left of the recorded way the car's origin is, ahead of its rear axle."""
        return self.left_m + REAR_AXLE_M * math.sin(self.yaw_rad)


@dataclass(frozen=True)
class Line:
    """What a drive is judged by: a line beside the recorded way, (n,) each, at each frame.

    `left_m` is its distance to the left of the recorded car's origin, `yaw_rad` its direction,
    left of the car's; NaN where it is not known.
    """

    name: str
    left_m: Series
    yaw_rad: Series

    def is_known(self, index: int) -> bool:
        """Whether the line is known from this frame to the next."""
        ends = (*self.left_m[index : index + 2], *self.yaw_rad[index : index + 2])
        return all(map(math.isfinite, ends))

    def at(self, index: int) -> Offset:
        """The offset of a car whose origin is on the line, and that looks along it."""
        yaw_rad = float(self.yaw_rad[index])
        left_m = float(self.left_m[index]) - REAR_AXLE_M * math.sin(yaw_rad)
        return Offset(left_m, yaw_rad)


@dataclass(frozen=True)
class Drive:
    """The report's fields, and offsets from the line after each frame: (n - 1,), m, left positive.

    `offsets_m` are the network's, NaN in pauses, `driver_m` the recorded driver's, NaN where
    the line is not known.
    """

    report: dict[str, Any]
    offsets_m: Series
    driver_m: Series


def advance(offset: Offset, steering_rad: float, recorded_rad: float, distance_m: float) -> Offset:
    """Return the offset after the recorded car drove on by `distance_m`, both steering constantly.

    Both follow the bicycle model. Per metre of the recorded car's path, of curvature k0, the other
    car, of curvature k, at e left of it and turned left by psi, moves left by (1 - k0 e) tan(psi)
    and turns left by (1 - k0 e) k / cos(psi) - k0.
    """
    left_m, yaw_rad = offset.left_m, offset.yaw_rad
    steps = max(1, math.ceil(distance_m / _SUBSTEP_M))
    step_m = distance_m / steps
    own_1pm = float(curvature_1pm(_within_lock(steering_rad)))
    recorded_1pm = float(curvature_1pm(_within_lock(recorded_rad)))
    for _ in range(steps):
        stretch = 1.0 - recorded_1pm * left_m
        turn = (stretch * own_1pm / math.cos(yaw_rad) - recorded_1pm) * step_m
        left_m += stretch * math.tan(yaw_rad + turn / 2) * step_m
        yaw_rad += turn
    return Offset(left_m, yaw_rad)


def view(rgb: Rgb, offset: Offset, camera: Pinhole = TRAINING_CAMERA) -> Rgb:
    """Return a recorded frame, uint8 (H, W, 3) RGB, as the network's car sees it.

    `camera` took it. The result is (160, 320, 3). Raises ImageError for a frame that `as_frame`
    does not take.
    """
    back_m = REAR_AXLE_M * (math.cos(offset.yaw_rad) - 1.0)
    return reprojected(as_frame(rgb), back_m, offset.origin_m, offset.yaw_rad, camera)


def recorded_way(recording: Recording) -> Line:
    """Return the recorded driver's own way as the yardstick."""
    nothing = np.zeros(len(recording))
    return Line('way', nothing, nothing)


def road_middle(recording: Recording) -> Line:
    """Return the middle of the road, measured in the recording's frames, as the yardstick.

    Where few frames show the road's edges it is interpolated; at both ends of a run it is NaN
    where it is not known. LogError where it is not known beside a tenth of the frames, where no
    frame can be used, or where there is no speed.
    """
    if not recording.speed_mps.any():
        raise no_speed(recording)
    left_m, yaw_rad = np.full((2, len(recording)), np.nan)
    frames = _progress(len(recording), 'looking')
    seen = [look(functools.partial(recording.frame, index), recording.camera) for index in frames]
    if all(edges is None for edges in seen):
        _refuse(recording)
    for run, way, middle_m in middles_of(recording, seen):
        left_m[run], yaw_rad[run] = _filled(middle_m), _filled(directions(way, middle_m))
    known = np.isfinite(left_m) & np.isfinite(yaw_rad)
    if known.mean() < LEAST_KNOWN:
        raise LogError(
            f"the road's middle is known beside {known.mean():.0%} of the frames of "
            f"{recording.name} only: judge by the driver's way, --yardstick way"
        )
    return Line('middle', left_m, yaw_rad)


def _refuse(recording: Recording) -> NoReturn:
    """Say why no frame can be used."""
    try:
        crop_of(recording.frame(0))
    except ImageError as error:
        raise LogError(f'no frame of {recording.name} can be used: {error}') from error
    raise LogError(f'no frame of {recording.name} can be used')


def _filled(values: Series) -> Series:
    """Interpolate what is NaN between known values."""
    rows, known = np.arange(len(values)), np.isfinite(values)
    if not known.any():
        return values
    return np.asarray(
        np.interp(rows, rows[known], values[known], left=np.nan, right=np.nan), np.float64
    )


def drive(steer: Callable[[Rgb], float], recording: Recording, line: Line | None = None) -> Drive:
    """Let `steer` (frame -> rad, left positive) drive from the first frame to the last but one.

    It is judged by `line`, the recorded way where there is none. A pause of the recording (over
    half a second), or of the line, puts the car back on the line, which is no intervention; a
    frame that cannot be used leaves the steering as it was. Raises LogError where no step is left,
    or none that leads anywhere.
    """
    line = line or recorded_way(recording)
    run = _Run(recording, line)
    for index in _progress(len(recording) - 1, 'driving'):
        run.step(index, steer)
    return Drive(run.report(), np.array(run.offsets_m), 0.0 - line.left_m[1:])


def _progress(frames: int, what: str) -> Iterator[int]:
    yield from tqdm(range(frames), what, unit='frame', disable=None)


class _Run:
    def __init__(self, recording: Recording, line: Line) -> None:
        self.offsets_m: list[float] = []
        self._recording, self._line = recording, line
        self._camera = find_camera(recording.camera)
        self._steps_s = np.diff(recording.times_s)
        self._recorded_rad = acting(recording.steering_rad)
        self._offset = line.at(0)
        self._steering_rad = 0.0
        self._interventions = 0
        self._distance_m = 0.0
        self._turned_rad2ps = 0.0
        self._latencies_s: list[float] = []
        self._reason = ''

    def step(self, index: int, steer: Callable[[Rgb], float]) -> None:
        """Answer frame `index`, and drive to the next."""
        step_s, before_rad = float(self._steps_s[index]), self._steering_rad
        if not (0.0 < step_s <= LONGEST_STEP_S and self._line.is_known(index)):
            self._offset = self._line.at(index + 1)
            self.offsets_m.append(math.nan)
            return
        self._answer(index, steer)
        distance_m = float(self._recording.speed_mps[index]) * step_s
        recorded_rad = float(self._recorded_rad[index])
        self._offset = advance(self._offset, self._steering_rad, recorded_rad, distance_m)
        off_line_m = self._offset.origin_m - float(self._line.left_m[index + 1])
        self.offsets_m.append(off_line_m)
        self._distance_m += distance_m
        self._turned_rad2ps += (self._steering_rad - before_rad) ** 2 / step_s
        if abs(off_line_m) > INTERVENTION_BEYOND_M:
            self._interventions += 1
            self._offset = self._line.at(index + 1)

    def _answer(self, index: int, steer: Callable[[Rgb], float]) -> None:
        try:
            seen = view(self._recording.frame(index), self._offset, self._camera)
            asked_s = time.perf_counter()
            self._steering_rad = _within_lock(steer(seen))
        except ImageError as error:
            _LOG.warning('%s left out: %s', self._recording.frame_names[index], error)
            self._reason = f': {error}'
            return
        self._latencies_s.append(time.perf_counter() - asked_s)

    def report(self) -> dict[str, Any]:
        """Return the drive in figures, SI; pauses count for nothing."""
        if not self._latencies_s:
            raise LogError(f'no frame of {self._recording.name} can be used{self._reason}')
        if not self._distance_m:
            raise no_speed(self._recording)
        offsets_m = np.array(self.offsets_m)
        driven = np.isfinite(offsets_m)
        duration_s = float(self._steps_s[driven].sum())
        lost = INTERVENTION_COST_S * self._interventions / duration_s
        return {
            'yardstick': self._line.name,
            'frames': len(self._latencies_s),
            'duration_s': duration_s,
            'distance_m': self._distance_m,
            'interventions': self._interventions,
            'autonomy_percent': max(0.0, 100.0 * (1.0 - lost)),
            'rms_cross_track_m': float(np.sqrt(np.mean(offsets_m[driven] ** 2))),
            'max_cross_track_m': float(np.max(np.abs(offsets_m[driven]))),
            'max_speed_mps': float(np.max(self._recording.speed_mps)),
            'steering_rms_rate_radps': math.sqrt(self._turned_rad2ps / duration_s),
            'latency_ms': percentiles_ms(self._latencies_s),
        }


def _within_lock(steering_rad: float) -> float:
    return max(-MAX_STEERING_RAD, min(MAX_STEERING_RAD, steering_rad))
