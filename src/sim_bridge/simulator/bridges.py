# SPDX-License-Identifier: Apache-2.0
"""Bridges of a track with terrain: straight, level plates above other ground."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sim_bridge.simulator.track import Track

HALF_WIDTH_M = 5.0


class Bridge(NamedTuple):
    """A plate: where its middle line starts, m, its direction, its first s, and its length."""

    x_m: float
    y_m: float
    z_m: float
    cos: float
    sin: float
    first_m: float
    length_m: float

    def covers(self, along: Any, lateral: Any) -> Any:
        """Return whether places in the bridge's own frame lie on it; arrays of any shape."""
        return (along >= 0.0) & (along <= self.length_m) & (np.abs(lateral) < HALF_WIDTH_M)

    def hides(self, eye_m: Any, points_m: Any) -> Any:
        """Return for each of the points (n, 3) whether the plate hides it from the eye."""
        way = points_m - eye_m
        share = (self.z_m - eye_m[2]) / np.where(way[:, 2] == 0.0, 1e-9, way[:, 2])
        dx = eye_m[0] + share * way[:, 0] - self.x_m
        dy = eye_m[1] + share * way[:, 1] - self.y_m
        along, lateral = dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin
        return (share > 0.0) & (share < 0.99) & self.covers(along, lateral)


def bridges_of(track: Track) -> list[Bridge]:
    """Return the bridges of a track."""
    if track.surface is None:
        return []
    return [_bridge(track, *span) for span in track.surface.world.bridges]


def _bridge(track: Track, first_m: float, last_m: float) -> Bridge:
    start, end = track.pose(first_m), track.pose(last_m)
    length_m = math.hypot(end.x_m - start.x_m, end.y_m - start.y_m)
    middle = track.index((first_m + last_m) / 2)
    return Bridge(
        start.x_m,
        start.y_m,
        float(track.height_m[middle]),
        (end.x_m - start.x_m) / length_m,
        (end.y_m - start.y_m) / length_m,
        first_m,
        length_m,
    )
