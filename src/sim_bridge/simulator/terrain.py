# SPDX-License-Identifier: Apache-2.0
"""Terrain of a world: grids of the ground's height and colour, and of the nearest road.

Row 0 of a grid is the smallest y, column 0 the smallest x. The ground is made of the road's
height, of rises beside it, of walls of rock and of hills, all drawn by the world's seed.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray, Floats, Image
from sim_bridge.simulator.strip import covered
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.worlds.world import Ground, Light, World

CELL_M = 0.5
_MARGIN_M = 90.0
_VERGE_M = (4.0, 10.0)
_LEVEL_VERGE_M = 0.5
_FACE_M = 0.5
_SHADOW_REACH_M = 60.0
_SHADOW_STEP_M = 1.5


class Terrain(NamedTuple):
    """Grids of cells of CELL_M; `x0_m, y0_m` is the middle of the first cell.

    `height` (R, C) m; `nearest` (R, C) int32, sample of the track's centre line, bridges left out;
    `colour` (R, C, 4), lit RGB and the share of sunlight there, where 128 is that of level ground.
    """

    height: Floats
    nearest: NDArray[np.int32]
    colour: Image
    x0_m: float
    y0_m: float

    def cells(self, points_m: FloatArray) -> NDArray[np.int32]:
        """Return column and row, (n, 2), of the cells of points (n, 2); they may lie outside."""
        return _cells(points_m, np.array([self.x0_m, self.y0_m]))


class _Beside(NamedTuple):
    """Where each cell lies, m, seen from the nearest sample of the centre line.

    `lateral` is the offset from the centre line, `outside` the distance outside the road's edge,
    `along` the distance ahead of the sample.
    """

    lateral: Floats
    outside: Floats
    along: Floats


def make_terrain(track: Track, world: World) -> Terrain:
    """Return the terrain of a world; the same world gives the same bytes."""
    rng = np.random.default_rng([world.seed, 4])
    low = track.centre_m.min(axis=0) - _MARGIN_M
    columns, rows = (
        4 * int(np.ceil(span / CELL_M / 4))
        for span in np.ptp(track.centre_m, axis=0) + 2 * _MARGIN_M
    )
    nearest = _nearest(track, world, low, (rows, columns))
    beside = _beside(track, nearest, low)
    noise = _noise(nearest.shape, (90, 34, 14), rng)
    height = _height(track, world, nearest, beside, noise, rng)
    _build_stripes(track, world, nearest, beside, height)
    _clear_bridges(track, world, height, low)
    colour = _colour(world.ground, height, beside, noise, rng)
    sun = _sun(world.light, height)
    lit = cv2.multiply(colour, sun_colours(world.light).take(sun, axis=0), None, 1 / 128.0)
    return Terrain(height, nearest, np.dstack([lit, sun]), float(low[0]), float(low[1]))


def sun_colours(light: Light) -> Image:
    """Return (256, 3): for each share of sunlight, 128 full, the factor of colours, 128 for 1."""
    sun = np.arange(256)[:, None] / 128.0
    shadow = np.array(light.shadow)
    return np.asarray(np.clip(128.0 * (shadow + (1.0 - shadow) * sun), 0, 255), np.uint8)


def on_bridge(track: Track, world: World) -> NDArray[np.bool_]:
    """Return for each sample of the centre line whether it lies on a bridge."""
    s_m = np.arange(len(track.centre_m)) * track.step_m
    inside = np.zeros(len(s_m), bool)
    for first_m, last_m in world.bridges:
        inside |= (s_m > first_m) & (s_m < last_m)
    return inside


def _cells(points_m: FloatArray, low: FloatArray) -> NDArray[np.int32]:
    return np.rint((points_m - low) / CELL_M).astype(np.int32)


def _nearest(
    track: Track, world: World, low: FloatArray, shape: tuple[int, int]
) -> NDArray[np.int32]:
    samples = np.flatnonzero(~on_bridge(track, world)).astype(np.int32)
    cells = _cells(track.centre_m[samples], low)
    free = np.ones(shape, np.uint8)
    free[cells[:, 1], cells[:, 0]] = 0
    _, labels = cv2.distanceTransformWithLabels(
        free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    sample_of = np.zeros(int(labels.max()) + 1, np.int32)
    sample_of[labels[cells[:, 1], cells[:, 0]]] = samples
    return np.asarray(sample_of[labels], np.int32)


def _beside(track: Track, nearest: NDArray[np.int32], low: FloatArray) -> _Beside:
    rows, columns = nearest.shape
    x = (low[0] + np.arange(columns) * CELL_M).astype(np.float32)[None]
    y = (low[1] + np.arange(rows) * CELL_M).astype(np.float32)[:, None]
    centre = track.centre_m.astype(np.float32)
    cos, sin = (f(track.yaw_rad).astype(np.float32)[nearest] for f in (np.cos, np.sin))
    dx, dy = x - centre[:, 0][nearest], y - centre[:, 1][nearest]
    along, lateral = dx * cos + dy * sin, dy * cos - dx * sin
    lateral -= track.curvature_1pm.astype(np.float32)[nearest] * along * along / 2
    left, right = (w.astype(np.float32)[nearest] for w in (track.left_m, track.right_m))
    away = np.copysign(np.hypot(dx, dy), lateral)
    outside = np.where(lateral > 0.0, away - left, -away - right)
    return _Beside(lateral, outside, along)


def _noise(shape: tuple[int, ...], scales: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return smooth noise of about unit variance with blobs of these sizes in m."""
    rows, columns = shape
    total = np.zeros((rows, columns), np.float32)
    for weight, scale in zip((0.8, 0.5, 0.25), scales, strict=True):
        cells = scale / CELL_M
        size = (int(rows / cells) + 3, int(columns / cells) + 3)
        coarse = rng.normal(0.0, weight, size).astype(np.float32)
        layer = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(layer, np.float32)
    return total


