# SPDX-License-Identifier: Apache-2.0
"""Hills: procedural roads of the jungle's pieces, closed, which cross over themselves on a bridge.

The bridge and the road below it are straights that cross at the origin. Two paths on a lattice of
10 m join them, one from each end, and ramps on these paths lead to the bridge's height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sim_bridge.simulator.worlds import pieces
from sim_bridge.simulator.worlds.routes import APART_M, Blocked, Node, route
from sim_bridge.simulator.worlds.world import (
    CentreLine,
    Colour,
    FloatArray,
    Ground,
    Light,
    Posts,
    Span,
    Stripe,
    Trees,
    World,
)

_BRIDGE_PIECES = 4
_BRIDGE: Span = (0.0, 10.0 * _BRIDGE_PIECES)
_BRIDGE_RAMPS = 3
_ATTEMPTS = 400

_GRASSES: Sequence[tuple[Colour, Colour]] = (
    ((92.0, 104.0, 44.0), (122.0, 134.0, 62.0)),
    ((158.0, 140.0, 66.0), (178.0, 148.0, 84.0)),
    ((84.0, 116.0, 52.0), (112.0, 126.0, 60.0)),
    ((168.0, 140.0, 96.0), (150.0, 120.0, 78.0)),
)
_ROCKS: Sequence[Colour] = ((96.0, 98.0, 68.0), (146.0, 138.0, 124.0), (150.0, 112.0, 82.0))
_ASPHALTS: Sequence[Colour] = ((150.0, 148.0, 144.0), (112.0, 112.0, 106.0), (128.0, 120.0, 112.0))
_LINES: Sequence[Colour] = (pieces.WHITE, (206.0, 176.0, 62.0))


def make(seed: int) -> World:
    """Return the hills of this seed: always the same, 500 to 1500 m long, with slopes of 30 %."""
    if seed < 0:
        raise ValueError(f'track is hills:{seed}; the seed must be 0 or greater')
    rng = np.random.default_rng([seed, 11])
    road = _road(rng)
    line = _line(road)
    lap_m = float(_lengths(line.points_m).sum())
    colour = _LINES[int(rng.integers(len(_LINES)))]
    return World(
        name=f'hills:{seed}',
        summary='a procedural road with hills, radii of 10 m and a bridge',
        seed=2_000_000 + seed,
        line=line,
        asphalt=_ASPHALTS[int(rng.integers(len(_ASPHALTS)))],
        grain=float(rng.uniform(0.2, 0.7)),
        stripes=_stripes(road, lap_m, colour, rng),
        ground=_ground(rng),
        light=_light(rng),
        trees=_trees(rng),
        posts=tuple(Posts((2.0, _BRIDGE[1] - 2.0), side, 0.2, 3.0, 3.0) for side in (1, -1)),
        bridges=(_BRIDGE,),
        start_m=_BRIDGE[1] / 2,
    )


def _road(rng: np.random.Generator) -> list[str]:
    """Return the pieces from the start of the bridge on."""
    bridge = ['S'] * _BRIDGE_PIECES
    half = _BRIDGE_PIECES // 2
    for _ in range(_ATTEMPTS):
        blocked = _around_crossing()
        first = route(Node(half, 0, 0), Node(0, -half, 1), blocked, rng)
        if first is None:
            continue
        placed = pieces.place([*bridge, *first, *bridge])[:, :2] - (10.0 * half, 0.0)
        blocked.add_road(placed[2 * 10 * half : -2 * 10 * half])
        second = route(Node(0, half, 1), Node(-half, 0, 0), blocked, rng)
        if second is None:
            continue
        down = _with_ramps(first, -_BRIDGE_RAMPS, rng)
        up = _with_ramps(second, _BRIDGE_RAMPS, rng)
        if down and up:
            road = [*bridge, *down, *bridge, *up]
            if _is_apart(pieces.place(road)):
                return road
    raise RuntimeError('no road with hills found')


def _around_crossing() -> Blocked:
    """Return the cells that only the bridge and the road below it may use."""
    blocked = Blocked()
    for along in range(-4, 5):
        for across in range(-3, 4):
            blocked.add(along, across)
            blocked.add(across, along)
    return blocked


def _with_ramps(road: list[str], rise: int, rng: np.random.Generator) -> list[str] | None:
    """Return the road with ramps that rise by `rise` times 5 m in all; None if it is too short."""
    may = [k for k, piece in enumerate(road) if piece[0] in 'CB']
    extra = int(rng.integers(0, 1 + max(0, (len(may) - abs(rise)) // 2)))
    if len(may) < abs(rise) + 2 * extra:
        return None
    signs = ['+' if rise > 0 else '-'] * abs(rise) + ['+', '-'] * extra
    for _ in range(20):
        chosen = sorted(rng.choice(may, len(signs), replace=False))
        order = [signs[k] for k in rng.permutation(len(signs))]
        heights = np.cumsum([0 if rise > 0 else -rise, *(1 if s == '+' else -1 for s in order)])
        if heights.min() >= 0 and heights.max() <= _BRIDGE_RAMPS + 2:
            ramps = dict(zip(chosen, order, strict=True))
            return [piece + ramps.get(k, '') for k, piece in enumerate(road)]
    return None


def _is_apart(points: FloatArray) -> bool:
    """Return whether stretches of road stay apart, except where they cross."""
    thin = points[::3, :2]
    count = len(thin)
    away = np.linalg.norm(thin[:, None] - thin[None], axis=2)
    index = np.arange(count)
    along = np.abs(index[:, None] - index[None])
    along = np.minimum(along, count - along)
    half = 10.0 * _BRIDGE_PIECES / 2
    crossing = np.abs(thin - (half, 0.0)).max(axis=1) <= half + 1.0
    near = (away < APART_M) & (along > 12)
    return not bool((near & ~(crossing[:, None] & crossing[None])).any())


def _line(road: list[str]) -> CentreLine:
    points = pieces.place(road)
    width = np.full(len(points), pieces.HALF_WIDTH_M)
    return CentreLine(points, width, width, np.zeros(len(points)))


def _lengths(points: FloatArray) -> FloatArray:
    steps = np.roll(points, -1, axis=0) - points
    return np.asarray(np.linalg.norm(steps, axis=1))


def _stripes(
    road: list[str], lap_m: float, colour: Colour, rng: np.random.Generator
) -> tuple[Stripe, ...]:
    middle = pieces.dashes(road, 0.0, lap_m, colour)
    if rng.random() < 0.25:
        middle = middle._replace(marks=())
    edges = pieces.edge_lines(colour) if rng.random() < 0.8 else ()
    return (*edges, middle)


def _ground(rng: np.random.Generator) -> Ground:
    drop_m, rise_m = float(rng.uniform(-2.0, 0.5)), float(rng.uniform(0.0, 2.0))
    sides = [
        ((0.0, -0.14), (3.0, -0.3), (10.0, drop_m), (20.0, 2 * drop_m)),
        ((0.0, -0.14), (3.0, 0.0), (10.0, rise_m), (20.0, 2 * rise_m)),
    ]
    first = int(rng.integers(2))
    grass = _GRASSES[int(rng.integers(len(_GRASSES)))]
    return Ground(
        left_rise_m=sides[first],
        right_rise_m=sides[1 - first],
        cliffs_m=float(rng.uniform(5.0, 14.0)),
        hills_m=float(rng.uniform(10.0, 28.0)),
        grass=grass,
        rock=_ROCKS[int(rng.integers(len(_ROCKS)))],
        earth=(grass[1][0] + 14.0, grass[1][1], grass[1][2]),
        water=(150.0, 178.0, 198.0),
        water_level_m=None,
        blends=True,
    )


def _light(rng: np.random.Generator) -> Light:
    shade = float(rng.uniform(0.3, 0.65))
    warm = float(rng.uniform(-12.0, 12.0))
    horizon = (172.0 + warm, 192.0, 214.0 - warm)
    return Light(
        azimuth_rad=float(rng.uniform(-math.pi, math.pi)),
        elevation_rad=math.radians(float(rng.uniform(28.0, 65.0))),
        shadow=(shade, shade * 1.06, shade * 1.18),
        sky=((90.0 + warm, 116.0, 172.0), horizon),
        fog=horizon,
        fog_m=(60.0, float(rng.uniform(300.0, 800.0))) if rng.random() < 0.4 else None,
    )


def _trees(rng: np.random.Generator) -> Trees:
    kind = 'palm' if rng.random() < 0.5 else 'conifer'
    return Trees(kind, int(rng.integers(120, 500)), 1.6, 45.0, (4.0, 11.0), 0.5)
