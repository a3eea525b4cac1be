"""Let a network drive a recorded lap: frames are re-projected to where its car would be.

After the simulation in M. Bojarski et al., "End to End Learning for Self-Driving Cars",
arXiv:1604.07316 (2016). The recorded car's way is that of the bicycle model under the recorded
steering. The network's car starts on it, keeps the recorded speed, and sees each frame
re-projected for its offset and heading. More than a metre off, it is put back: an intervention.

Recorded steering is keyed, in full pulses and zeros, but a car integrates it twice: its way is
smooth all the same. So the pulses are what the way is made of, not their one-second mean. That it
is the right way shows in the frames: on a recorded lap, the turns that the distant hills make
between two frames correlate by 0.95 with those of the recorded car here (by 0.82 with the mean's).
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from steering_net.dataset import LogError, Series
from steering_net.evaluate import latency_ms
from steering_net.pinhole import CENTRE_CAMERA, reprojected
from steering_net.preprocess import FRAME_HEIGHT, FRAME_WIDTH, ImageError, Rgb
from steering_net.recording import Recording
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M

_LOG = logging.getLogger(__name__)
INTERVENTION_BEYOND_M = 1.0
INTERVENTION_COST_S = 6.0
FULL_LOCK_RAD = math.radians(25.0)
LONGEST_STEP_S = 0.5
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
class Drive:
    """The report's fields, and the offset in m after each frame, (n - 1,), NaN in pauses."""

    report: dict[str, Any]
    offsets_m: Series


def advance(offset: Offset, steering_rad: float, recorded_rad: float, distance_m: float) -> Offset:
    """Return the offset after the recorded car drove on by `distance_m`, both steering constantly.

    Two bicycles in the frame of the recorded one's way, whose curvature is k0 = tan(recorded) /
    wheelbase: per metre of it, the other one, with curvature k, drifts left by
    (1 - k0 e) tan(psi) and turns left by (1 - k0 e) k / cos(psi) - k0.
    """
    left_m, yaw_rad = offset.left_m, offset.yaw_rad
    steps = max(1, math.ceil(distance_m / _SUBSTEP_M))
    step_m = distance_m / steps
    own_1pm = math.tan(_within_lock(steering_rad)) / WHEELBASE_M
    recorded_1pm = math.tan(_within_lock(recorded_rad)) / WHEELBASE_M
    for _ in range(steps):
        stretch = 1.0 - recorded_1pm * left_m
        turn = (stretch * own_1pm / math.cos(yaw_rad) - recorded_1pm) * step_m
        left_m += stretch * math.tan(yaw_rad + turn / 2) * step_m
        yaw_rad += turn
    return Offset(left_m, yaw_rad)


def view(rgb: Rgb, offset: Offset) -> Rgb:
    """Return a recorded frame, uint8 (160, 320, 3) RGB, as the network's car sees it."""
    if rgb.shape != (FRAME_HEIGHT, FRAME_WIDTH, 3):
        raise ImageError(f'only 320 x 160 frames can be re-projected, not {rgb.shape}')
    back_m = REAR_AXLE_M * (math.cos(offset.yaw_rad) - 1.0)
    return reprojected(rgb, back_m, offset.origin_m, offset.yaw_rad, CENTRE_CAMERA)


def drive(steer: Callable[[Rgb], float], recording: Recording) -> Drive:
    """Let `steer` (frame -> rad, left positive) drive from the first frame to the last but one.

    A pause of the recording (over half a second) puts the car back on the recorded way, which is
    no intervention; a frame that cannot be used leaves the steering as it was. Raises LogError
    where no step is left, or none that leads anywhere.
    """
    run = _Run(recording)
    for index in tqdm(range(len(recording) - 1), 'driving', unit='frame', disable=None):
        run.step(index, steer)
    return Drive(run.report(), np.array(run.offsets_m))


class _Run:
    def __init__(self, recording: Recording) -> None:
        self.offsets_m: list[float] = []
        self._recording = recording
        self._steps_s = np.diff(recording.times_s)
        self._recorded_rad = _acting(recording.steering_rad)
        self._offset = Offset()
        self._steering_rad = 0.0
        self._interventions = 0
        self._distance_m = 0.0
        self._turned_rad2ps = 0.0
        self._latencies_s: list[float] = []

    def step(self, index: int, steer: Callable[[Rgb], float]) -> None:
        """Answer frame `index`, and drive to the next."""
        step_s, before_rad = float(self._steps_s[index]), self._steering_rad
        if not 0.0 < step_s <= LONGEST_STEP_S:
            self._offset = Offset()
            self.offsets_m.append(math.nan)
            return
        self._answer(index, steer)
        distance_m = float(self._recording.speed_mps[index]) * step_s
        recorded_rad = float(self._recorded_rad[index])
        self._offset = advance(self._offset, self._steering_rad, recorded_rad, distance_m)
        self.offsets_m.append(self._offset.origin_m)
        self._distance_m += distance_m
        self._turned_rad2ps += (self._steering_rad - before_rad) ** 2 / step_s
        if abs(self._offset.origin_m) > INTERVENTION_BEYOND_M:
            self._interventions += 1
            self._offset = Offset()

    def _answer(self, index: int, steer: Callable[[Rgb], float]) -> None:
        try:
            seen = view(self._recording.frame(index), self._offset)
            asked_s = time.perf_counter()
            self._steering_rad = _within_lock(steer(seen))
        except ImageError as error:
            _LOG.warning('%s left out: %s', self._recording.frame_names[index], error)
            return
        self._latencies_s.append(time.perf_counter() - asked_s)

    def report(self) -> dict[str, Any]:
        """Return the drive in figures, SI; pauses count for nothing."""
        if not self._latencies_s:
            raise LogError(f'no frame of {self._recording.name} can be used')
        if not self._distance_m:
            raise LogError(
                f'{self._recording.name} holds no speed: record vehicle/speed, '
                'or give the log a column speed (mph)'
            )
        offsets_m = np.array(self.offsets_m)
        driven = np.isfinite(offsets_m)
        duration_s = float(self._steps_s[driven].sum())
        lost = INTERVENTION_COST_S * self._interventions / duration_s
        return {
            'frames': len(self._latencies_s),
            'duration_s': duration_s,
            'distance_m': self._distance_m,
            'interventions': self._interventions,
            'autonomy_percent': max(0.0, 100.0 * (1.0 - lost)),
            'rms_cross_track_m': float(np.sqrt(np.mean(offsets_m[driven] ** 2))),
            'max_cross_track_m': float(np.max(np.abs(offsets_m[driven]))),
            'max_speed_mps': float(np.max(self._recording.speed_mps)),
            'steering_rms_rate_radps': math.sqrt(self._turned_rad2ps / duration_s),
            'latency_ms': latency_ms(self._latencies_s),
        }


def _acting(steering_rad: Series) -> Series:
    """Return the steering under which the recorded car drove on from each row.

    A frame shows the car a little later than its row says: the turns seen in the frames fit the
    mean of a row and the one before best.
    """
    before = np.concatenate((steering_rad[:1], steering_rad[:-1]))
    return np.asarray((steering_rad + before) / 2)


def _within_lock(steering_rad: float) -> float:
    return max(-FULL_LOCK_RAD, min(FULL_LOCK_RAD, steering_rad))
