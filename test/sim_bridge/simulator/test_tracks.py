# SPDX-License-Identifier: Apache-2.0
"""Tracks by name, and the geometry of the worlds against the measured facts."""

import numpy as np
import pytest

from helpers.lazy import HILLS, JUNGLE, LAKE
from sim_bridge.simulator.track import LEVEL
from sim_bridge.simulator.track_names import parse_track, parse_tracks
from sim_bridge.simulator.tracks import list_tracks, open_track
from sim_bridge.simulator.worlds import jungle, lake


def test_lists_of_names_and_ranges_are_understood() -> None:
    assert parse_tracks('lake,jungle,0-2,hills:4-5') == [
        'lake', 'jungle', 0, 1, 2, 'hills:4', 'hills:5',
    ]  # fmt: skip
    assert parse_track('7') == 7
    assert parse_track('hills:3') == 'hills:3'


@pytest.mark.parametrize('text', ['', 'sea', 'hills', 'hills:', 'hills:x', 'lake:1', '-1', '1,,2'])
def test_an_unknown_track_is_refused_with_the_names_that_there_are(text: str) -> None:
    with pytest.raises(ValueError, match='lake, jungle, hills:SEED'):
        parse_tracks(text)


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match='first seed'):
        parse_tracks('hills:5-3')


def test_a_range_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match='0-99999999999; a range must have at most 100000 seeds'):
        parse_tracks('0-99999999999')


def test_one_track_is_not_a_list() -> None:
    with pytest.raises(ValueError, match='0-3'):
        parse_track('0-3')


def test_every_kind_of_track_is_listed() -> None:
    assert [line.split()[0] for line in list_tracks()] == ['SEED', 'lake', 'jungle', 'hills:SEED']


@pytest.mark.parametrize(('track', 'length_m'), [(LAKE, 1137.64), (JUNGLE, 1508.9)])
def test_laps_are_as_long_as_the_real_ones(track, length_m: float) -> None:
    assert track.length_m == pytest.approx(length_m, rel=0.002)


def test_the_jungle_has_the_slopes_and_radii_of_the_facts() -> None:
    surface = JUNGLE.surface
    assert surface is not None
    assert np.ptp(surface.height_m) == pytest.approx(30.0, abs=0.1)
    assert (surface.slope.min(), surface.slope.max()) == pytest.approx((-0.29, 0.29), abs=0.015)
    assert 1.0 / np.abs(JUNGLE.curvature_1pm).max() == pytest.approx(8.2, abs=0.2)
    climbed_m = np.clip(np.diff(surface.height_m), 0.0, None).sum()
    assert climbed_m == pytest.approx(65.3, abs=0.7)


def test_the_lake_has_the_radii_and_the_step_at_the_bridge_of_the_facts() -> None:
    assert 1.0 / np.abs(LAKE.curvature_1pm).max() == pytest.approx(19.5, abs=0.2)
    before, after = (LAKE.height_m[int(s_m / LAKE.step_m)] for s_m in (684.0, 690.0))
    assert before - after == pytest.approx(0.11, abs=0.02)


def test_the_jungle_crosses_itself_20_m_below_its_bridge() -> None:
    above, below = JUNGLE.pose(844.0), JUNGLE.pose(1365.0)
    assert np.hypot(above.x_m - below.x_m, above.y_m - below.y_m) < 5.0
    heights = [JUNGLE.height_m[int(s_m / JUNGLE.step_m)] for s_m in (844.0, 1365.0)]
    assert heights[0] - heights[1] == pytest.approx(20.0, abs=0.1)


def test_a_place_is_found_on_the_stretch_that_the_car_is_on() -> None:
    for s_m in (844.0, 1365.0):
        pose = JUNGLE.pose(s_m, 1.5)
        place = JUNGLE.project(pose.x_m, pose.y_m, s_m)
        assert place.s_m == pytest.approx(s_m, abs=0.05)
        assert place.cross_track_m == pytest.approx(1.5, abs=0.02)


@pytest.mark.parametrize('track', [LAKE, JUNGLE, HILLS])
def test_poses_and_projections_agree_all_round_the_lap(track) -> None:
    for s_m in np.arange(0.0, track.length_m, 7.3):
        pose = track.pose(float(s_m), -1.0)
        place = track.project(pose.x_m, pose.y_m, float(s_m))
        assert place.cross_track_m == pytest.approx(-1.0, abs=0.03)
        assert place.half_width_m == pytest.approx(
            float(track.right_m[int(s_m / track.step_m)]), abs=0.1
        )


def test_a_car_stands_on_both_axles() -> None:
    surface = JUNGLE.surface
    assert surface is not None
    steepest = int(surface.slope.argmax()) * JUNGLE.step_m
    pose = JUNGLE.pose(steepest)
    place = JUNGLE.project(pose.x_m, pose.y_m, steepest)
    up = JUNGLE.posture(place, pose.yaw_rad)
    assert np.sin(up.pitch_rad) == pytest.approx(surface.slope.max(), abs=0.03)
    down = JUNGLE.posture(place, pose.yaw_rad + np.pi)
    assert down.pitch_rad == pytest.approx(-up.pitch_rad, abs=0.05)


def test_flat_tracks_are_level() -> None:
    track = open_track(3)
    pose = track.pose(50.0)
    assert track.posture(track.project(pose.x_m, pose.y_m), pose.yaw_rad) == LEVEL
    assert not track.height_m.any()
    assert (track.slope(50.0), track.bend_1pm(50.0), track.start_m) == (0.0, 0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(3))
def test_hills_close_and_cross_themselves_on_a_bridge(seed: int) -> None:
    track = open_track(f'hills:{seed}')
    steps = np.roll(track.centre_m, -1, axis=0) - track.centre_m
    assert np.hypot(*steps.T).max() < 1.1 * track.step_m
    assert 400.0 < track.length_m < 2000.0
    assert track.surface is not None
    assert 0.2 < track.surface.slope.max() < 0.31
    assert np.ptp(track.height_m) >= 15.0
    points = track.centre_m[::4]
    away = np.linalg.norm(points[:, None] - points[None], axis=2)
    index = np.arange(len(points))
    along = np.abs(index[:, None] - index[None])
    along = np.minimum(along, len(points) - along)
    first, second = np.unravel_index(np.where(along > 40, away, np.inf).argmin(), away.shape)
    assert away[first, second] < 1.0
    assert abs(track.height_m[4 * first] - track.height_m[4 * second]) == pytest.approx(
        15.0, abs=0.3
    )


def test_the_same_seed_gives_the_same_hills() -> None:
    one, again, other = (open_track(f'hills:{seed}') for seed in (1, 1, 2))
    assert np.array_equal(one.centre_m, again.centre_m)
    assert not np.array_equal(one.centre_m[:100], other.centre_m[:100]) or (
        one.length_m != other.length_m
    )


def test_measured_places_lie_inside_the_lap() -> None:
    for module, track in ((lake, LAKE), (jungle, JUNGLE)):
        world = module.make()
        ends = [end for stripe in world.stripes for span in stripe.spans for end in span]
        ends += [end for row in world.posts for end in row.span]
        assert ends
        assert 0.0 <= min(ends) <= max(ends) <= track.length_m
