# SPDX-License-Identifier: Apache-2.0
"""Search: the places along a course at which its curvature fits the driven one best.

It is the cheapest path through a table (Viterbi algorithm) with a column for every 2 m of the
drive and a row for every metre of the course. A car that cuts corners gets ahead of its odometer,
so a step of 2 m may advance by 1, 2 or 3 m. The start is free.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim_bridge.mapping.course import Course, Series
from steering_net.statistics import correlation

STEP_M = 2.0
_HALF_WIDTH_M = 4.0
"""Curvature is the mean of this much to both sides."""
_DETOUR_COST = 0.7
"""Cost of a step that advances by a metre more or less than the car drove."""
_NOISE_SHARE, _LEAST_NOISE_1PM = 0.4, 0.003
_APART_M = 40.0
"""Two paths that end nearer to each other are the same."""


class Found(NamedTuple):
    """The best path: places (M,) along the course for every 2 m of the drive, m.

    `cost` is minus the logarithm of its likelihood, `runner_up` that of the best other path, both
    for each 2 m.
    """

    places_m: Series
    cost: float
    runner_up: float


def search(along_m: Series, curvature_1pm: Series, course: Course) -> Found:
    """Return the best path of a drive: (n,) distance driven at each row, curvature after it."""
    driven = _resampled(along_m, curvature_1pm)
    rows = round(course.length_m)
    row_m = course.length_m / rows
    places_m = np.arange(rows, dtype=np.float64) * row_m
    wanted = course.at(course.smoothed(_HALF_WIDTH_M), places_m)
    noise = _LEAST_NOISE_1PM + _NOISE_SHARE * float(np.std(wanted))
    # Samples within the width of the mean are not independent.
    weight = STEP_M / (4.0 * _HALF_WIDTH_M) / noise**2
    chosen = np.zeros((len(driven), rows), np.int8)
    cost = weight * (driven[0] - wanted) ** 2
    for column in range(1, len(driven)):
        moves = np.stack([np.roll(cost, 1), np.roll(cost, 2), np.roll(cost, 3)])
        moves[::2] += _DETOUR_COST
        chosen[column] = moves.argmin(axis=0)
        cost = moves.min(axis=0) + weight * (driven[column] - wanted) ** 2
    last = int(cost.argmin())
    away = np.abs((np.arange(rows) - last + rows // 2) % rows - rows // 2)
    path = np.full(len(driven), last)
    for column in range(len(driven) - 1, 0, -1):
        path[column - 1] = path[column] - 1 - chosen[column, path[column] % rows]
    samples = len(driven)
    others = cost[away * row_m > _APART_M]
    return Found(path * row_m, float(cost[last]) / samples, float(others.min()) / samples)


def correlation_of(along_m: Series, curvature_1pm: Series, s_m: Series, course: Course) -> float:
    """Return the correlation of the driven curvature with the course's, both smoothed, 0 if none.

    `s_m` (n,) are the places of the rows.
    """
    driven = _resampled(along_m, curvature_1pm)
    at_m = along_m[0] + STEP_M * np.arange(len(driven))
    road = course.at(course.smoothed(_HALF_WIDTH_M), np.interp(at_m, along_m, s_m))
    return correlation(driven, road) or 0.0


def _resampled(along_m: Series, curvature_1pm: Series) -> Series:
    """Return the mean curvature around every 2 m of a drive."""
    turns_rad = curvature_1pm[:-1] * np.diff(along_m)
    yaw_rad = np.concatenate([[0.0], np.cumsum(turns_rad)])
    at_m = np.arange(along_m[0], along_m[-1], STEP_M)
    first = np.maximum(at_m - _HALF_WIDTH_M, along_m[0])
    last = np.minimum(at_m + _HALF_WIDTH_M, along_m[-1])
    turned = np.interp(last, along_m, yaw_rad) - np.interp(first, along_m, yaw_rad)
    return np.asarray(turned / (last - first))