def _ramp(values: Floats, first: float, last: float) -> Floats:
    """Return 0 below `first`, 1 above `last`, smooth between."""
    share = np.clip((values - np.float32(first)) / np.float32(last - first), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share), np.float32)


def _height(
    track: Track,
    world: World,
    nearest: NDArray[np.int32],
    beside: _Beside,
    noise: Floats,
    rng: np.random.Generator,
) -> Floats:
    ground = world.ground
    surface = track.surface
    assert surface is not None
    slope, bank = (a.astype(np.float32)[nearest] for a in (surface.slope, surface.bank_rad))
    road = surface.height_m.astype(np.float32)[nearest] + slope * np.clip(beside.along, -2.0, 2.0)
    road += bank * np.clip(beside.lateral, -5.0, 5.0)
    outside = beside.outside
    rise = np.where(
        beside.lateral > 0.0,
        np.interp(outside, *np.array(ground.left_rise_m).T),
        np.interp(outside, *np.array(ground.right_rise_m).T),
    ).astype(np.float32)
    height = road + rise
    if ground.blends:
        share = _ramp(outside, 5.0, 16.0)
        height += (_between_roads(track, nearest.shape) - height) * share
    verge = _ramp(outside, *_VERGE_M)
    cliffs = _ramp(noise, 0.1, 0.42) + _ramp(noise, 0.85, 1.1) - 0.8 * _ramp(-noise, 0.5, 0.8)
    if ground.water_level_m is not None:
        cliffs *= _ramp(height, ground.water_level_m + 0.8, ground.water_level_m + 4.0)
    height += verge * cliffs * np.float32(ground.cliffs_m)
    far = _ramp(outside, 22.0, 85.0)
    if ground.water_level_m is not None:
        far *= beside.lateral < 0.0
    height += far * np.float32(ground.hills_m) * (0.7 + 0.5 * np.clip(noise, -1.0, 1.5))
    rough = _noise(nearest.shape, (12, 6, 3), rng)
    height += rough * 0.45 * verge
    if ground.water_level_m is not None:
        np.maximum(height, np.float32(ground.water_level_m), out=height)
    return np.where(outside < _LEVEL_VERGE_M, road, height)


