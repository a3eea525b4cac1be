# SPDX-License-Identifier: Apache-2.0
"""Trees and posts: polygons that face the camera, cut where nearer ground hides their feet."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray, Image
from sim_bridge.simulator.bridges import bridges_of
from sim_bridge.simulator.shadows import cast_shadows
from sim_bridge.simulator.terrain import Terrain, on_bridge, sun_colours
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.worlds.world import Posts, World

_NEAREST_M = 2.0
_FARTHEST_M = 220.0
_SMALLEST = 0.024
"""Smallest tangent of a sprite's height that is drawn."""
_MOST = 70
_SHIFT = 4
_OFF_BRIDGE_M = 11.0
_SMALL = 0.07
"""Tangent of the height below which only the outline of a tree's crown is drawn."""
_SMOOTH = 0.15
"""Tangent of the height from which a sprite has smooth edges."""
_LEAST_DEPTH = 0.15
"""Smallest depth along the optical axis, relative to the depth along the heading."""
_VARIANTS = 4
_UP = np.array([0.0, 0.0, 1.0])


class View(NamedTuple):
    """What the vertical planes through the eye show; see `ReliefCamera`.

    `height` (K, C) above the eye at `depths` (K,), `elevation` its running greatest tangent,
    `hidden` (C, bins): how many samples lie below an elevation. `eye` is x, y, z in m.
    """

    eye: FloatArray
    cos: float
    sin: float
    first_column: float
    per_column: float
    lowest: float
    per_bin: float
    depths: NDArray[np.float32]
    height: NDArray[np.float32]
    elevation: NDArray[np.float32]
    hidden: NDArray[np.intp]


class _Shape(NamedTuple):
    """Outlines of a sprite, across and up in units of its height, and their colours.

    `stem` (4, 2) is one polygon, `crown` (n, m, 2) are n polygons of m points.
    """

    stem: FloatArray
    crown: FloatArray
    stem_colour: FloatArray
    crown_colour: FloatArray


class _Seen(NamedTuple):
    """Sprites in sight: number, depth, m, and tangents of where they are from the eye.

    `foot` is the elevation of the foot, `size` the height, `cut` the elevation below which
    something nearer hides the sprite.
    """

    sprite: NDArray[np.intp]
    depth: FloatArray
    across: FloatArray
    foot: FloatArray
    size: FloatArray
    cut: FloatArray


