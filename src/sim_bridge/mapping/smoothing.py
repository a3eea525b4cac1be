# SPDX-License-Identifier: Apache-2.0
"""Smoothing: the most probable states of a car along a course, and how sure they are.

The state is that of the bicycle model's rear axle beside the course: place, offset, heading
error, and a steering bias that varies slowly. Each row of a recording adds what the car drove and
steered.
Three facts hold the car on the map: the course turns where the car turned, the car is near the
middle of the road, and the frames show where that middle is. The states minimise the sum of the
squares of all deviations, each divided by its usual size (Gauss-Newton; the normal equations are
block tridiagonal). Sightings count less the further they are off (Cauchy weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_bridge.mapping.course import Course, Series

Floats = NDArray[np.float64]

_ROUNDS = 12
_DONE_M, _LONGEST_M = 0.01, 4.0
"""A change that ends the rounds, and the longest one of a round."""
_BEND_M = 1.5
# The sizes below are chosen, not fitted to recordings.
# Usual deviations of a step of one metre: along, beside, turn (and its share of the curvature).
_ALONG_M, _BESIDE_M, _TURN_RAD, _TURN_SHARE = 0.06, 0.03, 0.005, 0.25
# Steering bias, 1/m: usual size, and the distance within which it changes.
_BIAS_1PM, _BIAS_OVER_M = 0.002, 30.0
_SHORTEST_STEP_M = 0.05
# A driver is this far from the middle; rows within _SAME_M are not independent.
_OFFSET_M, _HEADING_RAD, _SAME_M = 1.5, 0.12, 15.0
# A sighting of the middle, on a straight and more for each 1/m of curvature; sightings within
# _SAME_SIGHT_M of each other have the same fault.
_SIGHTING_M, _SIGHTING_M2, _SAME_SIGHT_M = 0.3, 15.0, 8.0
_START_M = 6.0


class Odometry(NamedTuple):
    """What a car drove after each of n rows, (n - 1,): m of its rear axle, and curvature, 1/m."""

    steps_m: Series
    curvature_1pm: Series


class Sightings(NamedTuple):
    """The road's middle as seen in frames, (k,): row, m ahead of the rear axle, m to the left.

    `trust` is 1 for a sighting of both edges.
    """

    row: NDArray[np.intp]
    ahead_m: Series
    left_m: Series
    trust: Series


@dataclass(frozen=True, eq=False)
class States:
    """The rear axle at each of n rows, (n,): place, m left of the course, heading error.

    `sigma` (n, 4) are the standard deviations of the three and of the steering bias, 1/m.
    """

    s_m: Series
    left_m: Series
    heading_rad: Series
    sigma: Floats


def smooth(course: Course, driven: Odometry, start_s_m: Series, seen: Sightings) -> States:
    """Return the states of a drive, beginning from a guess of its places, (n,), m."""
    x = np.zeros((len(start_s_m), 4))
    x[:, 0] = start_s_m
    steps_m = np.maximum(driven.steps_m, _SHORTEST_STEP_M)
    noise = 1.0 / _noise(steps_m, driven.curvature_1pm) ** 2
    usual = _usual(steps_m)
    bend = course.smoothed(_BEND_M)
    for _ in range(_ROUNDS):
        expected, sight_slopes = _expected(course, bend, x[seen.row], seen.ahead_m)
        misses_m = seen.left_m - expected
        trust = _trust(seen, steps_m, misses_m, course.at(bend, x[seen.row, 0]))
        predicted, slopes = _driven_on(course, bend, x[:-1], driven)
        system = _equations(x, predicted, slopes, noise, usual)
        system.diagonal[0, 0, 0] += 1.0 / _START_M**2
        system.right[0, 0] += (start_s_m[0] - x[0, 0]) / _START_M**2
        squares = sight_slopes[:, :, None] * sight_slopes[:, None, :]
        np.add.at(system.diagonal, seen.row, trust[:, None, None] * squares)
        np.add.at(system.right, seen.row, (trust * misses_m)[:, None] * sight_slopes)
        change, sigma = _solved(system)
        largest_m = float(np.abs(change[:, :2]).max())
        x += change * min(1.0, _LONGEST_M / max(largest_m, _DONE_M))
        if largest_m < _DONE_M:
            break
    return States(x[:, 0], x[:, 1], x[:, 2], sigma)


class _System(NamedTuple):
    """A symmetric block tridiagonal system: diagonal (n, 4, 4), above it (n - 1, 4, 4), (n, 4)."""

    diagonal: Floats
    above: Floats
    right: Floats


def _equations(
    x: Floats, predicted: Floats, slopes: Floats, noise: Floats, usual: Floats
) -> _System:
    """Return the normal equations of the steps and of what is usual, without sightings."""
    missed = predicted - x[1:]
    weighted = slopes.transpose(0, 2, 1) * noise[:, None, :]
    diagonal = usual[:, :, None] * np.eye(4)
    right = -usual * x
    diagonal[:-1] += weighted @ slopes
    right[:-1] -= (weighted @ missed[:, :, None])[:, :, 0]
    diagonal[1:] += noise[:, :, None] * np.eye(4)
    right[1:] += noise * missed
    return _System(diagonal, -weighted, right)


def _noise(steps_m: Series, curvature_1pm: Series) -> Floats:
    """Return the usual deviations of each step, (n - 1, 4)."""
    root = np.sqrt(steps_m)
    turn = np.hypot(_TURN_RAD, _TURN_SHARE * np.abs(curvature_1pm))
    bias = np.sqrt(2.0 / _BIAS_OVER_M) * _BIAS_1PM
    sizes = (_ALONG_M * root, _BESIDE_M * root, turn * root, bias * root)
    return np.stack(sizes, axis=1)


def _usual(steps_m: Series) -> Floats:
    """Return the weights of what is usual at each row, (n, 4): near the middle, without bias."""
    share = np.append(steps_m, steps_m[-1])
    usual = np.array([np.inf, _OFFSET_M, _HEADING_RAD, _BIAS_1PM])
    over_m = np.array([1.0, _SAME_M, _SAME_M, 2 * _BIAS_OVER_M])
    return np.asarray(np.minimum(share[:, None] / over_m, 1.0) / usual**2)


def _trust(seen: Sightings, steps_m: Series, misses_m: Series, road_1pm: Series) -> Series:
    """Return the weights of sightings, (k,), from the curvature of the road below the car."""
    usual_m = _SIGHTING_M + _SIGHTING_M2 * np.abs(road_1pm)
    share = np.append(steps_m, steps_m[-1])[seen.row]
    counts = np.bincount(seen.row)[seen.row]
    each = np.minimum(share / _SAME_SIGHT_M, 1.0) / counts / usual_m**2
    return np.asarray(seen.trust * each / (1.0 + (misses_m / (2 * usual_m)) ** 2))


def _driven_on(
    course: Course, bend: Series, x: Floats, driven: Odometry
) -> tuple[Floats, NDArray[np.float64]]:
    """Return the states after each step, (n - 1, 4), and their slopes, (n - 1, 4, 4)."""
    step = driven.steps_m
    s, left, heading, bias = x.T
    level = course.at(course.level, s)
    turned = (driven.curvature_1pm + bias) * step * level
    half = heading + turned / 2
    cos, sin = np.cos(half), np.sin(half)
    for _ in range(2):
        # The road turns below the car: the heading error in the middle of the step counts.
        middle = s + step * cos / 2
        road = course.at(bend, middle)
        wide = np.maximum(1.0 - road * left, 0.25)
        along = step * cos / wide
        half = heading + (turned - road * along * level) / 2
        cos, sin = np.cos(half), np.sin(half)
    after = np.stack(
        [s + along, left + step * sin * level, heading + turned - road * along * level, bias],
        axis=1,
    )
    gap = 0.5
    change = (course.at(bend, middle + gap) - course.at(bend, middle - gap)) / (2 * gap)
    slopes = np.zeros((len(x), 4, 4))
    slopes[:] = np.eye(4)
    along_left = along * road / wide
    along_heading = -step * sin / wide
    slopes[:, 0, 1], slopes[:, 0, 2] = along_left, along_heading
    slopes[:, 1, 2], slopes[:, 1, 0] = step * cos, -step * cos * change * along / 2
    slopes[:, 1, 3] = step * step * cos / 2
    slopes[:, 2, 0] = -change * along * level
    slopes[:, 2, 1] = -road * along_left * level
    slopes[:, 2, 2] -= road * along_heading * level
    slopes[:, 2, 3] = step * level
    return after, slopes


def _expected(course: Course, bend: Series, x: Floats, ahead_m: Series) -> tuple[Series, Floats]:
    """Return how far left the course lies `ahead_m` ahead of the rear axle, and the slopes."""
    s, left, heading, _ = x.T
    yaw = course.heading_rad(s) + heading
    cos, sin = np.cos(yaw), np.sin(yaw)
    origin_x, origin_y = course.beside(s, left)
    there = s + ahead_m
    for _ in range(3):
        dx, dy = course.at(course.x_m, there) - origin_x, course.at(course.y_m, there) - origin_y
        beyond = dx * cos + dy * sin - ahead_m
        angle = course.heading_rad(there) - yaw
        there = there - beyond / np.maximum(np.cos(angle), 0.4)
    slope = np.clip(np.tan(angle), -2.0, 2.0)
    y = dy * cos - dx * sin - slope * beyond
    road = course.at(bend, s)
    turned = -(ahead_m + slope * y)
    slopes = np.zeros((len(x), 4))
    sideways = slope * np.cos(heading) + np.sin(heading)
    slopes[:, 0] = (1.0 - road * left) * sideways + road * turned
    slopes[:, 1] = slope * np.sin(heading) - np.cos(heading)
    slopes[:, 2] = turned
    return y, slopes


def _solved(system: _System) -> tuple[Floats, Floats]:
    """Return the solution (n, 4) and its standard deviations (n, 4)."""
    diagonal, above, right = system
    n = len(diagonal)
    inverse, gain, rest = np.empty_like(diagonal), np.empty_like(above), right.copy()
    inverse[0] = np.linalg.inv(diagonal[0])
    for i in range(1, n):
        gain[i - 1] = inverse[i - 1] @ above[i - 1]
        inverse[i] = np.linalg.inv(diagonal[i] - above[i - 1].T @ gain[i - 1])
        rest[i] -= gain[i - 1].T @ rest[i - 1]
    solution, variance = np.empty_like(right), np.empty_like(right)
    covariance = inverse[-1]
    solution[-1], variance[-1] = covariance @ rest[-1], np.diag(covariance)
    for i in range(n - 2, -1, -1):
        solution[i] = inverse[i] @ rest[i] - gain[i] @ solution[i + 1]
        covariance = inverse[i] + gain[i] @ covariance @ gain[i].T
        variance[i] = np.diag(covariance)
    return solution, np.sqrt(np.maximum(variance, 0.0))