def _between_roads(track: Track, shape: tuple[int, ...]) -> Floats:
    """Return the mean height of the roads around, weighted by the inverse square of distance."""
    assert track.surface is not None
    step = 12
    thin = slice(None, None, 16)
    rows, columns = shape[0] // step + 1, shape[1] // step + 1
    low = track.centre_m.min(axis=0) - _MARGIN_M
    x = (low[0] + np.arange(columns) * step * CELL_M)[None, :, None]
    y = (low[1] + np.arange(rows) * step * CELL_M)[:, None, None]
    points = track.centre_m[thin].astype(np.float32)
    away = (x.astype(np.float32) - points[:, 0]) ** 2 + (y.astype(np.float32) - points[:, 1]) ** 2
    weight = 1.0 / (away + 9.0) ** 1.5
    heights = track.surface.height_m[thin].astype(np.float32)
    mean = (weight @ heights) / weight.sum(axis=2)
    return np.asarray(cv2.resize(mean, shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _build_stripes(
    track: Track, world: World, nearest: NDArray[np.int32], beside: _Beside, height: Floats
) -> None:
    """Raise the ground where stripes stand above the road: kerbs and parapets."""
    edges = {'left': track.left_m, 'right': -track.right_m, 'centre': np.zeros(1)}
    for stripe in world.stripes:
        if not stripe.rise_m:
            continue
        edge = np.broadcast_to(edges[stripe.line], len(track.centre_m)).astype(np.float32)
        high_m, low_m = max(stripe.from_m, stripe.to_m), min(stripe.from_m, stripe.to_m)
        where = covered(stripe, np.arange(len(edge)), 1.0 / track.step_m)
        lateral = beside.lateral - edge[nearest]
        # The faces are as steep as the grid can show, and lie inside the stripe.
        share = np.minimum(lateral - np.float32(low_m), np.float32(high_m) - lateral) / _FACE_M
        inside = (share > 0.0) & where[nearest]
        assert track.surface is not None
        road = track.surface.height_m.astype(np.float32)[nearest]
        raised = road + np.clip(share, 0.0, 1.0) * np.float32(stripe.rise_m)
        height[inside] = np.maximum(raised, height)[inside]


def _clear_bridges(track: Track, world: World, height: Floats, low: FloatArray) -> None:
    """Keep the ground below the bridges, 12 m to either side of them."""
    assert track.surface is not None
    for first_m, last_m in world.bridges:
        samples = range(int((first_m + 4.0) / track.step_m), int((last_m - 4.0) / track.step_m))
        sides = track.edge_m(12.0)[samples], track.edge_m(-12.0)[samples]
        outline = np.concatenate([sides[0], sides[1][::-1]])
        mask = np.zeros(height.shape, np.uint8)
        cells = _cells(outline, low)
        cv2.fillPoly(mask, [cells], 1)
        lid = np.float32(track.surface.height_m[samples[len(samples) // 2]] - 1.2)
        np.minimum(height, lid, out=height, where=mask.astype(bool))


def _colour(
    ground: Ground, height: Floats, beside: _Beside, noise: Floats, rng: np.random.Generator
) -> Image:
    rows, columns = height.shape
    fine = _noise(height.shape, (16, 5, 2), rng)
    share = np.clip(0.5 + 0.45 * fine, 0.0, 1.0)[..., None]
    one, other = (np.array(colour, np.float32) for colour in ground.grass)
    colour = one + (other - one) * share
    bare = np.clip(2.5 * (noise + 0.5 * fine - 0.4), 0.0, 1.0) * _ramp(beside.outside, 0.5, 3.0)
    colour += (np.array(ground.earth, np.float32) - colour) * (0.8 * bare)[..., None]
    dx, dy = _gradient(height)
    steep = _ramp(np.hypot(dx, dy), 0.6, 1.1)[..., None]
    streaks = cv2.GaussianBlur(rng.normal(0, 1, (rows, columns)).astype(np.float32), (0, 0), 1.0)
    rock = np.array(ground.rock, np.float32) * (1.0 + 0.5 * streaks)[..., None]
    colour += (rock - colour) * steep
    colour += rng.normal(0.0, 7.0, (rows, columns, 1)).astype(np.float32)
    if ground.water_level_m is not None:
        colour[height <= ground.water_level_m + 0.02] = ground.water
    return np.asarray(np.clip(colour, 0, 255), np.uint8)


def _gradient(height: Floats) -> tuple[Floats, Floats]:
    """Return the rise along x and along y, m per m, of each cell."""
    scale = 1 / 8 / CELL_M
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=scale)
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=scale)
    return np.asarray(dx, np.float32), np.asarray(dy, np.float32)


def _sun(light: Light, height: Floats) -> Image:
    """Return the sunlight on each cell: its slope towards the sun, and shadows of the ground."""
    cos, sin = np.cos(light.azimuth_rad), np.sin(light.azimuth_rad)
    rise = np.tan(light.elevation_rad)
    dx, dy = _gradient(height)
    normal = np.sqrt(1.0 + dx * dx + dy * dy)
    facing = (rise - dx * cos - dy * sin) / (normal * rise)
    lit = np.clip(facing, 0.0, 1.25).astype(np.float32)
    small = np.ascontiguousarray(height[::2, ::2])
    shaded = np.zeros(small.shape, np.float32)
    for away_m in np.arange(_SHADOW_STEP_M, _SHADOW_REACH_M, _SHADOW_STEP_M):
        move = away_m / (2 * CELL_M)
        shift = np.array([[1, 0, cos * move], [0, 1, sin * move]], np.float32)
        towards = cv2.warpAffine(
            small, shift, small.shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        np.maximum(shaded, np.clip(towards - small - away_m * rise - 0.2, 0.0, 0.8), out=shaded)
    dark = cv2.resize(shaded, height.shape[::-1], interpolation=cv2.INTER_LINEAR) / 0.8
    return np.asarray(128.0 * lit * (1.0 - dark), np.uint8)
