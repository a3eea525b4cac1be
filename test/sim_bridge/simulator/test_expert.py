# SPDX-License-Identifier: Apache-2.0
"""The expert."""

import numpy as np
import pytest

from sim_bridge.control.speed_controller import SpeedController
from sim_bridge.simulator.expert import pursuit_steering_rad, under_car_1pm
from sim_bridge.simulator.track import make_track
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.vehicle_dynamics import CarParams, slope_under, standing_at, step


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(30))
def test_expert_drives_a_lap_at_top_speed_well_inside_the_road(seed: int) -> None:
    track, params = make_track(seed), CarParams()
    state, s_m, travelled_m = standing_at(track.pose(0.0)), 0.0, 0.0
    while travelled_m < track.length_m:
        place = track.project(state.x_m, state.y_m, s_m)
        assert abs(place.cross_track_m) < place.half_width_m - 1.5
        s_m = place.s_m
        state = step(state, pursuit_steering_rad(track, state.pose, s_m), 1.0, 1 / 30, params)
        travelled_m += state.speed_mps / 30
    assert state.speed_mps == params.top_speed_mps


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'limit_mps', 'lateral_mps2', 'fastest_mps'),
    [
        ('lake', 6.7, 0.0, 7.0),
        ('jungle', 6.7, 0.0, 7.2),
        ('jungle', 13.4, 4.0, 13.5),
        *((f'hills:{seed}', 6.7, 0.0, 7.2) for seed in range(3)),
    ],
)
def test_expert_drives_a_lap_of_each_world_without_leaving_the_road(
    name: str, limit_mps: float, lateral_mps2: float, fastest_mps: float
) -> None:
    track, params, throttles = (
        open_track(name), CarParams(), SpeedController(limit_mps, lateral_mps2),
    )  # fmt: skip
    state, s_m, travelled_m, fastest = standing_at(track.pose(0.0)), 0.0, 0.0, 0.0
    for tick in range(20_000):
        place = track.project(state.x_m, state.y_m, s_m)
        assert abs(place.cross_track_m) < place.half_width_m - 1.0
        s_m = place.s_m
        throttles.steering_rad = pursuit_steering_rad(track, state.pose, s_m)
        throttle = throttles.throttle(state.speed_mps, tick * 0.02)
        slope = slope_under(track, place, state.yaw_rad)
        state = step(state, throttles.steering_rad, throttle, 0.02, params, 0.0, slope)
        travelled_m += state.speed_mps * 0.02
        fastest = max(fastest, state.speed_mps)
        if travelled_m > track.length_m:
            break
    assert travelled_m > track.length_m
    assert 0.75 * limit_mps < fastest < fastest_mps


@pytest.mark.parametrize('offset_m', [-2.0, -0.5, 0.5, 2.0])
def test_expert_steers_back_to_the_centre_line(offset_m: float) -> None:
    track = make_track(2)
    s_m = float(np.argmin(np.abs(track.curvature_1pm))) * track.step_m
    away = pursuit_steering_rad(track, track.pose(s_m, offset_m))
    assert np.sign(away) == -np.sign(offset_m)
    assert abs(pursuit_steering_rad(track, track.pose(s_m))) < 0.05


def test_road_under_the_car_is_that_ahead_of_its_rear_axle() -> None:
    curve_1pm = np.zeros(20)
    curve_1pm[10] = 0.6
    under_1pm = under_car_1pm(curve_1pm, step_m=0.5)
    np.testing.assert_allclose(under_1pm, [0.1 if 5 <= i <= 10 else 0.0 for i in range(20)])
