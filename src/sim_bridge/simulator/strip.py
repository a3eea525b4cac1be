# SPDX-License-Identifier: Apache-2.0
"""Strip: the road of a world as a texture along and across the lap, in four levels of detail.

Row 0 of a level is the leftmost offset from the centre line, column 0 is s = 0. The four levels
lie one below the other in one image, so that one lookup serves all pixels of a frame.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray, Image
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.worlds.world import Stripe, World

ALONG_M = 0.125
ACROSS_M = 0.05
REACH_M = 8.2
"""The texture reaches this far to either side of the centre line."""
PAD_M = 16.0
"""Length of the lap that is repeated at either end."""
ASPHALT = 255
"""The fourth channel where the surface is grainy."""
_SMOOTH = 160
LEVELS = 4
_BEVEL_M = 0.25
_TILE = 1024


class Strip(NamedTuple):
    """Texture (rows, columns, 4) uint8 RGB and kind, 0 beside the road; where its levels lie.

    Column = (s + PAD_M) * `per_m_along[level]` - 0.5, because the start and the end of the lap are
    repeated at both ends; row = first_row[level] + (REACH_M - offset) *
    per_m_across[level] - 0.5.
    """

    image: Image
    first_row: NDArray[np.float32]
    per_m_along: NDArray[np.float32]
    per_m_across: NDArray[np.float32]


def paint_strip(track: Track, world: World) -> Strip:
    """Paint the road of a world: asphalt, then its stripes in their order."""
    rng = np.random.default_rng([world.seed, 5])
    columns = round(track.length_m / ALONG_M)
    rows = round(2 * REACH_M / ACROSS_M)
    per_m = columns / track.length_m
    s_m = (np.arange(columns) + 0.5) / per_m
    edges = {
        'left': np.interp(s_m, _places(track), track.left_m),
        'right': -np.interp(s_m, _places(track), track.right_m),
        'centre': np.zeros(columns),
    }
    image: Image = np.zeros((rows, columns, 4), np.uint8)
    _pave(image, edges, world, rng)
    for stripe in world.stripes:
        _paint_stripe(image, edges[stripe.line], stripe, per_m)
    grit = rng.normal(0.0, 6.0 * world.grain, (rows, _TILE)).astype(np.float32)
    grit = cv2.GaussianBlur(grit, (0, 0), 0.7) * 1.5
    gain = np.clip(128.0 + grit, 60, 196).astype(np.uint8)
    for first in range(0, columns, _TILE):
        part = image[:, first : first + _TILE, :3]
        tile = np.ascontiguousarray(gain[:, : part.shape[1]])
        part[:] = cv2.multiply(np.ascontiguousarray(part), cv2.merge([tile] * 3), None, 1 / 128.0)
    return _levels(image, per_m)


def _places(track: Track) -> FloatArray:
    return np.asarray(np.arange(len(track.centre_m)) * track.step_m, np.float64)


def _pave(
    image: Image, edges: dict[str, FloatArray], world: World, rng: np.random.Generator
) -> None:
    """Paint asphalt with patches that are longer than wide."""
    rows, columns = image.shape[:2]
    top = np.floor((REACH_M - edges['left'] - _BEVEL_M) / ACROSS_M)
    bottom = np.ceil((REACH_M - edges['right'] + _BEVEL_M) / ACROSS_M)
    row = np.arange(rows)[:, None]
    inside = (row >= top[None]) & (row < bottom[None])
    coarse = rng.normal(0.0, 1.0, (rows // 24 + 2, columns // 96 + 2)).astype(np.float32)
    patches = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    tone = np.clip(128.0 + 5.0 * world.grain * patches, 90, 166).astype(np.uint8)
    plain = np.empty((rows, columns, 3), np.uint8)
    plain[:] = world.asphalt
    paved = cv2.multiply(plain, cv2.merge([tone] * 3), None, 1 / 128.0)
    cv2.copyTo(np.asarray(paved), inside.astype(np.uint8), plain)
    image[..., :3] = paved
    image[..., 3] = inside * np.uint8(ASPHALT)


def _paint_stripe(image: Image, edge: FloatArray, stripe: Stripe, per_m: float) -> None:
    columns = image.shape[1]
    where = covered(stripe, np.arange(columns), per_m)
    high_m, low_m = max(stripe.from_m, stripe.to_m), min(stripe.from_m, stripe.to_m)
    top = np.rint((REACH_M - edge - high_m) / ACROSS_M).astype(int)
    count = max(1, round((high_m - low_m) / ACROSS_M))
    painted = np.flatnonzero(where)
    rows = np.clip(top[painted][:, None] + np.arange(count), 0, image.shape[0] - 1)
    kind = ASPHALT if stripe.grainy else _SMOOTH
    colours: Image = np.empty((len(painted), 4), np.uint8)
    colours[:] = (*(stripe.gap_colour or stripe.colour), kind)
    if stripe.marks:
        is_mark = _marked(stripe, columns, per_m)[painted]
        colours[is_mark] = (*stripe.colour, kind)
        if stripe.gap_colour is None:
            painted, rows, colours = painted[is_mark], rows[is_mark], colours[is_mark]
    image[rows, painted[:, None]] = colours[:, None]


def covered(stripe: Stripe, column: NDArray[Any], per_m: float) -> NDArray[np.bool_]:
    """Return whether a stripe covers each column, `per_m` columns a metre, marks aside."""
    if not stripe.spans:
        return np.ones(len(column), bool)
    s_m = (column + 0.5) / per_m
    return np.asarray(np.any([(s_m >= a) & (s_m < b) for a, b in stripe.spans], axis=0))


def _marked(stripe: Stripe, columns: int, per_m: float) -> NDArray[np.bool_]:
    steps = np.zeros(columns + 1, np.int32)
    for first_m, last_m in stripe.marks:
        first, last = round(first_m * per_m), round(last_m * per_m)
        for a, b in ((first, last), (first + columns, last + columns)):
            steps[min(max(a, 0), columns)] += 1
            steps[min(max(b, 0), columns)] -= 1
    return np.asarray(np.cumsum(steps)[:columns] > 0)


def _levels(image: Image, per_m: float) -> Strip:
    """Return the texture with its ends repeated and its coarser levels, each a quarter as long."""
    pad = round(PAD_M * per_m)
    closed = np.concatenate([image[:, -pad:], image, image[:, :pad]], axis=1)
    parts: list[Image] = [closed]
    first_row, along, across = [0.0], [per_m], [1.0 / ACROSS_M]
    for _ in range(LEVELS - 1):
        rows, columns = parts[-1].shape[:2]
        size = (columns // 4, rows // 2)
        parts.append(np.asarray(cv2.resize(parts[-1], size, interpolation=cv2.INTER_AREA)))
        first_row.append(first_row[-1] + rows)
        along.append(along[-1] * size[0] / columns)
        across.append(across[-1] * size[1] / rows)
    atlas = np.zeros((sum(len(part) for part in parts), closed.shape[1], 4), np.uint8)
    for part, row in zip(parts, first_row, strict=True):
        atlas[int(row) : int(row) + len(part), : part.shape[1]] = part
    return Strip(
        atlas,
        np.array(first_row, np.float32),
        np.array(along, np.float32),
        np.array(across, np.float32),
    )
