# SPDX-License-Identifier: Apache-2.0
"""Placement of recordings on the known tracks: place, offset and heading error of each frame.

The recorded speed and steering give a path (dead reckoning, bicycle model). `search` finds the
track and the start at which the road has the curvature of this path. `smooth` fits the places to
it, to a steering bias that varies slowly, and to the middle of the road as the frames show it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim_bridge.mapping.course import Course, Series, course_of
from sim_bridge.mapping.search import STEP_M, Found, correlation_of, search
from sim_bridge.mapping.smoothing import Odometry, Sightings, smooth
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.worlds.registry import NAMED
from steering_net.bicycle_model import curvature_1pm
from steering_net.data.centerline import Edges, middles_seen
from steering_net.data.recording import Recording, no_speed
from steering_net.data.trajectory import acting_steering_rad, runs
from steering_net.vehicle import REAR_AXLE_M, Pose

SHORTEST_M = 240.0
_WORST_COST = 0.35
_LEAST_MARGIN = 8.0
"""Logarithm of how much more likely the best path must be than any other."""
_LEAST_CORRELATION = 0.6
# Where the road has sharp curves, recorded drives correlate by 0.8 and more, and drives on hills
# of another course by up to 0.78.
_SHARP_1PM, _LEAST_SHARP_CORRELATION = 0.03, 0.8
_MOST_OFF_ROAD = 0.05
_BESIDE_ROAD_M = 1.0


@dataclass(frozen=True, eq=False)
class Placement:
    """A run of a recording on a track: the car's origin at each of its n rows, (n,) each.

    `rows` are the run's rows of the recording. `s_m` is the place along the track. `left_m` and
    `heading_rad` are the offset from the centre line and the heading error; both are left
    positive for the driver. `sigma` (n, 3) are the standard deviations of the three. `progress_m`
    is the place along the driven course, not limited to one lap. `curvature_1pm` is what the
    driver steered after each row. `sightings` is the number of frames that showed the road.
    """

    track: str
    is_reversed: bool
    rows: slice
    s_m: Series
    left_m: Series
    heading_rad: Series
    sigma: Series
    progress_m: Series
    curvature_1pm: Series
    correlation: float
    sightings: int

    def __len__(self) -> int:
        return len(self.s_m)

    @property
    def course(self) -> Course:
        """The course that was driven."""
        return _course(self.track, self.is_reversed)

    def pose(self, index: int) -> Pose:
        """Return the pose of the car's origin on its track at one of the rows."""
        here = slice(index, index + 1)
        x_m, y_m = self.course.beside(self.progress_m[here], self.left_m[here])
        road_rad = self.course.heading_rad(self.progress_m[here])
        return Pose(
            float(x_m[0]), float(y_m[0]), float(road_rad[0]) + float(self.heading_rad[index])
        )


@dataclass(frozen=True)
class Refusal:
    """A run of a recording that could not be placed, and the reason."""

    rows: slice
    reason: str

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)

    def __str__(self) -> str:
        return f'rows {self.rows.start}-{self.rows.stop - 1} not placed: {self.reason}'


def locate(recording: Recording, seen: Sequence[Edges | None]) -> list[Placement | Refusal]:
    """Place each run of a recording on one of the named tracks, or tell why it is not placed.

    `seen` is the result of `edges_in`.
    """
    if not recording.speed_mps.any():
        return [Refusal(slice(0, len(recording)), str(no_speed(recording)))]
    return [_locate(recording, run, seen[run]) for run in runs(recording.times_s)]


