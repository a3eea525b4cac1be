"""The way that a recorded car drove, by dead reckoning with the bicycle model."""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steering_net.data.driving_log import Series
from steering_net.vehicle import arc, curvature_1pm

Rows: TypeAlias = int | NDArray[np.intp]

LONGEST_STEP_S = 0.5
"""What is longer between two rows is a pause, after which the car may be anywhere."""


@dataclass(frozen=True)
class Way:
    """Where a car was at each of n rows: (n,) float64 each.

    `x_m`, `y_m` and `yaw_rad` (left positive) are its rear axle's, from its first pose on;
    `along_m` is the distance that it has driven.
    """

    along_m: Series
    x_m: Series
    y_m: Series
    yaw_rad: Series

    def __len__(self) -> int:
        return len(self.along_m)

    def from_car(self, row: Rows, ahead_m: Series, left_m: Series) -> tuple[Series, Series]:
        """Return x and y of points that lie so far ahead and left of the rear axle at a row."""
        cos, sin = np.cos(self.yaw_rad[row]), np.sin(self.yaw_rad[row])
        return (
            self.x_m[row] + cos * ahead_m - sin * left_m,
            self.y_m[row] + sin * ahead_m + cos * left_m,
        )

    def from_world(self, row: Rows, x_m: Series, y_m: Series) -> tuple[Series, Series]:
        """Return how far ahead and left of the rear axle at a row points at x and y lie."""
        cos, sin = np.cos(self.yaw_rad[row]), np.sin(self.yaw_rad[row])
        x_m, y_m = x_m - self.x_m[row], y_m - self.y_m[row]
        return cos * x_m + sin * y_m, cos * y_m - sin * x_m


def acting(steering_rad: Series) -> Series:
    """Return the steering under which the recorded car drove on from each row.

    A frame shows the car a little later than its row says: the turns seen in the frames fit the
    mean of a row and the one before best.
    """
    before = np.concatenate((steering_rad[:1], steering_rad[:-1]))
    return np.asarray((steering_rad + before) / 2)


def runs(times_s: Series) -> list[slice]:
    """Return the stretches of rows, in order, without a pause between them."""
    steps_s = np.diff(times_s)
    ends = np.flatnonzero(~((steps_s > 0.0) & (steps_s <= LONGEST_STEP_S))) + 1
    bounds = [0, *ends.tolist(), len(times_s)]
    return [slice(a, b) for a, b in itertools.pairwise(bounds) if a < b]


def way_of(times_s: Series, steering_rad: Series, speed_mps: Series) -> Way:
    """Return the way of a car whose steering and speed at some times were recorded, one run."""
    steps_m = speed_mps[:-1] * np.diff(times_s)
    ahead_m, left_m, turns_rad = arc(curvature_1pm(acting(steering_rad)[:-1]), steps_m)
    yaw_rad = _sums(turns_rad)
    cos, sin = np.cos(yaw_rad[:-1]), np.sin(yaw_rad[:-1])
    x_m, y_m = cos * ahead_m - sin * left_m, sin * ahead_m + cos * left_m
    return Way(_sums(steps_m), _sums(x_m), _sums(y_m), yaw_rad)


def _sums(steps: Series) -> Series:
    return np.concatenate(([0.0], np.cumsum(steps)))
