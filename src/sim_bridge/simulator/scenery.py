# SPDX-License-Identifier: Apache-2.0
"""Scenery of a track, painted once: textures of the ground from above, and a panorama.

Textures are uint8 RGB seen from above; row 0 is the smallest y, column 0 the smallest x. The
panorama shows sky, hills and trees all round the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray, Image
from sim_bridge.simulator.look import Look, lit, mix
from sim_bridge.simulator.track import Track

NEAR_M_PER_TEXEL = 0.08
FAR_M_PER_TEXEL = 0.32
GRAIN_M_PER_TEXEL = 0.025
GRAIN_TEXELS = 512
PANORAMA_COLUMNS = 1742
PANORAMA_ROWS = 63
_NEAR_MARGIN_M = 26.0
_FAR_MARGIN_M = 110.0
_SUBPIXEL_BITS = 4
_FILL_GROWTH_M = 0.6 * NEAR_M_PER_TEXEL


class GroundMap(NamedTuple):
    """Texture of the ground; `x0_m, y0_m` is the outer corner of its first texel."""

    image: Image
    x0_m: float
    y0_m: float
    m_per_texel: float


class Scenery(NamedTuple):
    """The painted scenery: ground from fine to coarse, tile of grain (128 is neutral), panorama.

    The last row of `panorama` (PANORAMA_ROWS, PANORAMA_COLUMNS, 3) is the horizon. Its columns
    go clockwise from yaw pi. Each is as wide as half a pixel in the middle of the camera's image.
    """

    near: GroundMap
    middle: GroundMap
    far: GroundMap
    grain: Image
    panorama: Image


def paint(track: Track, look: Look) -> Scenery:
    """Paint the scenery of a track; the same track and look give the same bytes."""
    rng = np.random.default_rng([track.seed, 3])
    far = _paint_ground(track, look, rng)
    near = _paint_near(track, look, far, rng)
    half = cv2.resize(near.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    middle = near._replace(
        image=np.asarray(half, np.uint8),
        m_per_texel=2 * NEAR_M_PER_TEXEL,
    )
    _inlay(far, near)
    return Scenery(near, middle, far, _grain(look, rng), _panorama(look, rng))


def _paint_ground(track: Track, look: Look, rng: np.random.Generator) -> GroundMap:
    """Paint the ground beside the road up to the horizon, coarsely."""
    reach_m = np.abs(track.centre_m).max(axis=0) + _FAR_MARGIN_M
    columns, rows = (4 * math.ceil(2 * m / FAR_M_PER_TEXEL / 4) for m in reach_m)
    share = _clouds(rows, columns, (24, 6, 2), rng)[..., None]
    first, second = (np.array(colour) * look.light for colour in look.ground)
    speckle = rng.normal(0.0, 9.0, (rows, columns, 1))
    image = first + (second - first) * share + speckle
    x0_m, y0_m = -columns * FAR_M_PER_TEXEL / 2, -rows * FAR_M_PER_TEXEL / 2
    return GroundMap(_to_bytes(image), x0_m, y0_m, FAR_M_PER_TEXEL)


def _clouds(
    rows: int, columns: int, scales: Sequence[int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (rows, columns) float32 smooth noise, 0..1, with blobs of `scales` texels."""
    total = np.zeros((rows, columns), np.float32)
    for scale in scales:
        coarse = rng.normal(0.0, 1.0, (rows // scale + 3, columns // scale + 3))
        layer = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
        np.add(total, layer, out=total)
    return np.clip(0.5 + total * (0.42 / math.sqrt(len(scales))), 0.0, 1.0)


def _paint_near(track: Track, look: Look, far: GroundMap, rng: np.random.Generator) -> GroundMap:
    """Enlarge the ground around the road and paint the road on it."""
    reach_m = np.abs(track.centre_m).max(axis=0) + _NEAR_MARGIN_M
    columns, rows = (2 * math.ceil(m / FAR_M_PER_TEXEL) for m in reach_m)
    top, left = (far.image.shape[0] - rows) // 2, (far.image.shape[1] - columns) // 2
    scale = round(FAR_M_PER_TEXEL / NEAR_M_PER_TEXEL)
    crop = far.image[top : top + rows, left : left + columns]
    image = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    near = GroundMap(
        np.asarray(image, np.uint8),
        -columns * FAR_M_PER_TEXEL / 2,
        -rows * FAR_M_PER_TEXEL / 2,
        NEAR_M_PER_TEXEL,
    )
    _paint_road(track, look, near, rng)
    if look.shade:
        _cast_shade(look, near, rng)
    return near


def _paint_road(track: Track, look: Look, near: GroundMap, rng: np.random.Generator) -> None:
    edge_m = track.half_width_m
    shoulder_m = edge_m + look.shoulder_m
    _fill_ring(near, track, shoulder_m, -shoulder_m, lit(look.shoulder, look))
    road = near._replace(image=_asphalt(near.image.shape, look, rng))
    mask = near._replace(image=np.zeros(near.image.shape[:2], np.uint8))
    _fill_ring(mask, track, edge_m, -edge_m, (255.0,))
    inside = cv2.threshold(mask.image, 127, 255, cv2.THRESH_BINARY)[1]
    cv2.copyTo(road.image, inside, near.image)
    for side in (1.0, -1.0):
        _paint_edge(track, look, near, side)
    if look.dashes:
        white = lit((214, 214, 206), look)
        _paint_strips(track, near, -0.08, 0.08, _every(track, 9.0, 3.0), white)


def _paint_edge(track: Track, look: Look, near: GroundMap, side: float) -> None:
    edge_m = track.half_width_m
    if look.edge == 'bare':
        return
    inner_m, outer_m = side * (edge_m - 0.32), side * (edge_m - 0.19)
    _fill_ring(near, track, inner_m, outer_m, lit(look.line, look))
    if look.edge == 'kerb':
        curve = side * track.curvature_1pm > 1.0 / 60.0
        red, white = lit((200, 62, 54), look), lit((230, 226, 220), look)
        spans = _every(track, 2.4, 1.2)
        in_curve = [span for span in spans if curve[span[0]]]
        shifted = [(b, 2 * b - a) for a, b in in_curve]
        _paint_strips(track, near, side * edge_m, side * (edge_m + 0.8), in_curve, red)
        _paint_strips(track, near, side * edge_m, side * (edge_m + 0.8), shifted, white)


def _every(track: Track, period_m: float, length_m: float) -> list[tuple[int, int]]:
    """Return (first, last) sample of marks of about `length_m`, a whole number of them a lap."""
    count = round(track.length_m / period_m)
    period = len(track.centre_m) / count
    length = max(1, round(length_m / track.step_m))
    return [(round(k * period), round(k * period) + length) for k in range(count)]


def _paint_strips(
    track: Track,
    near: GroundMap,
    inner_m: FloatArray | float,
    outer_m: FloatArray | float,
    spans: Sequence[tuple[int, int]],
    colour: Sequence[float],
) -> None:
    inner, outer = _band_edges(track, inner_m, outer_m)
    for first, last in spans:
        index = np.arange(first, last + 1) % len(inner)
        outline = np.concatenate([inner[index], outer[index[::-1]]])
        _fill(near, [outline], colour)


def _fill_ring(
    near: GroundMap,
    track: Track,
    one_m: FloatArray | float,
    other_m: FloatArray | float,
    colour: Sequence[float],
) -> None:
    """Fill the band between two offsets from the centre line, all round the track."""
    _fill(near, list(_band_edges(track, one_m, other_m)), colour)


def _band_edges(
    track: Track, one_m: FloatArray | float, other_m: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Return both edges of a band, moved inwards because OpenCV fills polygons a little larger."""
    middle_m = np.add(one_m, other_m) / 2
    half_m = np.subtract(other_m, one_m) / 2
    half_m -= np.sign(half_m) * np.minimum(_FILL_GROWTH_M, 0.8 * np.abs(half_m))
    return track.edge_m(middle_m - half_m), track.edge_m(middle_m + half_m)


def _fill(near: GroundMap, outlines: Sequence[FloatArray], colour: Sequence[float]) -> None:
    origin = np.array([near.x0_m, near.y0_m])
    scale = (1 << _SUBPIXEL_BITS) / near.m_per_texel
    half_texel = 1 << (_SUBPIXEL_BITS - 1)
    points = [
        np.rint((outline - origin) * scale - half_texel).astype(np.int32) for outline in outlines
    ]
    cv2.fillPoly(near.image, points, tuple(colour), cv2.LINE_AA, _SUBPIXEL_BITS)


def _asphalt(shape: tuple[int, ...], look: Look, rng: np.random.Generator) -> Image:
    """Return a road-coloured image with patches and grit."""
    tile = 512
    grit = rng.normal(0.0, 10.0 * look.grain, (tile, tile)).astype(np.float32)
    patches = (_clouds(tile, tile, (64, 16, 5), rng) - 0.5) * 26.0
    one = np.array(lit(look.road, look)) + (grit + patches)[..., None]
    rows, columns = shape[0] // tile + 1, shape[1] // tile + 1
    return np.ascontiguousarray(
        np.tile(_to_bytes(one), (rows, columns, 1))[: shape[0], : shape[1]]
    )


def _cast_shade(look: Look, near: GroundMap, rng: np.random.Generator) -> None:
    """Darken soft patches, some metres wide, like shadows of trees."""
    rows, columns = (size // 4 for size in near.image.shape[:2])
    where = _clouds(rows, columns, (40, 14, 5), rng)
    light = 1.0 - look.shade * np.clip((where - 0.66) * 9.0, 0.0, 1.0)
    factor = np.rint(255.0 * light).astype(np.uint8)
    full = cv2.resize(factor, near.image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cv2.multiply(near.image, cv2.merge([full, full, full]), near.image, 1.0 / 255.0)


def _inlay(far: GroundMap, near: GroundMap) -> None:
    """Paint the near map, shrunk, into the middle of the far one."""
    ratio = NEAR_M_PER_TEXEL / FAR_M_PER_TEXEL
    small = cv2.resize(near.image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    top = (far.image.shape[0] - small.shape[0]) // 2
    left = (far.image.shape[1] - small.shape[1]) // 2
    far.image[top : top + small.shape[0], left : left + small.shape[1]] = small


def _grain(look: Look, rng: np.random.Generator) -> Image:
    """Return a tile of the finest texture, a factor for the ground in which 128 means 1."""
    fine = rng.normal(0.0, 1.0, (GRAIN_TEXELS, GRAIN_TEXELS)).astype(np.float32)
    pebbles = cv2.GaussianBlur(fine, (0, 0), 1.1, borderType=cv2.BORDER_REFLECT) * 2.6
    return _to_bytes(128.0 + look.grain * 22.0 * (0.35 * fine + pebbles))


def _panorama(look: Look, rng: np.random.Generator) -> Image:
    """Paint the sky, three ranges of hills and trees; the last column meets the first."""
    top, bottom = (np.array(lit(colour, look)) for colour in look.sky)
    share = np.linspace(0.0, 1.0, PANORAMA_ROWS)[:, None, None] ** 1.4
    image = np.repeat(top + (bottom - top) * share, PANORAMA_COLUMNS, axis=1)
    for colour, height in zip(look.hills, (20.0, 13.0, 6.0), strict=True):
        _paint_hills(image, np.array(lit(colour, look)), _ridge(height, rng), rng)
    image += rng.normal(0.0, 1.5, image.shape)
    painted = _to_bytes(image)
    for _ in range(look.trees):
        _paint_tree(painted, look, rng)
    return painted


def _ridge(height: float, rng: np.random.Generator) -> FloatArray:
    """Return the (PANORAMA_COLUMNS,) heights of a range of hills in rows."""
    phase = np.arange(PANORAMA_COLUMNS) * (math.tau / PANORAMA_COLUMNS)
    total = np.zeros(PANORAMA_COLUMNS)
    for order in (2, 3, 5, 8, 13, 29, 61):
        total += (
            rng.normal(0.0, 0.5) / order**0.6 * np.sin(order * phase + rng.uniform(0.0, math.tau))
        )
    return np.asarray(height * np.clip(0.6 + total, 0.0, 1.9))


def _paint_hills(
    image: FloatArray, colour: FloatArray, ridge: FloatArray, rng: np.random.Generator
) -> None:
    rows = image.shape[0]
    height = rows - np.arange(rows)[:, None]
    inside = height <= ridge
    texture = rng.normal(0.0, 9.0, (rows, PANORAMA_COLUMNS))
    relief = 22.0 * (_clouds(rows, PANORAMA_COLUMNS, (16, 6), rng) - 0.5)
    image[inside] = (colour + (texture + relief)[..., None])[inside]


def _paint_tree(image: Image, look: Look, rng: np.random.Generator) -> None:
    """Paint one tree: a thin trunk and a ragged crown. Small trees fade into the haze."""
    height = float(rng.gamma(3.0, 5.0)) + 6.0
    column = float(rng.integers(40, PANORAMA_COLUMNS - 40))
    foot = image.shape[0] - 1.0 - float(rng.integers(0, 4))
    haze = max(0.0, 0.55 - height / 45.0)
    dark = np.array(mix((58, 62, 36), np.array(look.sky[1]), haze)) * look.light
    _paint_blob(image, column, foot - height * 0.35, (0.025 * height, 0.4 * height), dark * 0.7)
    for _ in range(int(20 + 1.5 * height)):
        rise = rng.uniform(0.32, 1.0)
        across = column + rng.normal(0.0, height * 0.17 * (1.2 - rise))
        size = (height * rng.uniform(0.03, 0.08), height * rng.uniform(0.02, 0.05))
        _paint_blob(image, across, foot - rise * height, size, dark * rng.uniform(0.55, 1.4))


def _paint_blob(
    image: Image, column: float, row: float, radii: tuple[float, float], colour: FloatArray
) -> None:
    """Paint a filled ellipse with soft edges; the panorama has two columns per pixel."""
    one = 1 << _SUBPIXEL_BITS
    centre = (round(column * one), round(row * one))
    axes = (round(2 * radii[0] * one), round(radii[1] * one))
    tone = tuple(float(c) for c in np.clip(colour, 0, 255))
    cv2.ellipse(image, centre, axes, 0, 0, 360, tone, -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def _to_bytes(values: NDArray[np.floating[Any]]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
