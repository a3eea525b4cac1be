# SPDX-License-Identifier: Apache-2.0
"""Pieces of road as the jungle's: straights, quarter circles and S bends, level or on a ramp.

A piece is named S (straight, 10 m), C or H (quarter circle, R 20 or 10 m) or B (S bend, 20 m ahead
and 10 m sideways), then L or R for its side, then + or - if it climbs or falls by 5 m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim_bridge.simulator.worlds.world import Colour, FloatArray, Span, Stripe

WHITE: Colour = (229.0, 227.0, 220.0)
RAMP_M = 5.0
HALF_WIDTH_M = 4.75
_SLOPES = {
    'C': (0.04, 0.11, 0.16, 0.20, 0.22, 0.23, 0.23, 0.22, 0.20, 0.16, 0.11, 0.06),
    'B': (0.10, 0.23, 0.28, 0.27, 0.28, 0.30, 0.20, 0.08),
}
"""Slopes of the ramps along equal chords, as measured in the jungle."""
_DASHES = {'S': 2, 'C': 6, 'H': 4, 'B': 6}
_DASHES_ON_RAMPS = {'C': 10, 'B': 6}
_DASH_SHARE = 0.69
_STEPS_PER_M = 1.0


class End(NamedTuple):
    """Where a piece ends: m ahead, m to the left, quarter turns to the left, m up."""

    ahead_m: float
    left_m: float
    quarters: int
    rise_m: float


def end_of(piece: str) -> End:
    """Return where a piece ends, seen from its start."""
    side = -1 if piece[1:2] == 'R' else 1
    rise_m = {'+': RAMP_M, '-': -RAMP_M}.get(piece[-1], 0.0)
    if piece[0] == 'S':
        return End(10.0, 0.0, 0, 0.0)
    if piece[0] == 'B':
        return End(20.0, 10.0 * side, 0, rise_m)
    radius_m = 20.0 if piece[0] == 'C' else 10.0
    return End(radius_m, radius_m * side, side, rise_m)


def points_of(piece: str) -> FloatArray:
    """Return the (n, 3) points of a piece, ahead, left and up, without its last one."""
    end = end_of(piece)
    if piece[0] == 'S':
        flat = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    elif piece[0] == 'B':
        # Two arcs of R 12.5 are the S bend of 20 m by 10 m.
        flat = _s_bend(math.copysign(1.0, end.left_m))
    else:
        angle = np.linspace(0.0, math.pi / 2, 1 + round(end.ahead_m * math.pi / 2 * _STEPS_PER_M))
        circle = np.stack([np.sin(angle), end.quarters * (1.0 - np.cos(angle))], axis=1)
        flat = end.ahead_m * circle[:-1]
    share = np.arange(len(flat)) / len(flat)
    return np.column_stack([flat, end.rise_m * _climb(piece[0], share)])


def place(pieces: Sequence[str]) -> FloatArray:
    """Return the (N, 3) centre line of pieces in a row, from the origin along +x."""
    parts: list[FloatArray] = []
    start, quarters = np.zeros(3), 0
    for piece in pieces:
        rotation = turn(quarters)
        parts.append(start + points_of(piece) @ rotation.T)
        end = end_of(piece)
        start = start + rotation @ np.array([end.ahead_m, end.left_m, end.rise_m])
        quarters += end.quarters
    return np.concatenate(parts)


def length_of(piece: str) -> float:
    """Return the length of a piece, m, on its slope."""
    ahead = points_of(piece)
    last = np.array([end_of(piece).ahead_m, end_of(piece).left_m, end_of(piece).rise_m])
    return float(np.linalg.norm(np.diff(np.vstack([ahead, last]), axis=0), axis=1).sum())


def edge_lines(colour: Colour) -> tuple[Stripe, ...]:
    """Return the solid lines along both edges."""
    return (Stripe('left', -0.21, -0.06, colour), Stripe('right', 0.06, 0.21, colour))


def dashes(pieces: Sequence[str], first_m: float, lap_m: float, colour: Colour) -> Stripe:
    """Return the dashed centre line, a whole number of dashes on each piece."""
    lengths = np.array([length_of(piece) for piece in pieces])
    lengths *= lap_m / lengths.sum()
    marks: list[Span] = []
    start_m = first_m
    for piece, length_m in zip(pieces, lengths, strict=True):
        is_ramp = piece[-1] in '+-'
        count = (_DASHES_ON_RAMPS if is_ramp else _DASHES)[piece[0]]
        period_m = float(length_m) / count
        for k in range(count):
            mark_m = start_m + (k + (1.0 - _DASH_SHARE) / 2) * period_m
            marks.append((mark_m, mark_m + _DASH_SHARE * period_m))
        start_m += float(length_m)
    return Stripe('centre', -0.105, 0.105, colour, marks=tuple(marks))


def _s_bend(side: float) -> FloatArray:
    radius_m = 12.5
    half_rad = math.acos(1.0 - 5.0 / radius_m)
    angle = np.linspace(0.0, half_rad, 13)
    first = radius_m * np.stack([np.sin(angle), 1.0 - np.cos(angle)], axis=1)
    second = np.array([20.0, 10.0]) - first[::-1]
    both = np.concatenate([first[:-1], second[:-1]])
    return np.asarray(both * np.array([1.0, side]))


def _climb(kind: str, share: FloatArray) -> FloatArray:
    """Return the share of a ramp's rise that is reached after each share of its length."""
    slopes = np.array(_SLOPES.get(kind, (1.0,)))
    reached = np.concatenate([[0.0], np.cumsum(slopes) / slopes.sum()])
    return np.asarray(np.interp(share, np.linspace(0.0, 1.0, len(reached)), reached))


def turn(quarters: int) -> FloatArray:
    """Return the (3, 3) rotation by quarter turns to the left."""
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters % 4]
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
