# SPDX-License-Identifier: Apache-2.0
"""The lake: the first track of the Udacity simulator, flat, with kerbs, water and a bridge."""

from __future__ import annotations

import math

from sim_bridge.simulator.worlds.world import (
    Colour,
    Ground,
    Light,
    Posts,
    Span,
    Stripe,
    Trees,
    World,
    every,
    read_line,
)

LAP_M = 1137.64
_BRIDGE: Span = (686.8, 794.8)
_DIRT: tuple[Span, ...] = ((76.0, 115.0), (857.0, 873.0))
_STRIPS: tuple[Span, ...] = (
    (0.0, 51.0),
    (476.0, 552.0),
    (835.0, 892.0),
    (977.0, 1031.0),
    (1107.0, LAP_M),
)
_YELLOW: Colour = (176.0, 164.0, 66.0)
_KERB: Colour = (226.0, 218.0, 190.0)
_EARTH: Colour = (178.0, 142.0, 92.0)


def make() -> World:
    """Return the lake."""
    return World(
        name='lake',
        summary='the lake track of the Udacity simulator: flat, kerbs, a bridge',
        seed=1_000_001,
        line=read_line('lake.csv'),
        asphalt=(124.0, 127.0, 117.0),
        grain=1.5,
        stripes=(*_side('left'), *_side('right'), *_bridge()),
        ground=Ground(
            left_rise_m=((0.0, 0.0), (3.0, -0.1), (10.0, -0.6), (20.0, -2.0), (40.0, -11.0)),
            right_rise_m=(
                (0.0, 0.0),
                (3.0, 0.0),
                (10.0, 0.4),
                (20.0, 1.4),
                (40.0, 4.5),
                (90.0, 14.0),
            ),
            cliffs_m=4.0,
            hills_m=14.0,
            grass=((138.0, 138.0, 74.0), (162.0, 148.0, 98.0)),
            rock=(166.0, 168.0, 146.0),
            earth=_EARTH,
            water=(150.0, 178.0, 198.0),
            water_level_m=-0.5,
            blends=False,
        ),
        light=Light(
            azimuth_rad=0.0,
            elevation_rad=math.radians(42.2),
            shadow=(0.58, 0.62, 0.70),
            sky=((72.0, 103.0, 164.0), (197.0, 218.0, 223.0)),
            fog=(166.0, 193.0, 212.0),
            fog_m=(100.0, 600.0),
        ),
        trees=Trees('conifer', 420, 3.0, 120.0, (8.0, 17.0), 0.12),
        posts=(Posts((827.0, 840.0), -1, 0.6, 2.2, 1.9),),
        bridges=(),
        start_m=266.9,
    )


def _side(side: str) -> tuple[Stripe, ...]:
    """Return markings and kerb of one side; the outside of the right edge is negative."""
    out = 1.0 if side == 'left' else -1.0
    paved = ((0.0, _BRIDGE[0]), (_BRIDGE[1], LAP_M))
    kerb: tuple[Span, ...] = paved
    dirt: tuple[Stripe, ...] = ()
    if side == 'right':
        kerb = ((0.0, 76.0), (115.0, _BRIDGE[0]), (_BRIDGE[1], 857.0), (873.0, LAP_M))
        dirt = (Stripe(side, 0.9 * -out, 3.5 * out, _EARTH, _DIRT),)
    bars = tuple(mark for span in _STRIPS for mark in every(span, 0.5, 0.25))
    return (
        Stripe(side, -1.14 * out, -0.81 * out, (104.0, 103.0, 88.0), paved, grainy=True),
        Stripe(side, -1.26 * out, -1.14 * out, _YELLOW, paved),
        Stripe(side, -0.81 * out, -0.69 * out, _YELLOW, paved),
        Stripe(side, 0.0, 1.1 * out, _KERB, kerb, rise_m=0.22),
        Stripe(side, -1.04 * out, 0.0, (216.0, 66.0, 64.0), _STRIPS, bars, (232.0, 226.0, 218.0)),
        *dirt,
    )


def _bridge() -> tuple[Stripe, ...]:
    # The parapets' faces are in the shade in the frames of recordings.
    wall: Colour = (4.0, 4.0, 4.0)
    return (
        Stripe('centre', 7.0, -7.0, (195.0, 180.0, 160.0), (_BRIDGE,), grainy=True),
        Stripe('left', 0.0, 1.6, wall, (_BRIDGE,), rise_m=0.73),
        Stripe('right', 0.0, -1.6, wall, (_BRIDGE,), rise_m=0.73),
    )
