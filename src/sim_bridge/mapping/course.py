# SPDX-License-Identifier: Apache-2.0
"""Course: a track's centre line in the direction of driving, for arrays of places along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.track import Track

Series = NDArray[np.float64]

_PROJECTIONS = 4


@dataclass(frozen=True, eq=False)
class Course:
    """A closed line at equal steps, in the direction of driving: (N,) each.

    `curvature_1pm` is left positive and seen from above, `level` the cosine of the slope. Places
    along the line are any real numbers, in m. `is_reversed`: it runs against its track.
    """

    x_m: Series
    y_m: Series
    yaw_rad: Series
    curvature_1pm: Series
    level: Series
    length_m: float
    is_reversed: bool

    def at(self, values: Series, s_m: Series) -> Series:
        """Return one of the line's series at places along it."""
        where = np.mod(s_m, self.length_m) * (len(values) / self.length_m)
        first = where.astype(np.intp)
        share = where - first
        first %= len(values)
        after = (first + 1) % len(values)
        return np.asarray(values[first] + share * (values[after] - values[first]))

    def heading_rad(self, s_m: Series) -> Series:
        """Return the direction of the line at places along it, continuous over laps."""
        count = len(self.yaw_rad)
        lap_rad = math.tau * round((self.yaw_rad[-1] - self.yaw_rad[0]) / math.tau)
        unwound = self.yaw_rad - lap_rad * np.arange(count) / count
        return np.asarray(self.at(unwound, s_m) + lap_rad * s_m / self.length_m)

    def smoothed(self, half_width_m: float) -> Series:
        """Return the mean curvature of `half_width_m` to both sides of each sample."""
        reach = round(half_width_m * len(self.x_m) / self.length_m)
        padded = np.pad(self.curvature_1pm, reach, mode='wrap')
        window = np.full(2 * reach + 1, 1.0 / (2 * reach + 1))
        return np.convolve(padded, window, mode='valid')

    def beside(self, s_m: Series, left_m: Series) -> tuple[Series, Series]:
        """Return x and y of points `left_m` left of the line."""
        yaw_rad = self.heading_rad(s_m)
        x_m = self.at(self.x_m, s_m) - left_m * np.sin(yaw_rad)
        return x_m, self.at(self.y_m, s_m) + left_m * np.cos(yaw_rad)

    def project(self, x_m: Series, y_m: Series, near_s_m: Series) -> tuple[Series, Series]:
        """Return the place and the offset to the left of points; search begins at `near_s_m`."""
        s_m = near_s_m
        for _ in range(_PROJECTIONS):
            yaw_rad = self.heading_rad(s_m)
            dx_m, dy_m = x_m - self.at(self.x_m, s_m), y_m - self.at(self.y_m, s_m)
            cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
            left_m = dy_m * cos - dx_m * sin
            wide = np.maximum(1.0 - self.at(self.curvature_1pm, s_m) * left_m, 0.3)
            s_m = s_m + (dx_m * cos + dy_m * sin) / wide / self.at(self.level, s_m)
        return s_m, left_m

    def on_track(self, s_m: Series) -> Series:
        """Return places along the line as places along its track, 0 to the length of the lap."""
        return np.mod(-s_m if self.is_reversed else s_m, self.length_m)


def course_of(track: Track, is_reversed: bool = False) -> Course:
    """Return the course of a car that drives a track in its direction, or against it."""
    sign = -1 if is_reversed else 1
    order = np.arange(len(track.yaw_rad)) * sign
    slope = np.zeros(len(order)) if track.surface is None else track.surface.slope
    return Course(
        track.centre_m[order, 0],
        track.centre_m[order, 1],
        np.unwrap(track.yaw_rad[order] + (math.pi if is_reversed else 0.0)),
        sign * track.curvature_1pm[order],
        np.sqrt(1.0 - np.minimum(np.abs(slope[order]), 0.9) ** 2),
        track.length_m,
        is_reversed,
    )
