# SPDX-License-Identifier: Apache-2.0
"""Tracks: a closed centre line with widths and heights, poses on it, and projections onto it.

A procedural flat track is a circle whose radius varies with a few harmonics, so it is closed and
cannot cross itself. Tracks with curves that are too tight or all to one side are rejected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray
from sim_bridge.simulator.worlds.world import World
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M, Pose

STEP_M = 0.25
_FRONT_AXLE_M = WHEELBASE_M - REAR_AXLE_M
MIN_RADIUS_M = 25.5
LAP_RANGE_M = (340.0, 450.0)
_MIN_POLAR_RADIUS = 0.3
"""Smallest radius relative to the mean radius; it keeps opposite sides of the track apart."""
_LOCAL_SEARCH_M = 8.0
_ATTEMPTS = 20_000


class Projection(NamedTuple):
    """The point of the centre line nearest to a place, and the road there.

    `cross_track_m` is the distance of the place from the centre line, left positive.
    `half_width_m` is the distance from the centre line to the edge on that side.
    """

    s_m: float
    cross_track_m: float
    half_width_m: float
    curvature_1pm: float
    yaw_rad: float


class Posture(NamedTuple):
    """How the road holds a car: height of its origin, m, and rad: nose up, left side up."""

    height_m: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0

    def rotation(self) -> FloatArray:
        """Return the (3, 3) map of ahead, left, up from the car to a level one of its heading."""
        cos_p, sin_p = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        cos_r, sin_r = math.cos(self.roll_rad), math.sin(self.roll_rad)
        pitch = np.array([[cos_p, 0.0, -sin_p], [0.0, 1.0, 0.0], [sin_p, 0.0, cos_p]])
        roll = np.array([[1.0, 0.0, 0.0], [0.0, cos_r, -sin_r], [0.0, sin_r, cos_r]])
        return np.asarray(pitch @ roll)


LEVEL = Posture()


class Line(NamedTuple):
    """A closed centre line without position, start and width; the fields are as in `Track`."""

    centre_m: FloatArray
    yaw_rad: FloatArray
    curvature_1pm: FloatArray
    length_m: float


@dataclass(frozen=True, eq=False)
class Surface:
    """The third dimension of a track, one value a sample, and the world that it belongs to.

    `height_m`, `slope` (rise per metre of the lap), `bend_1pm` (how much the slope grows per
    metre, over 6 m) and `bank_rad` (left edge up) are (N,).
    """

    height_m: FloatArray
    slope: FloatArray
    bend_1pm: FloatArray
    bank_rad: FloatArray
    world: World


@dataclass(frozen=True, eq=False)
class Track:
    """A closed road, sampled at equal steps along its centre line in driving direction.

    `centre_m` (N, 2) float64; `yaw_rad` (N,) continuous over the lap; `curvature_1pm` (N,) left
    positive, seen from above; `left_m`, `right_m` (N,) from the centre line to the edges. Sample
    i lies at s = i * length_m / N, and sample 0 follows sample N-1. `surface` is None on flat
    tracks, `start_m` is where a drive begins.
    """

    seed: int
    centre_m: FloatArray
    yaw_rad: FloatArray
    curvature_1pm: FloatArray
    left_m: FloatArray
    right_m: FloatArray
    length_m: float
    surface: Surface | None = None
    start_m: float = 0.0

    @cached_property
    def half_width_m(self) -> FloatArray:
        """Half of the road's width, (N,)."""
        return (self.left_m + self.right_m) / 2

    @property
    def height_m(self) -> FloatArray:
        """Height of the centre line, (N,); zeros on a flat track."""
        return np.zeros(len(self.centre_m)) if self.surface is None else self.surface.height_m

    @overload
    def index(self, s_m: float) -> int: ...

    @overload
    def index(self, s_m: NDArray[Any]) -> NDArray[np.intp]: ...

    def index(self, s_m: float | NDArray[Any]) -> int | NDArray[np.intp]:
        """Return the sample at or before a place (any real number), or those of an array."""
        where = s_m % self.length_m / self.step_m
        whole = where.astype(np.intp) if isinstance(where, np.ndarray) else int(where)
        return whole % len(self.centre_m)

    def slope(self, s_m: float) -> float:
        """Return the rise of the road per metre of the lap at `s_m`; 0 on a flat track."""
        if self.surface is None:
            return 0.0
        return float(self.surface.slope[self.index(s_m)])

    def bend_1pm(self, s_m: float) -> float:
        """Return how much the slope grows per metre of the lap at `s_m`; 0 on a flat track."""
        return 0.0 if self.surface is None else self._at(self.surface.bend_1pm, s_m)

    def posture(self, place: Projection, yaw_rad: float) -> Posture:
        """Return how a car at `place` with this heading stands on the road, on both its axles."""
        if self.surface is None:
            return LEVEL
        error_rad = yaw_rad - place.yaw_rad
        ahead, left = math.cos(error_rad), math.sin(error_rad)
        front = self._height_at(place, ahead * _FRONT_AXLE_M, left * _FRONT_AXLE_M)
        rear = self._height_at(place, -ahead * REAR_AXLE_M, -left * REAR_AXLE_M)
        bank_rad = self._at(self.surface.bank_rad, place.s_m)
        pitch_rad = math.asin(max(-1.0, min(1.0, (front - rear) / WHEELBASE_M)))
        height_m = (front * REAR_AXLE_M + rear * _FRONT_AXLE_M) / WHEELBASE_M
        return Posture(height_m, pitch_rad, bank_rad * ahead)

    def _height_at(self, place: Projection, ahead_m: float, left_m: float) -> float:
        assert self.surface is not None
        s_m = place.s_m + ahead_m
        beside_m = place.cross_track_m + left_m
        return self._at(self.surface.height_m, s_m) + beside_m * self._at(
            self.surface.bank_rad, s_m
        )

    def _at(self, values: FloatArray, s_m: float) -> float:
        """Return one of the track's arrays at a place, between two samples."""
        where = s_m % self.length_m / self.step_m
        first = int(where)
        share = where - first
        count = len(values)
        one, other = float(values[first % count]), float(values[(first + 1) % count])
        return one + (other - one) * share

    @property
    def step_m(self) -> float:
        """Distance between two samples of the centre line."""
        return self.length_m / len(self.centre_m)

    def pose(self, s_m: float, offset_m: float = 0.0, heading_error_rad: float = 0.0) -> Pose:
        """Return the pose `offset_m` left of the centre line at `s_m` (any real number).

        `heading_error_rad` is added to the road's own heading; yaw comes back in +-pi.
        """
        s_m %= self.length_m
        i = min(int(s_m / self.step_m), len(self.centre_m) - 1)
        ahead_m = (s_m - i * self.step_m) * math.sqrt(1.0 - self.slope(s_m) ** 2)
        turn_rad = float(self.curvature_1pm[i]) * ahead_m
        chord_yaw_rad = float(self.yaw_rad[i]) + turn_rad / 2
        yaw_rad = float(self.yaw_rad[i]) + turn_rad
        x_m, y_m = self.centre_m[i]
        return Pose(
            float(x_m) + ahead_m * math.cos(chord_yaw_rad) - offset_m * math.sin(yaw_rad),
            float(y_m) + ahead_m * math.sin(chord_yaw_rad) + offset_m * math.cos(yaw_rad),
            math.remainder(yaw_rad + heading_error_rad, math.tau),
        )

    def project(self, x_m: float, y_m: float, near_s_m: float | None = None) -> Projection:
        """Return the nearest point of the centre line.

        With `near_s_m` only the road within 8 m of that place is searched. This is fast and never
        finds another part of the track.
        """
        points = self._wrapped_centre_m
        if near_s_m is None:
            first, last = 0, len(self.centre_m)
        else:
            first = int((near_s_m % self.length_m) / self.step_m)
            last = first + 2 * self._margin + 1
        window = points[first:last]
        dx, dy = window[:, 0] - x_m, window[:, 1] - y_m
        i = (first + int(np.argmin(dx * dx + dy * dy)) - self._margin) % len(self.centre_m)
        return self._refine(i, x_m, y_m)

    def edge_m(self, offset_m: FloatArray | float) -> FloatArray:
        """Return the line `offset_m` left of the centre line, (N, 2)."""
        return self.beside_m(np.arange(len(self.centre_m)), offset_m)

    def beside_m(self, index: NDArray[np.intp], offset_m: FloatArray | float) -> FloatArray:
        """Return the points (n, 2) that lie `offset_m` left of samples (n,) of the centre line."""
        yaw_rad = self.yaw_rad[index]
        normal = np.stack([-np.sin(yaw_rad), np.cos(yaw_rad)], axis=1)
        offsets = np.broadcast_to(np.asarray(offset_m, dtype=np.float64), yaw_rad.shape)
        return np.asarray(self.centre_m[index] + normal * offsets[:, None])

    @cached_property
    def _margin(self) -> int:
        return math.ceil(_LOCAL_SEARCH_M / self.step_m)

    @cached_property
    def _wrapped_centre_m(self) -> FloatArray:
        """Centre line with `_margin` samples repeated at both ends, for searches."""
        m = self._margin
        return np.concatenate([self.centre_m[-m:], self.centre_m, self.centre_m[: m + 1]])

    def _refine(self, i: int, x_m: float, y_m: float) -> Projection:
        yaw_rad, curvature_1pm = float(self.yaw_rad[i]), float(self.curvature_1pm[i])
        dx, dy = x_m - float(self.centre_m[i, 0]), y_m - float(self.centre_m[i, 1])
        cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
        along_m = dx * cos + dy * sin
        left_m = dy * cos - dx * sin
        # The road curves away from its tangent, so the osculating circle is used.
        along_m /= max(0.2, 1.0 - curvature_1pm * left_m)
        return Projection(
            (i * self.step_m + along_m) % self.length_m,
            left_m - curvature_1pm * along_m * along_m / 2,
            float(self.left_m[i] if left_m > 0.0 else self.right_m[i]),
            curvature_1pm,
            math.remainder(yaw_rad + curvature_1pm * along_m, math.tau),
        )