class Sprites:
    """All trees and posts of a world; the trees also shade the terrain."""

    def __init__(self, track: Track, world: World, terrain: Terrain) -> None:
        rng = np.random.default_rng([world.seed, 6])
        places = [_trees(track, world, terrain, rng)]
        places += [_posts(track, row) for row in world.posts]
        self._foot_m = np.concatenate([place[:, :3] for place in places])
        self._height_m = np.concatenate([place[:, 3] for place in places])
        count = len(places[0])
        self._kind = np.concatenate(
            [rng.integers(0, _VARIANTS, count), np.full(len(self._foot_m) - count, _VARIANTS)]
        )
        shape = _palm if world.trees.kind == 'palm' else _conifer
        shapes = [*(shape(rng) for _ in range(_VARIANTS))]
        shapes.append(_post(*shapes[0].crown.shape[:2]))
        self._points = np.array(
            [np.concatenate([shape.stem, shape.crown.reshape(-1, 2)]) for shape in shapes]
        )
        self._crown = shapes[0].crown.shape
        self._hulls = [4 + _hull(shape.crown) for shape in shapes]
        self._tones = np.array([[shape.stem_colour, shape.crown_colour] for shape in shapes])
        light = world.light
        self._bridges = bridges_of(track)
        self._shade = _shade_at(terrain, self._foot_m, sun_colours(light))
        cast_shadows(terrain, places[0], world.trees.kind, light, rng)
        self._fog, self._fog_m = np.array(light.fog), light.fog_m

    def draw(
        self,
        image: Image,
        view: View,
        image_from_level: FloatArray,
        depth_m: NDArray[np.float32] | None = None,
    ) -> None:
        """Draw the sprites that can be seen, the farthest first, and their depths if asked."""
        seen = self._seen(view)
        if not len(seen.sprite):
            return
        points = self._points[self._kind[seen.sprite]]
        rays = np.empty((len(points), points.shape[1], 3))
        rays[..., 0] = 1.0
        rays[..., 1] = seen.across[:, None] + points[..., 0] * seen.size[:, None]
        rays[..., 2] = seen.foot[:, None] + points[..., 1] * seen.size[:, None]
        # What lies below the cut whole would become a line there.
        tops = rays[:, 4:, 2].reshape(len(rays), *self._crown[:2]).max(axis=2)
        is_left = tops > seen.cut[:, None]
        np.maximum(rays[..., 2], seen.cut[:, None], out=rays[..., 2])
        pixels = rays @ image_from_level.T
        ahead = pixels[..., 2:]
        divisor = np.maximum(ahead, _LEAST_DEPTH)
        places = np.rint((pixels[..., :2] / divisor - 0.5) * (1 << _SHIFT)).astype(np.int32)
        is_drawn = (ahead.min(axis=(1, 2)) > _LEAST_DEPTH) & is_left.any(axis=1)
        colours = self._colours(seen.sprite, seen.depth)
        smooth = [cv2.LINE_AA if near else cv2.LINE_8 for near in seen.size > _SMOOTH]
        kinds = self._kind[seen.sprite]
        is_small = (seen.size < _SMALL) & (kinds < _VARIANTS)
        for k in np.flatnonzero(is_drawn):
            if is_small[k]:
                crown = places[k, self._hulls[kinds[k]]][None]
            else:
                crown = places[k, 4:].reshape(self._crown)[is_left[k]]
            cv2.fillConvexPoly(image, places[k, :4], colours[k][0], smooth[k], _SHIFT)
            cv2.fillPoly(image, list(crown), colours[k][1], smooth[k], _SHIFT)
            if depth_m is not None:
                away_m = float(seen.depth[k])
                cv2.fillConvexPoly(depth_m, places[k, :4], away_m, cv2.LINE_8, _SHIFT)
                cv2.fillPoly(depth_m, list(crown), away_m, cv2.LINE_8, _SHIFT)

    def _seen(self, view: View) -> _Seen:
        """Return the sprites that neither the ground nor a bridge hides, the nearest last."""
        relative = self._foot_m - view.eye
        depth = relative[:, 0] * view.cos + relative[:, 1] * view.sin
        across = relative[:, 1] * view.cos - relative[:, 0] * view.sin
        sprite = np.flatnonzero(
            (depth > _NEAREST_M)
            & (depth < _FARTHEST_M)
            & (np.abs(across) < 1.5 * depth + 4.0)
            & (self._height_m > _SMALLEST * depth)
        )
        depth = depth[sprite]
        across = across[sprite] / depth
        size = self._height_m[sprite] / depth
        foot = relative[sprite, 2] / depth
        cut = _hidden_below(view, depth, across)
        is_seen = foot + size > cut + 0.003
        feet_m = self._foot_m[sprite]
        for bridge in self._bridges:
            is_seen &= ~bridge.hides(view.eye, feet_m + np.outer(self._height_m[sprite], _UP))
            is_cut = bridge.hides(view.eye, feet_m + 0.05 * _UP)
            cut = np.where(is_cut, np.maximum(cut, (bridge.z_m - view.eye[2]) / depth), cut)
        order = np.flatnonzero(is_seen)
        order = order[np.argsort(depth[order])[:_MOST]][::-1]
        return _Seen(
            sprite[order], depth[order], across[order], foot[order], size[order], cut[order]
        )

    def _colours(self, sprites: NDArray[np.intp], depth: FloatArray) -> list[list[list[float]]]:
        """Return the colours of stem and crown of each sprite."""
        share = np.zeros_like(depth)
        if self._fog_m is not None:
            share = np.clip((depth - self._fog_m[0]) / (self._fog_m[1] - self._fog_m[0]), 0, 1)
        clear = self._tones[self._kind[sprites]] * self._shade[sprites][:, None]
        fogged = clear + (self._fog - clear) * share[:, None, None]
        return [[list(map(float, tone)) for tone in tones] for tones in fogged]


def _hidden_below(view: View, depth: FloatArray, across: FloatArray) -> FloatArray:
    """Return the tangent of the elevation below which nearer ground hides each sprite."""
    sample = np.searchsorted(view.depths, depth) - 2
    column = np.rint((across - view.first_column) / view.per_column).astype(int)
    column = np.clip(column, 0, view.elevation.shape[1] - 1)
    return np.asarray(view.elevation[np.maximum(sample, 0), column], np.float64)


