# SPDX-License-Identifier: Apache-2.0
"""Routes: pieces of road that lead from one place to another on a lattice of 10 m.

The cells of 5 m that a route passes are blocked for the next ones, so that roads stay apart.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np

from sim_bridge.simulator.worlds import pieces
from sim_bridge.simulator.worlds.world import FloatArray

REACH = 13
"""The lattice spans this many points of 10 m to each side of the origin."""
APART_M = 17.0
_WIDTH = 2 * REACH + 1
_MARGIN = 6
_ROW = 2 * _WIDTH + 2 * _MARGIN
"""Cells in a row of the grid of cells of 5 m, which has a margin around the lattice."""
_OUTSIDE = np.flatnonzero(
    np.pad(np.zeros((2 * _WIDTH, 2 * _WIDTH), bool), _MARGIN, constant_values=True)
).tolist()
_PIECES = ('S', 'CL', 'CR', 'HL', 'HR', 'BL', 'BR')
_COSTS = (1.2, 3.0, 3.0, 2.0, 2.0, 2.3, 2.3)
_LEAST_COST = 0.3
"""Smallest cost of getting 10 m nearer, along either axis: the estimate of the search."""
_TRIES = 4


class Node(NamedTuple):
    """A point of the lattice, in steps of 10 m, and a heading in quarter turns from +x."""

    x: int
    y: int
    quarters: int


class _Move(NamedTuple):
    """What a piece adds to a node's number, its heading at the end, and the cells it passes."""

    step: int
    quarters: int
    cells: list[int]


class Blocked:
    """Cells that no route may pass."""

    def __init__(self) -> None:
        self.cells = set(_OUTSIDE)

    def copy(self) -> Blocked:
        """Return cells that change independently of these."""
        other = Blocked.__new__(Blocked)
        other.cells = set(self.cells)
        return other

    def add(self, x: int, y: int) -> None:
        """Block one cell; x and y count cells of 5 m from the origin."""
        self.cells.add(_cell(x, y))

    def add_road(self, points_m: FloatArray) -> None:
        """Block all cells that are too near to a road."""
        reach = math.ceil(APART_M / 5.0)
        span = range(-reach, reach + 1)
        around = [i * _ROW + j for i in span for j in span]
        for x, y in {(round(x / 5.0), round(y / 5.0)) for x, y in points_m[::3]}:
            self.cells.update([_cell(x, y) + cell for cell in around])


def route(start: Node, goal: Node, blocked: Blocked, rng: np.random.Generator) -> list[str] | None:
    """Return pieces from start to goal by one or two random places; None if none were found."""
    used = blocked.copy()
    road: list[str] = []
    here = start
    for _ in range(int(rng.integers(1, 3))):
        for _ in range(_TRIES):
            there = _stop(used, rng)
            part = _cheapest(here, there, used, rng)
            if part:
                break
        else:
            return None
        road += part
        _block_part(used, here, part)
        here = there
    last = _cheapest(here, goal, used, rng)
    return road + last if last else None


def _block_part(used: Blocked, start: Node, part: list[str]) -> None:
    """Block a part of a route, but not its end, where the next part begins."""
    placed = pieces.place(part)[:, :2] @ pieces.turn(start.quarters)[:2, :2].T
    used.add_road((placed + np.array([10.0 * start.x, 10.0 * start.y]))[:-25])


def _stop(blocked: Blocked, rng: np.random.Generator) -> Node:
    """Return a random node that is not near any road yet."""
    while True:
        x, y = (int(i) for i in rng.integers(3 - REACH, REACH - 2, 2))
        if max(abs(x), abs(y)) > 3 and _cell(2 * x, 2 * y) not in blocked.cells:
            return Node(x, y, int(rng.integers(4)))


def _cheapest(
    start: Node, goal: Node, blocked: Blocked, rng: np.random.Generator
) -> list[str] | None:
    """Return the cheapest pieces between two nodes under random costs (A*)."""
    factors = rng.uniform(0.4, 2.5, (_WIDTH * _WIDTH * 4, len(_PIECES)))
    piece_costs = (factors * _COSTS).tolist()
    first, last = _number(start), _number(goal)
    costs = {first: 0.0}
    came: dict[int, tuple[int, int]] = {}
    queue = [(0.0, 0.0, first)]
    goal_x, goal_y = goal.x + REACH, goal.y + REACH
    while queue:
        _, cost, here = heapq.heappop(queue)
        if here == last:
            return _traced(came, first, last)
        if cost > costs[here]:
            continue
        point, quarters = divmod(here, 4)
        x, y = divmod(point, _WIDTH)
        cell = (2 * x + _MARGIN) * _ROW + 2 * y + _MARGIN
        for piece, (step, turned, cells) in enumerate(_MOVES[quarters]):
            there = 4 * (point + step) + turned
            total = cost + piece_costs[here][piece]
            if total >= costs.get(there, math.inf):
                continue
            if (
                here != first
                and there != last
                and not blocked.cells.isdisjoint([cell + passed for passed in cells])
            ):
                continue
            costs[there], came[there] = total, (here, piece)
            x_there, y_there = divmod(there // 4, _WIDTH)
            left = abs(x_there - goal_x) + abs(y_there - goal_y)
            heapq.heappush(queue, (total + _LEAST_COST * left, total, there))
    return None


def _traced(came: dict[int, tuple[int, int]], first: int, last: int) -> list[str]:
    road: list[str] = []
    while last != first:
        last, piece = came[last]
        road.append(_PIECES[piece])
    return road[::-1]


def _number(node: Node) -> int:
    return ((node.x + REACH) * _WIDTH + node.y + REACH) * 4 + node.quarters


def _cell(x: int, y: int) -> int:
    return (x + 2 * REACH + _MARGIN) * _ROW + y + 2 * REACH + _MARGIN


def _moves(quarters: int) -> list[_Move]:
    """Return the move of each piece from a heading."""
    turn = pieces.turn(quarters)[:2, :2]
    found = []
    for piece in _PIECES:
        end = pieces.end_of(piece)
        x, y = turn @ (end.ahead_m, end.left_m)
        flat = pieces.points_of(piece)[2:, :2] @ turn.T
        cells = {round(float(a) / 5.0) * _ROW + round(float(b) / 5.0) for a, b in flat}
        cells.add(round(x / 5) * _ROW + round(y / 5))
        step = round(x / 10) * _WIDTH + round(y / 10)
        found.append(_Move(step, (quarters + end.quarters) % 4, sorted(cells)))
    return found


_MOVES = [_moves(quarters) for quarters in range(4)]
