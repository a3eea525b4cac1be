# SPDX-License-Identifier: Apache-2.0
"""World: the parts of a track with terrain. SI, z up, lateral offsets left positive."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Colour = tuple[float, float, float]
Span = tuple[float, float]


class CentreLine(NamedTuple):
    """A closed centre line about 1 m apart; the last row lies one step before the first.

    `points_m` (N, 3) x, y, z; `left_m` and `right_m` (N,) from the centre to each edge of the
    road; `bank_rad` (N,) roll of the road, left edge up.
    """

    points_m: FloatArray
    left_m: FloatArray
    right_m: FloatArray
    bank_rad: FloatArray


class Stripe(NamedTuple):
    """A painted band along the road: a marking, a kerb, or another surface.

    It lies between `from_m` and `to_m`, left positive, measured from `line`: 'left' or 'right'
    edge or 'centre'. It covers `spans` of the lap, m, or all of it. With `marks` (start, end of
    each, m) only those parts are painted in `colour`, and the gaps in `gap_colour` if there is
    one.
    `rise_m` is its height above the road; `grainy` says whether it looks as rough as asphalt.
    """

    line: str
    from_m: float
    to_m: float
    colour: Colour
    spans: tuple[Span, ...] = ()
    marks: tuple[Span, ...] = ()
    gap_colour: Colour | None = None
    rise_m: float = 0.0
    grainy: bool = False


class Ground(NamedTuple):
    """The ground beside the road.

    `left_rise_m`, `right_rise_m`: pairs of a distance from the road's edge and a height above the
    road. `cliffs_m`: height of the walls of rock that stand at random places, `hills_m`: height of
    the hills far from the road. Colours are those of lit ground; steep ground is `rock`.
    """

    left_rise_m: tuple[Span, ...]
    right_rise_m: tuple[Span, ...]
    cliffs_m: float
    hills_m: float
    grass: tuple[Colour, Colour]
    rock: Colour
    earth: Colour
    water: Colour
    water_level_m: float | None
    blends: bool
    """Whether the ground between two stretches of road lies between their heights."""


class Light(NamedTuple):
    """Sun, sky and haze. `azimuth_rad` is where the sun stands, from +x to the left.

    `shadow` is the colour factor of shaded ground; `sky` the colours at 40 degrees above the
    horizon and at the horizon; `fog_m` where fog begins and is complete, None for clear air.
    """

    azimuth_rad: float
    elevation_rad: float
    shadow: Colour
    sky: tuple[Colour, Colour]
    fog: Colour
    fog_m: Span | None


class Trees(NamedTuple):
    """Trees at random places beside the road: 'palm' or 'conifer', and how far from the edge."""

    kind: str
    number: int
    nearest_m: float
    farthest_m: float
    height_m: Span
    left_share: float


class Posts(NamedTuple):
    """A row of posts along `span` of the lap, `offset_m` outside an edge; side 1 is left."""

    span: Span
    side: int
    offset_m: float
    every_m: float
    height_m: float


@dataclass(frozen=True, eq=False)
class World:
    """A track with terrain, and all that its camera shows."""

    name: str
    summary: str
    seed: int
    line: CentreLine
    asphalt: Colour
    grain: float
    stripes: tuple[Stripe, ...]
    ground: Ground
    light: Light
    trees: Trees
    posts: tuple[Posts, ...]
    bridges: tuple[Span, ...]
    """Spans of the lap in which the road runs straight and level above other ground."""
    start_m: float = 0.0


def read_line(file: str) -> CentreLine:
    """Return the centre line of a file of this package, CSV with one row a metre."""
    text = resources.files(__package__).joinpath(file).read_text(encoding='utf-8')
    rows = np.array([line.split(',') for line in text.splitlines()[1:]], np.float64)
    return CentreLine(rows[:, 1:4], rows[:, 4], rows[:, 5], rows[:, 6])


def every(span: Span, period_m: float, length_m: float) -> tuple[Span, ...]:
    """Return marks of `length_m`, a whole number of them in the span, about `period_m` apart."""
    first_m, last_m = span
    count = max(1, round((last_m - first_m) / period_m))
    starts = first_m + (np.arange(count) + 0.5) * (last_m - first_m) / count - length_m / 2
    return tuple((float(start), float(start) + length_m) for start in starts)