def _trees(track: Track, world: World, terrain: Terrain, rng: np.random.Generator) -> FloatArray:
    """Return (n, 4) x, y, z of feet and heights, in groups beside the road but not on it."""
    trees = world.trees
    count = 3 * trees.number
    density = np.cumsum(rng.gamma(0.6, 1.0, 60))
    s_m = np.interp(
        rng.uniform(0.0, density[-1], count), density, np.linspace(0, track.length_m, 60)
    )
    sample = track.index(s_m)
    side = np.where(rng.random(count) < trees.left_share, 1.0, -1.0)
    width = np.where(side > 0.0, track.left_m[sample], track.right_m[sample])
    away = trees.nearest_m + (trees.farthest_m - trees.nearest_m) * rng.random(count) ** 1.3
    offset = side * (width + away)
    feet_m = track.beside_m(sample, offset)
    x, y = feet_m.T
    cells = terrain.cells(feet_m)
    rows, columns = terrain.height.shape
    inside = ((cells >= 0) & (cells < (columns, rows))).all(axis=1)
    cells = np.clip(cells, 0, (columns - 1, rows - 1))
    z = terrain.height[cells[:, 1], cells[:, 0]]
    nearest = terrain.nearest[cells[:, 1], cells[:, 0]]
    gap = np.hypot(x - track.centre_m[nearest, 0], y - track.centre_m[nearest, 1])
    dry = world.ground.water_level_m is None or z > (world.ground.water_level_m or 0.0) + 0.15
    bridge = track.centre_m[on_bridge(track, world)][::8]
    for place_m in bridge:
        inside &= np.hypot(x - place_m[0], y - place_m[1]) > _OFF_BRIDGE_M
    free = inside & dry & (gap > track.left_m[nearest] + trees.nearest_m)
    height = rng.uniform(*trees.height_m, count)
    places = np.stack([x, y, z, height], axis=1)[free]
    return np.asarray(places[: trees.number], np.float64)


def _posts(track: Track, row: Posts) -> FloatArray:
    s_m = np.arange(*row.span, row.every_m)
    sample = track.index(s_m)
    width = (track.left_m if row.side > 0 else track.right_m)[sample]
    feet_m = track.beside_m(sample, row.side * (width + row.offset_m))
    height_m = np.full(len(s_m), row.height_m)
    return np.column_stack([feet_m, track.height_m[sample] - 0.1, height_m])


def _shade_at(terrain: Terrain, foot_m: FloatArray, colours: Image) -> FloatArray:
    """Return (n, 3) factors of light at the feet."""
    cells = terrain.cells(foot_m[:, :2])
    rows, columns = terrain.height.shape
    cells = np.clip(cells, 0, (columns - 1, rows - 1))
    factors = colours[terrain.colour[cells[:, 1], cells[:, 0], 3]] / 128.0
    return np.asarray(np.clip(factors, 0.3, 1.0), np.float64)


def _hull(crown: FloatArray) -> NDArray[np.intp]:
    """Return which points of a crown make its outline."""
    hull = cv2.convexHull(crown.reshape(-1, 2).astype(np.float32), returnPoints=False)
    return np.asarray(hull.ravel(), np.intp)


def _conifer(rng: np.random.Generator) -> _Shape:
    """Return a pine: a bare trunk and ragged tufts of needles in its upper part."""
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    tufts = []
    for rise in np.linspace(0.42, 0.93, 5):
        wide = 0.20 * (1.15 - rise) + 0.03
        radius = rng.uniform(0.45, 1.25, 10)
        x = rng.normal(0, 0.03) + wide * radius * np.cos(angle)
        tufts.append(np.stack([x, rise + 0.06 * radius * np.sin(angle)], axis=1))
    stem = np.array([(-0.018, 0), (0.018, 0), (0.008, 0.95), (-0.008, 0.95)])
    needles = np.array([46.0, 50.0, 30.0]) * rng.uniform(0.8, 1.35)
    return _Shape(stem, np.array(tufts), np.array([62.0, 52.0, 40.0]), needles)


def _palm(rng: np.random.Generator) -> _Shape:
    """Return a palm: a leaning trunk and a star of hanging leaves."""
    lean = float(rng.normal(0.0, 0.12))
    stem = np.array([(-0.03, 0), (0.03, 0), (lean + 0.016, 0.74), (lean - 0.016, 0.74)])
    crown = np.array([lean, 0.75])
    leaves, up = [], np.array([0.0, 1.0])
    for turn in np.linspace(-2.9, 2.9, 11) + rng.normal(0, 0.15, 11):
        reach = float(rng.uniform(0.28, 0.45))
        tip = crown + np.array([reach * np.sin(turn), 0.24 * np.cos(turn) - 0.12])
        middle = (crown + tip) / 2 + np.array([0.0, 0.10])
        leaves.append([crown, middle + (0.03 * up), tip, middle - (0.025 * up)])
    green = np.array([52.0, 64.0, 28.0]) * rng.uniform(0.7, 1.4)
    return _Shape(stem, np.array(leaves), np.array([70.0, 62.0, 46.0]), green)


def _post(polygons: int, corners: int) -> _Shape:
    """Return a white post with two red bars, as many polygons and corners as a tree has."""
    stem = np.array([(-0.025, 0), (0.025, 0), (0.02, 0.86), (-0.02, 0.86)])
    crown = np.full((polygons, corners, 2), (0.0, 0.9))
    for bar, (low, high) in enumerate(((0.84, 0.89), (0.94, 1.0))):
        crown[bar] = (-0.09, high)
        crown[bar, :4] = [(-0.09, low), (0.09, low), (0.09, high), (-0.09, high)]
    return _Shape(stem, crown, np.array([212.0, 212, 208]), np.array([190.0, 70, 66]))
