"""Hills: procedural roads of the jungle's pieces, closed, which cross over themselves on a bridge.

The bridge and the road below it are straights that cross at the origin. Two paths on a lattice of
10 m join them, one from each end, and ramps on these paths lead to the bridge's height.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim_bridge.simulator.worlds import pieces
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

_REACH = 13
"""The lattice spans this many points of 10 m to each side of the origin."""
_APART_M = 17.0
_BRIDGE_PIECES = 4
_BRIDGE_RAMPS = 3
_ATTEMPTS = 400
_FLAT_PIECES = ('S', 'CL', 'CR', 'HL', 'HR', 'BL', 'BR')
_COSTS = {'S': 1.2, 'C': 3.0, 'H': 2.0, 'B': 2.3}

_GRASSES: Sequence[tuple[Colour, Colour]] = (
    ((92.0, 104.0, 44.0), (122.0, 134.0, 62.0)),
    ((158.0, 140.0, 66.0), (178.0, 148.0, 84.0)),
    ((84.0, 116.0, 52.0), (112.0, 126.0, 60.0)),
    ((168.0, 140.0, 96.0), (150.0, 120.0, 78.0)),
)
_ROCKS: Sequence[Colour] = ((96.0, 98.0, 68.0), (146.0, 138.0, 124.0), (150.0, 112.0, 82.0))
_ASPHALTS: Sequence[Colour] = ((150.0, 148.0, 144.0), (112.0, 112.0, 106.0), (128.0, 120.0, 112.0))
_LINES: Sequence[Colour] = (pieces.WHITE, (206.0, 176.0, 62.0))


class _Node(NamedTuple):
    """A point of the lattice, in steps of 10 m, and a heading in quarter turns from +x."""

    x: int
    y: int
    quarters: int


def make(seed: int) -> World:
    """Return the hills of this seed: always the same, 500 to 1500 m long, with slopes of 30 %."""
    if seed < 0:
        raise ValueError(f'track is hills:{seed}; the seed must be 0 or greater')
    rng = np.random.default_rng([seed, 11])
    road = _road(rng)
    line = _line(road)
    lap_m = float(_lengths(line.points_m).sum())
    colour = _LINES[int(rng.integers(len(_LINES)))]
    bridge = _bridge_span(line, lap_m)
    return World(
        name=f'hills:{seed}',
        summary='a procedural road with hills, radii of 10 m and a bridge',
        seed=2_000_000 + seed,
        line=line,
        asphalt=_ASPHALTS[int(rng.integers(len(_ASPHALTS)))],
        grain=float(rng.uniform(0.2, 1.0)),
        stripes=_stripes(road, lap_m, colour, rng),
        ground=_ground(rng),
        light=_light(rng),
        trees=_trees(rng),
        posts=tuple(
            Posts((bridge[0] + 2.0, bridge[1] - 2.0), side, 0.2, 3.0, 3.0) for side in (1, -1)
        ),
        bridges=(bridge,),
        start_m=0.0,
    )


def _road(rng: np.random.Generator) -> list[str]:
    """Return the pieces from the start of the bridge on."""
    bridge = ['S'] * _BRIDGE_PIECES
    half = _BRIDGE_PIECES // 2
    for _ in range(_ATTEMPTS):
        blocked = _around_crossing()
        first = _path(_Node(half, 0, 0), _Node(0, -half, 1), blocked, rng)
        if first is None:
            continue
        placed = pieces.place([*bridge, *first, *bridge])[:, :2] - (10.0 * half, 0.0)
        _block(blocked, placed[2 * 10 * half : -2 * 10 * half])
        second = _path(_Node(0, half, 1), _Node(-half, 0, 0), blocked, rng)
        if second is None:
            continue
        down = _with_ramps(first, -_BRIDGE_RAMPS, rng)
        up = _with_ramps(second, _BRIDGE_RAMPS, rng)
        if down and up:
            road = [*bridge, *down, *bridge, *up]
            if _is_apart(pieces.place(road)):
                return road
    raise RuntimeError('no road with hills found')


def _around_crossing() -> set[tuple[int, int]]:
    """Return the cells of 5 m that only the bridge and the road below it may use."""
    reach = range(-4, 5)
    return {(x, y) for x in reach for y in range(-3, 4)} | {
        (x, y) for x in range(-3, 4) for y in reach
    }


def _block(blocked: set[tuple[int, int]], points: FloatArray) -> None:
    reach = math.ceil(_APART_M / 5.0)
    around = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)]
    for x, y in {(round(x / 5.0), round(y / 5.0)) for x, y in points[::3]}:
        blocked.update((x + i, y + j) for i, j in around)


def _path(
    start: _Node, goal: _Node, blocked: set[tuple[int, int]], rng: np.random.Generator
) -> list[str] | None:
    """Return pieces from start to goal by one or two places on the way; None if there are none."""
    stops = [_stop(blocked, rng) for _ in range(int(rng.integers(1, 3)))]
    used = set(blocked)
    road: list[str] = []
    here = start
    for there in (*stops, goal):
        part = _cheapest(here, there, used, rng)
        if part is None:
            return None
        road += part
        placed = pieces.place(part)[:, :2] @ _rotation(here.quarters).T + (
            10 * here.x,
            10 * here.y,
        )
        _block(used, placed[:-25])
        here = there
    return road


def _stop(blocked: set[tuple[int, int]], rng: np.random.Generator) -> _Node:
    """Return a random node that is not near any road yet."""
    while True:
        x, y = (int(i) for i in rng.integers(-_REACH + 3, _REACH - 2, 2))
        if max(abs(x), abs(y)) > 3 and (2 * x, 2 * y) not in blocked:
            return _Node(x, y, int(rng.integers(4)))


def _cheapest(
    start: _Node, goal: _Node, blocked: set[tuple[int, int]], rng: np.random.Generator
) -> list[str] | None:
    """Return the cheapest pieces between two nodes under random costs (Dijkstra)."""
    moods = rng.uniform(0.4, 2.5, (4, 2 * _REACH + 1, 2 * _REACH + 1, len(_FLAT_PIECES)))
    mood = (moods * [_COSTS[piece[0]] for piece in _FLAT_PIECES]).tolist()
    costs = {start: 0.0}
    came: dict[_Node, tuple[_Node, str]] = {}
    queue = [(0.0, start)]
    while queue:
        cost, here = heapq.heappop(queue)
        if here == goal:
            return _traced(came, start, goal)
        if cost > costs[here]:
            continue
        x, y, quarters = here
        steps = mood[quarters][x + _REACH][y + _REACH]
        for (dx, dy, turn, cells, piece), step in zip(_TURNED[quarters], steps, strict=True):
            there = _Node(x + dx, y + dy, (quarters + turn) % 4)
            total = cost + step
            if total >= costs.get(there, math.inf) or max(abs(there.x), abs(there.y)) > _REACH:
                continue
            passed = [(2 * x + i, 2 * y + j) for i, j in cells]
            if start != here and there != goal and not blocked.isdisjoint(passed):
                continue
            costs[there], came[there] = total, (here, piece)
            heapq.heappush(queue, (total, there))
    return None


class _Move(NamedTuple):
    """Where a piece leads to, in steps of 10 m and quarter turns, and the cells that it passes."""

    x: int
    y: int
    quarters: int
    cells: list[tuple[int, int]]
    piece: str


def _rotation(quarters: int) -> FloatArray:
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    return np.array([[cos, -sin], [sin, cos]], np.float64)


def _moves(quarters: int) -> list[_Move]:
    """Return the moves of each piece from a heading; cells of 5 m are seen from its start."""
    turn = _rotation(quarters)
    found = []
    for piece in _FLAT_PIECES:
        end = pieces.end_of(piece)
        x, y = turn @ (end.ahead_m, end.left_m)
        flat = pieces.points_of(piece)[2:, :2] @ turn.T
        cells = {(round(float(a) / 5.0), round(float(b) / 5.0)) for a, b in flat}
        found.append(_Move(round(x / 10), round(y / 10), end.quarters, sorted(cells), piece))
    return found


_TURNED = [_moves(quarters) for quarters in range(4)]


def _traced(came: dict[_Node, tuple[_Node, str]], start: _Node, goal: _Node) -> list[str]:
    road: list[str] = []
    here = goal
    while here != start:
        here, piece = came[here]
        road.append(piece)
    return road[::-1]


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
    near = (away < _APART_M) & (along > 12)
    return not bool((near & ~(crossing[:, None] & crossing[None])).any())


def _line(road: list[str]) -> CentreLine:
    points = pieces.place(road)
    width = np.full(len(points), pieces.HALF_WIDTH_M)
    return CentreLine(points, width, width, np.zeros(len(points)))


def _lengths(points: FloatArray) -> FloatArray:
    steps = np.roll(points, -1, axis=0) - points
    return np.asarray(np.linalg.norm(steps, axis=1))


def _bridge_span(line: CentreLine, lap_m: float) -> Span:
    return 0.0, 10.0 * _BRIDGE_PIECES


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