def make_track(seed: int) -> Track:
    """Return the track of this seed: always the same, closed, drivable at 13.4 m/s.

    It is 340-450 m long and 7-9 m wide, has left and right curves with radii of at least 25.5 m,
    and starts on its straightest part. About half of the seeds give clockwise tracks.
    """
    if seed < 0:
        raise ValueError(f'track seed is {seed}; it must be 0 or greater')
    rng = np.random.default_rng([seed, 1])
    for _ in range(_ATTEMPTS):
        line = _candidate(rng)
        if line is not None:
            return _finish(seed, line, rng)
    raise RuntimeError(f'no track found for seed {seed}')


class _Outline(NamedTuple):
    """A closed line in polar form, 1 + harmonics; `cosine` and `sine` (K,) begin with order 2."""

    cosine: FloatArray
    sine: FloatArray

    def at(self, angle: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return radius and its first two derivatives at polar angles (M,)."""
        order = np.arange(2, 2 + len(self.cosine))
        cos, sin = np.cos(np.outer(order, angle)), np.sin(np.outer(order, angle))
        a, b = self.cosine, self.sine
        return (
            1.0 + a @ cos + b @ sin,
            (b * order) @ cos - (a * order) @ sin,
            -(a * order**2) @ cos - (b * order**2) @ sin,
        )


_ANGLE: FloatArray = np.arange(720, dtype=np.float64) * (math.tau / 720)


def _candidate(rng: np.random.Generator) -> Line | None:
    """Return one random line; None if it cannot be driven or has curves to one side only."""
    length_m = float(rng.uniform(*LAP_RANGE_M))
    order = np.arange(2, 6)
    cosine, sine = rng.normal(0.0, 0.5, (2, len(order))) / (order**2 - 1)
    outline = _Outline(cosine, sine)
    radius, slope, bend = outline.at(_ANGLE)
    if radius.min() < _MIN_POLAR_RADIUS:
        return None
    speed = np.asarray(np.hypot(radius, slope))
    unit_m = length_m / (math.tau * float(speed.mean()))
    curvature_1pm = _polar_curvature(radius, slope, bend) / unit_m
    if not _is_drivable(curvature_1pm, speed / speed.sum()):
        return None
    return _resample(outline, length_m, unit_m)


def _polar_curvature(radius: FloatArray, slope: FloatArray, bend: FloatArray) -> FloatArray:
    speed_squared = radius**2 + slope**2
    return np.asarray((speed_squared + slope**2 - radius * bend) / speed_squared**1.5)


def _is_drivable(curvature_1pm: FloatArray, weight: FloatArray) -> bool:
    """Return whether no curve is too tight and 7 % of the lap bend to the other side."""
    if np.abs(curvature_1pm).max() > 1.0 / MIN_RADIUS_M:
        return False
    return bool(weight[curvature_1pm < -1.0 / 80.0].sum() > 0.07)


def _resample(outline: _Outline, length_m: float, unit_m: float) -> Line:
    """Return the line at equal steps of arc length."""
    radius, slope, _ = outline.at(_ANGLE)
    speed = np.hypot(radius, slope)
    middle = (speed + np.roll(speed, -1)) / 2
    travelled = np.concatenate([[0.0], np.cumsum(middle)])
    count = round(length_m / STEP_M)
    even = np.arange(count) * (travelled[-1] / count)
    angle = np.asarray(np.interp(even, travelled, np.append(_ANGLE, math.tau)), np.float64)
    radius, slope, bend = outline.at(angle)
    spoke = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Line(
        spoke * (radius * unit_m)[:, None],
        np.unwrap(angle + np.arctan2(radius, slope)),
        _polar_curvature(radius, slope, bend) / unit_m,
        length_m,
    )


def _finish(seed: int, line: Line, rng: np.random.Generator) -> Track:
    """Rotate, possibly mirror and centre the line; start it on a straight; add the width."""
    turn_rad = float(rng.uniform(0.0, math.tau))
    mirror = 1.0 if rng.random() < 0.5 else -1.0
    yaw_rad = mirror * (line.yaw_rad + turn_rad)
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    centre_m = line.centre_m @ np.array([[cos, mirror * sin], [-sin, mirror * cos]])
    centre_m -= (centre_m.min(axis=0) + centre_m.max(axis=0)) / 2
    start = _straightest(line.curvature_1pm)
    half_width_m = _half_width(len(yaw_rad), rng)
    return Track(
        seed,
        np.roll(centre_m, -start, axis=0),
        np.concatenate([yaw_rad[start:], yaw_rad[:start] + mirror * math.tau]),
        np.roll(mirror * line.curvature_1pm, -start),
        half_width_m,
        half_width_m,
        line.length_m,
    )


def _straightest(curvature_1pm: FloatArray) -> int:
    """Return the sample in the middle of the straightest 20 m."""
    reach = round(10.0 / STEP_M)
    padded = np.pad(np.abs(curvature_1pm), reach, mode='wrap')
    return int(np.argmin(np.convolve(padded, np.ones(2 * reach + 1), mode='valid')))


def _half_width(count: int, rng: np.random.Generator) -> FloatArray:
    """Return (count,) half widths, 3.5-4.5 m, which vary slowly."""
    phase = np.arange(count) * (math.tau / count)
    waves = sum(
        rng.uniform(0.0, 0.12) * np.cos(k * phase + rng.uniform(0.0, math.tau))
        for k in range(1, 4)
    )
    return np.asarray(rng.uniform(3.86, 4.14) + waves, dtype=np.float64)
