# SPDX-License-Identifier: Apache-2.0
"""The jungle: the second track of the Udacity simulator, 30 m high, with slopes of 29 %."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sim_bridge.simulator.worlds.pieces import WHITE, dashes, edge_lines
from sim_bridge.simulator.worlds.world import Ground, Light, Posts, Trees, World, read_line

_ROAD = (
    'S S S S BR+ CR S S BR CR+ CR+ S HR HL HL BR CL CR S S CL- CR- BR- BR- S BR+ BL+ CR+ CR '
    'S S S S S BR- S HL HL BR- CR CR BR+ S S S S S BL- BR S S S S BL HL CL+ CR- CL+ HL HL HR '
    'HR S CR- BL- CL+ CL- S BR- BL- S BL BR+ S CL+ S CL CR+'
)
PIECES: Sequence[str] = _ROAD.split()
"""The pieces of the road from `FIRST_M` on; see `pieces.py`."""
FIRST_M = -4.6
LAP_M = 1508.9


def make() -> World:
    """Return the jungle."""
    return World(
        name='jungle',
        summary='the jungle track of the Udacity simulator: slopes of 29 %, radii of 8 m',
        seed=1_000_002,
        line=read_line('jungle.csv'),
        asphalt=(162.0, 161.0, 158.0),
        grain=0.5,
        stripes=(*edge_lines(WHITE), dashes(PIECES, FIRST_M, LAP_M, WHITE)),
        ground=Ground(
            left_rise_m=((0.0, -0.14), (3.0, -0.1), (10.0, 0.6), (20.0, 1.5)),
            right_rise_m=((0.0, -0.14), (3.0, -0.4), (10.0, -0.6), (20.0, 0.5)),
            cliffs_m=13.0,
            hills_m=24.0,
            grass=((84.0, 98.0, 48.0), (116.0, 126.0, 70.0)),
            rock=(92.0, 92.0, 66.0),
            earth=(106.0, 104.0, 66.0),
            water=(0.0, 0.0, 0.0),
            water_level_m=None,
            blends=True,
        ),
        light=Light(
            azimuth_rad=math.radians(-60.0),
            elevation_rad=math.radians(50.0),
            shadow=(0.33, 0.36, 0.43),
            sky=((80.0, 105.0, 146.0), (132.0, 158.0, 194.0)),
            fog=(150.0, 172.0, 200.0),
            fog_m=None,
        ),
        trees=Trees('palm', 543, 1.4, 40.0, (5.0, 8.0), 0.5),
        posts=(
            Posts((0.0, 32.0), 1, 0.15, 6.0, 1.28),
            Posts((910.0, 957.0), 1, 0.15, 6.0, 1.28),
            Posts((233.0, 310.0), -1, 0.8, 6.4, 2.4),
            Posts((371.0, 381.0), -1, 0.8, 2.0, 2.4),
            Posts((430.0, 475.0), -1, 0.8, 4.0, 2.4),
            Posts((681.0, 691.0), -1, 0.8, 2.0, 2.4),
            Posts((817.0, 861.0), 1, 0.2, 2.5, 4.5),
            Posts((817.0, 861.0), -1, 0.2, 2.5, 4.5),
            Posts((1099.0, 1178.0), -1, 0.8, 6.0, 2.4),
            Posts((1417.0, 1427.0), -1, 0.8, 2.0, 2.4),
        ),
        bridges=((815.0, 865.0),),
    )
