# SPDX-License-Identifier: Apache-2.0
"""Look of a track: colours, light and details that its seed chooses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sim_bridge.simulator.arrays import Colour, FloatArray

_T = TypeVar('_T')


@dataclass(frozen=True)
class Look:
    """The properties of a track's appearance that differ between seeds.

    Colours are RGB 0..255 before light. `edge` is 'line', 'kerb' or 'bare'. `light` multiplies
    colours per channel. `grain` is the contrast of the ground's texture. `shade`, 0..1, is the
    share of light that patches of shadow take, 0 for no shadows.
    """

    road: Colour
    shoulder: Colour
    shoulder_m: float
    ground: tuple[Colour, Colour]
    edge: str
    line: Colour
    dashes: bool
    light: Colour
    grain: float
    shade: float
    sky: tuple[Colour, Colour]
    hills: Sequence[Colour]
    trees: int
    bonnet: Colour


_ROADS: Sequence[Colour] = ((104, 104, 100), (88, 88, 90), (122, 116, 108), (132, 112, 92))
_SHOULDERS: Sequence[Colour] = (
    (206, 196, 172),
    (150, 118, 84),
    (128, 132, 130),
    (176, 146, 104),
    (104, 108, 66),
)
_GROUNDS: Sequence[tuple[Colour, Colour]] = (
    ((142, 126, 56), (112, 108, 44)),
    ((84, 112, 50), (112, 126, 60)),
    ((196, 168, 116), (170, 138, 88)),
    ((140, 106, 70), (118, 100, 58)),
    ((108, 110, 62), (150, 130, 82)),
)
_LINES: Sequence[Colour] = ((226, 226, 218), (196, 168, 52), (214, 192, 78))
_SKIES: Sequence[tuple[Colour, Colour]] = (
    ((98, 128, 190), (186, 206, 226)),
    ((120, 150, 186), (214, 218, 216)),
    ((150, 162, 176), (206, 206, 204)),
    ((110, 136, 190), (236, 208, 176)),
)
_BONNETS: Sequence[Colour] = ((172, 172, 158), (150, 152, 148), (184, 170, 150))


def make_look(seed: int) -> Look:
    """Return the look of this seed: a mixture of road, shoulder, ground, sky and light."""
    rng = np.random.default_rng([seed, 2])
    ground = _one_of(_GROUNDS, rng)
    sky = _one_of(_SKIES, rng)
    brightness = rng.uniform(0.8, 1.15)
    tint = 1.0 + rng.uniform(-0.05, 0.05, 3)
    haze = np.array(sky[1])
    road = _vary(_one_of(_ROADS, rng), 10.0, rng)
    edge = str(rng.choice(['line', 'kerb', 'bare'], p=[0.5, 0.28, 0.22]))
    shoulder = _one_of(_SHOULDERS, rng)
    if edge == 'bare':
        shoulder = max(_SHOULDERS, key=lambda colour: abs(sum(colour) - sum(road)))
    hills = [mix(ground[k % 2], haze, share) for k, share in enumerate((0.62, 0.4, 0.18))]
    return Look(
        road=road,
        shoulder=_vary(shoulder, 12.0, rng),
        shoulder_m=float(rng.uniform(0.6, 1.9)),
        ground=(_vary(ground[0], 12.0, rng), _vary(ground[1], 12.0, rng)),
        edge=edge,
        line=_one_of(_LINES, rng),
        dashes=bool(rng.random() < 0.35),
        light=_colour(brightness * tint),
        grain=float(rng.uniform(0.6, 1.15)),
        shade=float(rng.uniform(0.3, 0.6)) if rng.random() < 0.5 else 0.0,
        sky=sky,
        hills=hills,
        trees=int(rng.integers(30, 130)),
        bonnet=_one_of(_BONNETS, rng),
    )


def _one_of(choices: Sequence[_T], rng: np.random.Generator) -> _T:
    return choices[int(rng.integers(len(choices)))]


def _vary(colour: Colour, spread: float, rng: np.random.Generator) -> Colour:
    """Return the colour with a random change of brightness and a small one of hue."""
    shift = rng.uniform(-spread, spread) + rng.uniform(-0.25, 0.25, 3) * spread
    return _colour(np.array(colour) + shift)


def mix(colour: Colour, other: FloatArray, share: float) -> Colour:
    """Return a mixture of two colours; `share`, 0..1, is that of the other one."""
    return _colour(np.array(colour) * (1.0 - share) + other * share)


def lit(colour: Colour, look: Look) -> Colour:
    """Return the colour under the look's light."""
    return _colour(np.clip(np.array(colour) * look.light, 0.0, 255.0))


def _colour(values: FloatArray) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
