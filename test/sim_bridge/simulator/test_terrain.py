# SPDX-License-Identifier: Apache-2.0
"""The ground of worlds: heights, the nearest road, light, and the road's texture."""

import math
from functools import cache

import numpy as np
import pytest

from helpers.lazy import JUNGLE, LAKE, Lazy
from sim_bridge.simulator.bridges import bridges_of
from sim_bridge.simulator.shadows import cast_shadows
from sim_bridge.simulator.strip import ACROSS_M, ASPHALT, PAD_M, REACH_M, Strip, paint_strip
from sim_bridge.simulator.terrain import CELL_M, Terrain, make_terrain
from sim_bridge.simulator.tracks import open_track

STRIP = Lazy(lambda: paint_strip(JUNGLE, JUNGLE.surface.world))


@cache
def terrain_of(track) -> Terrain:
    return make_terrain(track, track.surface.world)


def cell(terrain: Terrain, x_m: float, y_m: float) -> tuple[int, int]:
    return round((y_m - terrain.y0_m) / CELL_M), round((x_m - terrain.x0_m) / CELL_M)


@pytest.mark.parametrize('track', [LAKE, JUNGLE], ids=['lake', 'jungle'])
def test_the_ground_carries_the_road(track) -> None:
    terrain = terrain_of(track)
    for s_m in np.arange(2.0, track.length_m, 9.7):
        if any(a - 5.0 < s_m < b + 5.0 for a, b in track.surface.world.bridges):
            continue
        for offset_m in (-4.2, 0.0, 4.2):
            place = track.pose(float(s_m), offset_m)
            height_m = terrain.height[cell(terrain, place.x_m, place.y_m)]
            assert height_m == pytest.approx(track.height_m[int(s_m / track.step_m)], abs=0.22)


def test_the_ground_below_the_bridge_is_that_of_the_lower_road() -> None:
    terrain = terrain_of(JUNGLE)
    place = JUNGLE.pose(844.0)
    where = cell(terrain, place.x_m, place.y_m)
    assert terrain.height[where] == pytest.approx(-94.75, abs=0.2)
    assert abs(terrain.nearest[where] * JUNGLE.step_m - 1365.0) < 8.0


def test_the_lake_is_level_water() -> None:
    terrain = terrain_of(LAKE)
    middle = terrain.height[cell(terrain, 0.0, 30.0)]
    assert middle == np.float32(-0.5)
    assert terrain.height.min() == np.float32(-0.5)


def test_the_parapets_of_the_lakes_bridge_stand_0_73_m_above_it() -> None:
    terrain = terrain_of(LAKE)
    heights = []
    for s_m in np.arange(700.0, 780.0, 5.0):
        place = LAKE.pose(float(s_m), float(LAKE.left_m[int(s_m / LAKE.step_m)]) + 0.8)
        heights.append(terrain.height[cell(terrain, place.x_m, place.y_m)])
    deck_m = LAKE.height_m[int(740.0 / LAKE.step_m)]
    assert np.median(heights) - deck_m == pytest.approx(0.73, abs=0.08)


def test_the_same_world_gives_the_same_terrain() -> None:
    again = make_terrain(JUNGLE, JUNGLE.surface.world)
    for one, other in zip(again, terrain_of(JUNGLE), strict=True):
        assert np.array_equal(one, other)


def test_ground_that_faces_the_sun_is_brighter_than_ground_that_does_not() -> None:
    terrain = terrain_of(JUNGLE)
    light = JUNGLE.surface.world.light
    dy, dx = np.gradient(terrain.height, CELL_M)
    towards = -(dx * math.cos(light.azimuth_rad) + dy * math.sin(light.azimuth_rad))
    sun = terrain.colour[..., 3]
    assert sun[towards > 0.4].mean() > 2.0 * sun[towards < -0.4].mean()


def test_a_tree_shades_the_ground_away_from_the_sun() -> None:
    world = LAKE.surface.world
    colour = np.full((80, 80, 4), 128, np.uint8)
    height, nearest = np.zeros((80, 80), np.float32), np.zeros((80, 80), np.int32)
    terrain = Terrain(height, nearest, colour, 0.0, 0.0)
    trees = np.array([[20.0, 20.0, 0.0, 8.0]])
    cast_shadows(terrain, trees, 'conifer', world.light, np.random.default_rng(0))
    sun = terrain.colour[..., 3]
    # The sun stands in the direction of +x.
    assert sun[40, 30] < 40 < 128 == sun[40, 50]
    assert terrain.colour[40, 30, 0] < 100


def test_a_bridge_hides_what_is_below_it_and_not_what_is_beside_it() -> None:
    (bridge,) = bridges_of(JUNGLE)
    middle = JUNGLE.pose(840.0)
    eye = np.array([middle.x_m, middle.y_m, bridge.z_m + 1.3])
    ahead = JUNGLE.pose(850.0)
    points = np.array(
        [
            [ahead.x_m, ahead.y_m, bridge.z_m - 1.0],
            [ahead.x_m, ahead.y_m, bridge.z_m + 2.0],
            [ahead.x_m, ahead.y_m + 30.0, bridge.z_m - 5.0],
        ]
    )
    assert bridge.hides(eye, points).tolist() == [True, False, False]
    assert bridges_of(open_track(0)) == []


def texel(strip: Strip, s_m: float, offset_m: float) -> np.ndarray:
    column = int((s_m + PAD_M) * float(strip.per_m_along[0]))
    return strip.image[int((REACH_M - offset_m) / ACROSS_M), column].astype(int)


def test_the_road_has_its_lines_and_ends_at_the_bevel() -> None:
    for s_m in (30.0, 500.0, 1200.0):
        assert texel(STRIP, s_m, 4.61)[:3].min() > 180
        assert texel(STRIP, s_m, -4.61)[:3].min() > 180
        assert texel(STRIP, s_m, 2.0)[3] == ASPHALT
        assert texel(STRIP, s_m, 5.2)[3] == texel(STRIP, s_m, -5.2)[3] == 0


def test_the_dashes_of_a_straight_are_where_they_were_measured() -> None:
    white = [texel(STRIP, s_m, 0.0)[:3].min() > 195 for s_m in np.arange(5.5, 15.0, 0.25)]
    assert 0.55 < np.mean(white) < 0.8
    assert np.abs(np.diff(white)).sum() == 4 or np.abs(np.diff(white)).sum() == 3


def test_the_end_of_the_lap_is_repeated_before_its_start() -> None:
    columns = round(PAD_M * float(STRIP.per_m_along[0]))
    rows = round(2 * REACH_M / ACROSS_M)
    lap = round(JUNGLE.length_m * float(STRIP.per_m_along[0]))
    assert np.array_equal(STRIP.image[:rows, :columns], STRIP.image[:rows, lap : lap + columns])


def test_red_and_white_bars_take_turns_on_the_lakes_strips() -> None:
    strip = paint_strip(LAKE, LAKE.surface.world)
    edge_m = float(LAKE.left_m[int(500.0 / LAKE.step_m)])
    green = np.array(
        [texel(strip, s_m, edge_m - 0.5)[1] for s_m in np.arange(500.0, 505.0, 0.0625)]
    )
    assert 0.35 < (green < 120).mean() < 0.65
    assert 16 <= np.abs(np.diff(green < 120)).sum() <= 22
