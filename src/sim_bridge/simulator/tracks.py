# SPDX-License-Identifier: Apache-2.0
"""Tracks of a name: a flat one from its seed, or one that runs through a world."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray
from sim_bridge.simulator.track import STEP_M, Surface, Track, make_track
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.worlds.registry import NAMED, PROCEDURAL
from sim_bridge.simulator.worlds.world import World

_BEND_M = 3.0


def open_track(name: TrackName) -> Track:
    """Return the track of this name."""
    if isinstance(name, int):
        return make_track(name)
    if name in NAMED:
        return world_track(NAMED[name]())
    family, _, seed = name.partition(':')
    return world_track(PROCEDURAL[family](int(seed)))


def list_tracks() -> list[str]:
    """Return one line per kind of track: its name and what it is."""
    lines = [f'{"SEED":12}flat, procedural: 0 and above, as in --track 7']
    lines += [f'{name:12}{make().summary}' for name, make in NAMED.items()]
    lines += [f'{f"{name}:SEED":12}{make(0).summary}' for name, make in PROCEDURAL.items()]
    return lines


def world_track(world: World) -> Track:
    """Return the track of a world, sampled every 0.25 m along its slope."""
    line = world.line
    fine = _between(line.points_m, 8)
    lengths = np.linalg.norm(np.roll(fine, -1, axis=0) - fine, axis=1)
    travelled = np.concatenate([[0.0], np.cumsum(lengths)])
    length_m = float(travelled[-1])
    count = round(length_m / STEP_M)
    even = np.arange(count) * (length_m / count)
    points = _periodic(even, travelled, fine)
    step = (np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)) / (2 * length_m / count)
    yaw_rad = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    flat = np.maximum(np.hypot(step[:, 0], step[:, 1]), 0.5)
    turn_rad = _centred(yaw_rad, math.tau * round((yaw_rad[-1] - yaw_rad[0]) / math.tau))
    at_row = travelled[::8]
    rows = np.column_stack([line.left_m, line.right_m, line.bank_rad])
    left_m, right_m, bank_rad = _periodic(even, at_row, rows).T
    return Track(
        world.seed,
        points[:, :2],
        yaw_rad,
        turn_rad / (length_m / count * flat),
        left_m,
        right_m,
        length_m,
        Surface(points[:, 2], step[:, 2], _bend_1pm(points[:, 2], length_m), bank_rad, world),
        world.start_m,
    )


def _bend_1pm(height_m: FloatArray, length_m: float) -> FloatArray:
    """Return how much the mean slope of the next 3 m exceeds that of the last 3 m, per metre."""
    reach = round(_BEND_M * len(height_m) / length_m)
    ahead, behind = np.roll(height_m, -reach), np.roll(height_m, reach)
    return np.asarray((ahead - 2 * height_m + behind) / (reach * length_m / len(height_m)) ** 2)


def _between(points: FloatArray, parts: int) -> FloatArray:
    """Return a closed line with `parts` times the points, on Catmull-Rom splines."""
    share = (np.arange(parts) / parts)[None, :, None]
    before, here, there, after = (np.roll(points, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    linear, square = there - before, 2 * before - 5 * here + 4 * there - after
    cubic = 3 * (here - there) + after - before
    curve = here + 0.5 * share * (linear + share * (square + share * cubic))
    return np.asarray(curve.reshape(-1, points.shape[1]))


def _periodic(at: NDArray[Any], places: NDArray[Any], values: FloatArray) -> FloatArray:
    """Return (n, k) values between rows; `places` has one more entry, the length of the lap."""
    closed = np.vstack([values, values[:1]])
    return np.stack([np.interp(at, places, column) for column in closed.T], axis=1)


def _centred(values: FloatArray, lap: float) -> FloatArray:
    """Return half the differences of the neighbours; a lap adds `lap` to the values."""
    wrapped = np.concatenate([[values[-1] - lap], values, [values[0] + lap]])
    return np.asarray((wrapped[2:] - wrapped[:-2]) / 2)
