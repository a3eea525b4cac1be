# SPDX-License-Identifier: Apache-2.0
"""The procedural tracks and the projection onto them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_bridge.simulator.track import MIN_RADIUS_M, Posture, make_track

SEEDS = range(0, 30)


@pytest.mark.parametrize('seed', SEEDS)
def test_lap_is_closed_drivable_and_bends_both_ways(seed: int) -> None:
    track = make_track(seed)
    steps_m = np.linalg.norm(np.roll(track.centre_m, -1, axis=0) - track.centre_m, axis=1)
    assert steps_m == pytest.approx(track.step_m, rel=0.01)
    assert 300.0 <= track.length_m <= 450.0
    assert np.abs(track.curvature_1pm).max() <= 1.0 / MIN_RADIUS_M + 1e-4
    assert track.curvature_1pm.max() > 1.0 / 80.0
    assert track.curvature_1pm.min() < -1.0 / 80.0
    assert 3.4 < track.half_width_m.min() <= track.half_width_m.max() < 4.6


@pytest.mark.parametrize('seed', SEEDS)
def test_heading_and_curvature_are_those_of_the_line(seed: int) -> None:
    track = make_track(seed)
    ahead_m = np.roll(track.centre_m, -1, axis=0) - track.centre_m
    turn_rad = np.diff(track.yaw_rad)
    middle_rad = (track.yaw_rad[:-1] + track.yaw_rad[1:]) / 2
    chord_rad = np.arctan2(ahead_m[:-1, 1], ahead_m[:-1, 0])
    assert np.abs(np.sin(chord_rad - middle_rad)).max() < 1e-3
    assert turn_rad / track.step_m == pytest.approx(track.curvature_1pm[:-1], abs=2e-3)
    lap_rad = track.yaw_rad[-1] + track.curvature_1pm[-1] * track.step_m - track.yaw_rad[0]
    assert abs(lap_rad) == pytest.approx(math.tau, abs=1e-2)


@pytest.mark.parametrize('seed', SEEDS)
def test_edges_never_come_near_another_part_of_the_road(seed: int) -> None:
    track = make_track(seed)
    points = track.centre_m[::8]
    index = np.arange(len(points))
    gap = np.abs(index[:, None] - index)
    far = np.minimum(gap, len(points) - gap) * 8 * track.step_m > 40.0
    away_m = np.linalg.norm(points[:, None] - points, axis=2)
    assert away_m[far].min() > 20.0


def test_seed_decides_everything_and_both_directions_occur() -> None:
    first, again, other = make_track(3), make_track(3), make_track(4)
    assert np.array_equal(first.centre_m, again.centre_m)
    assert np.array_equal(first.half_width_m, again.half_width_m)
    assert first.length_m != other.length_m
    hands = {bool(t.yaw_rad[-1] > t.yaw_rad[0]) for t in map(make_track, SEEDS)}
    assert hands == {True, False}


def test_negative_seed_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match='track seed is -1; it must be 0 or greater'):
        make_track(-1)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 5),
    share=st.floats(0.0, 2.0),
    offset_m=st.floats(-6.0, 6.0),
    error_m=st.floats(-5.0, 5.0),
)
def test_projection_undoes_pose(seed: int, share: float, offset_m: float, error_m: float) -> None:
    track = make_track(seed)
    s_m = share * track.length_m
    pose = track.pose(s_m, offset_m)
    for near_s_m in (None, s_m + error_m):
        projection = track.project(pose.x_m, pose.y_m, near_s_m)
        assert math.remainder(projection.s_m - s_m, track.length_m) == pytest.approx(0, abs=5e-3)
        assert projection.cross_track_m == pytest.approx(offset_m, abs=5e-3)
        assert math.remainder(projection.yaw_rad - pose.yaw_rad, math.tau) == pytest.approx(
            0, abs=1e-3
        )


def test_heading_error_is_added_to_the_road() -> None:
    track = make_track(1)
    straight, turned = track.pose(50.0), track.pose(50.0, heading_error_rad=0.2)
    assert math.remainder(turned.yaw_rad - straight.yaw_rad, math.tau) == pytest.approx(0.2)


def test_index_is_that_of_the_sample_before_a_place_on_any_lap() -> None:
    track = make_track(1)
    count, step_m = len(track.centre_m), track.step_m
    places_m = np.array([0.0, 1.5 * step_m, -0.5 * step_m, track.length_m + 2.5 * step_m])
    assert track.index(places_m).tolist() == [0, 1, count - 1, 2]
    assert [track.index(float(s_m)) for s_m in places_m] == [0, 1, count - 1, 2]


def test_points_beside_samples_are_those_of_the_line_there() -> None:
    track = make_track(1)
    offset_m = np.array([1.0, -2.0])
    index = np.array([5, 300])
    lines_m = [track.edge_m(float(offset))[k] for k, offset in zip(index, offset_m, strict=True)]
    assert np.array_equal(track.beside_m(index, offset_m), lines_m)


def test_a_car_that_is_pitched_and_rolled_sees_the_level_from_its_axes() -> None:
    pitched = Posture(0.0, 0.1, 0.0).rotation() @ (1.0, 0.0, 0.0)
    assert pitched == pytest.approx([math.cos(0.1), 0.0, math.sin(0.1)])
    rolled = Posture(0.0, 0.0, 0.1).rotation() @ (0.0, 1.0, 0.0)
    assert rolled == pytest.approx([0.0, math.cos(0.1), math.sin(0.1)])