def _locate(
    recording: Recording, rows: slice, seen: Sequence[Edges | None]
) -> Placement | Refusal:
    steered = curvature_1pm(acting_steering_rad(recording.steering_rad[rows]))
    # The speed is that of the car's origin, which moves faster in a turn than the rear axle does.
    speed_mps = recording.speed_mps[rows] / np.hypot(1.0, REAR_AXLE_M * steered)
    steps_m = speed_mps[:-1] * np.diff(recording.times_s[rows])
    along_m = np.concatenate([[0.0], np.cumsum(steps_m)])
    if along_m[-1] < SHORTEST_M:
        return Refusal(rows, f'it is {along_m[-1]:.0f} m long; it must be {SHORTEST_M:.0f} m')
    chosen, reason = _choose(along_m, steered)
    if reason:
        return Refusal(rows, reason)
    name, is_reversed, found = chosen
    course = _course(name, is_reversed)
    start_m = np.interp(along_m, STEP_M * np.arange(len(found.places_m)), found.places_m)
    row, ahead_m, left_m, trust = middles_seen(seen)
    sightings = Sightings(row, ahead_m + REAR_AXLE_M, left_m, trust)
    states = smooth(course, Odometry(steps_m, steered[:-1]), start_m, sightings)
    x_m, y_m = course.beside(states.s_m, states.left_m)
    yaw_rad = course.heading_rad(states.s_m) + states.heading_rad
    x_m, y_m = x_m + REAR_AXLE_M * np.cos(yaw_rad), y_m + REAR_AXLE_M * np.sin(yaw_rad)
    progress_m, beside_m = course.project(x_m, y_m, states.s_m + REAR_AXLE_M)
    # Before whole laps are taken off, which would add full turns to the heading of the course.
    heading_rad = yaw_rad - course.heading_rad(progress_m)
    progress_m -= course.length_m * np.floor(progress_m[0] / course.length_m)
    placement = Placement(
        name,
        is_reversed,
        rows,
        course.on_track(progress_m),
        beside_m,
        heading_rad,
        states.sigma[:, :3],
        progress_m,
        steered,
        correlation_of(along_m, steered, states.s_m, course),
        len(np.unique(row)),
    )
    reason = _doubt(placement)
    return Refusal(rows, reason) if reason else placement


def _choose(along_m: Series, steered: Series) -> tuple[tuple[str, bool, Found], str]:
    """Return track, direction and path that fit best, and why they cannot be trusted, or ''."""
    candidates = [
        (name, is_reversed, search(along_m, steered, _course(name, is_reversed)))
        for name in NAMED
        for is_reversed in (False, True)
    ]
    candidates.sort(key=lambda candidate: candidate[2].cost)
    best, second = candidates[0], candidates[1]
    name, _, found = best
    samples = len(found.places_m)
    if found.cost > _WORST_COST:
        fit = correlation_of(
            along_m,
            steered,
            np.interp(along_m, STEP_M * np.arange(samples), found.places_m),
            _course(*best[:2]),
        )
        return best, (
            f'its steering fits no known track; the best is {name}, whose curvature correlates '
            f'with the driven one by {fit:.2f}'
        )
    if (min(found.runner_up, second[2].cost) - found.cost) * samples < _LEAST_MARGIN:
        other = second[0] if second[2].cost < found.runner_up else name
        return best, f'its steering fits more than one place, on {name} and on {other}'
    return best, ''


def _doubt(placement: Placement) -> str:
    """Return the reason why a placement cannot be trusted, '' if it can."""
    is_sharp = np.std(placement.course.curvature_1pm) > _SHARP_1PM
    needed = _LEAST_SHARP_CORRELATION if is_sharp else _LEAST_CORRELATION
    if placement.correlation < needed:
        return (
            f'the curvature of {placement.track} correlates with the driven one by only '
            f'{placement.correlation:.2f}; {needed} is needed'
        )
    off_road = np.mean(beyond_road_m(placement) > _BESIDE_ROAD_M)
    if off_road > _MOST_OFF_ROAD:
        return f'on {placement.track} it would be off the road for {off_road:.0%} of the frames'
    return ''


def beyond_road_m(placement: Placement) -> Series:
    """Return how far outside the edge of the road each row is, m; negative on the road."""
    track = open_placed(placement)
    index = track.index(placement.s_m)
    left_m = -placement.left_m if placement.is_reversed else placement.left_m
    return np.where(left_m > 0.0, left_m - track.left_m[index], -left_m - track.right_m[index])


def open_placed(placement: Placement) -> Track:
    """Return the track of a placement."""
    return _track(placement.track)


@functools.cache
def _track(name: str) -> Track:
    return open_track(name)


@functools.cache
def _course(name: str, is_reversed: bool) -> Course:
    return course_of(_track(name), is_reversed)
