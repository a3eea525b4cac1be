# SPDX-License-Identifier: Apache-2.0
"""Trajectory of a recorded car, by dead reckoning with the bicycle model."""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steering_net.bicycle_model import arc, curvature_1pm
from steering_net.data.driving_log import Series

Rows: TypeAlias = int | NDArray[np.intp]

LONGEST_STEP_S = 0.5
"""A longer step between two rows is a pause, and the car may be anywhere after it."""


@dataclass(frozen=True)
class Trajectory:
    """Poses of a car's rear axle at each of n rows, (n,) float64 each, in the frame of its start.

    `yaw_rad` is left positive; `along_m` is the distance driven since the start.
    """

    along_m: Series
    x_m: Series
    y_m: Series
    yaw_rad: Series

    def __len__(self) -> int:
        return len(self.along_m)

    def from_car(self, row: Rows, ahead_m: Series, left_m: Series) -> tuple[Series, Series]:
        """Return x and y of points given as m ahead and m left of the rear axle at a row."""
        cos, sin = np.cos(self.yaw_rad[row]), np.sin(self.yaw_rad[row])
        return (
            self.x_m[row] + cos * ahead_m - sin * left_m,
            self.y_m[row] + sin * ahead_m + cos * left_m,
        )

    def from_world(self, row: Rows, x_m: Series, y_m: Series) -> tuple[Series, Series]:
        """Return points given as x and y as m ahead and m left of the rear axle at a row."""
        cos, sin = np.cos(self.yaw_rad[row]), np.sin(self.yaw_rad[row])
        x_m, y_m = x_m - self.x_m[row], y_m - self.y_m[row]
        return cos * x_m + sin * y_m, cos * y_m - sin * x_m


def acting_steering_rad(steering_rad: Series) -> Series:
    """Return the steering, rad, that acted between each row of a run and the next: (n,).

    It is the mean of a row and the row before it, because that fits the turns seen in the frames
    best: a frame shows the car slightly later than the time of its row.
    """
    before = np.concatenate((steering_rad[:1], steering_rad[:-1]))
    return np.asarray((steering_rad + before) / 2)


def runs(times_s: Series) -> list[slice]:
    """Return the runs: slices of rows, in order, without a pause inside them."""
    steps_s = np.diff(times_s)
    ends = np.flatnonzero(~((steps_s > 0.0) & (steps_s <= LONGEST_STEP_S))) + 1
    bounds = [0, *ends.tolist(), len(times_s)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds) if a < b]


def frame_rate_hz(times_s: Series) -> float | None:
    """Return the mean rate, 1/s, of frames with these times, s, in any order, without pauses.

    None if each two times are equal or a pause apart.
    """
    steps_s = np.diff(np.sort(times_s))
    steps_s = steps_s[(steps_s > 0.0) & (steps_s <= LONGEST_STEP_S)]
    return float(1.0 / steps_s.mean()) if len(steps_s) else None


def trajectory_of(times_s: Series, steering_rad: Series, speed_mps: Series) -> Trajectory:
    """Return the trajectory of one run from its times, steering (left positive) and speeds."""
    steps_m = speed_mps[:-1] * np.diff(times_s)
    ahead_m, left_m, turns_rad = arc(
        curvature_1pm(acting_steering_rad(steering_rad)[:-1]), steps_m
    )
    yaw_rad = _sums(turns_rad)
    cos, sin = np.cos(yaw_rad[:-1]), np.sin(yaw_rad[:-1])
    x_m, y_m = cos * ahead_m - sin * left_m, sin * ahead_m + cos * left_m
    return Trajectory(_sums(steps_m), _sums(x_m), _sums(y_m), yaw_rad)


def _sums(steps: Series) -> Series:
    return np.concatenate(([0.0], np.cumsum(steps)))
