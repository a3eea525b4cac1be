# SPDX-License-Identifier: Apache-2.0
"""The car's motion and the quirks of its pedal."""

import math

import pytest

from sim_bridge.simulator.vehicle_dynamics import (
    CarParams,
    CarState,
    Slope,
    standing_at,
    step,
)
from steering_net.vehicle import (
    BRAKE_MPS2,
    MAX_STEERING_RAD,
    REAR_AXLE_M,
    REVERSE_BELOW_MPS,
    TOP_SPEED_MPS,
    WHEELBASE_M,
    Pose,
)

PARAMS = CarParams()
DT_S = 1 / 120


def drive(state: CarState, steering_rad: float, throttle: float, seconds: float) -> CarState:
    for _ in range(round(seconds / DT_S)):
        state = step(state, steering_rad, throttle, DT_S, PARAMS)
    return state


def rolling(speed_mps: float, brake_held: float = 0.0) -> CarState:
    return CarState(0.0, 0.0, 0.0, speed_mps, brake_held)


def test_pulls_away_like_the_recorded_car_and_stops_at_top_speed() -> None:
    assert drive(rolling(0.0), 0.0, 1.0, 2.0).speed_mps == pytest.approx(9.5, abs=0.7)
    assert drive(rolling(0.0), 0.0, 1.0, 6.0).speed_mps == TOP_SPEED_MPS
    assert drive(rolling(0.0), 0.0, 1.0, 6.0).x_m > 50.0


def test_coasts_down_like_the_recorded_car() -> None:
    after = step(rolling(12.0), 0.0, 0.0, DT_S, PARAMS)
    assert (after.speed_mps - 12.0) / DT_S == pytest.approx(-1.26, abs=0.15)


@pytest.mark.parametrize('limit_mps', [5.0, 9.0, 13.4])
def test_proportional_throttle_settles_not_far_under_its_limit(limit_mps: float) -> None:
    state = rolling(0.0)
    for _ in range(round(60 / DT_S)):
        state = step(state, 0.0, 1.0 - state.speed_mps / limit_mps, DT_S, PARAMS)
    assert 0.75 * limit_mps < state.speed_mps < limit_mps


@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize('steering_rad', [0.1, 0.3, MAX_STEERING_RAD])
def test_slow_car_drives_the_bicycle_circle(sign: float, steering_rad: float) -> None:
    speed_mps, seconds = 2.0, 1.0
    state = rolling(speed_mps)
    heading_rad = 0.0
    for _ in range(round(seconds / DT_S)):
        after = step(CarState(*state.pose, speed_mps), sign * steering_rad, 0.0, DT_S, PARAMS)
        heading_rad += after.yaw_rad - state.yaw_rad
        state = after
    rear_radius_m = WHEELBASE_M / math.tan(steering_rad)
    radius_m = math.hypot(rear_radius_m, REAR_AXLE_M)
    assert heading_rad == pytest.approx(sign * speed_mps * seconds / radius_m, rel=0.01)
    assert math.copysign(1.0, state.y_m) == sign


def test_steering_is_clipped_to_the_lock() -> None:
    locked = drive(rolling(2.0), MAX_STEERING_RAD, 0.0, 1.0)
    assert drive(rolling(2.0), 1.5, 0.0, 1.0) == locked


def test_tyres_bound_lateral_acceleration() -> None:
    fast = rolling(13.0)
    after = step(fast, MAX_STEERING_RAD, 0.0, DT_S, PARAMS)
    assert after.yaw_rad / DT_S * after.speed_mps == pytest.approx(7.85, rel=0.01)


def test_negative_throttle_brakes_when_fast_and_reverses_when_slow() -> None:
    assert drive(rolling(10.0), 0.0, -1.0, 0.5).speed_mps == pytest.approx(6.5, abs=0.5)
    backwards = drive(rolling(0.0), 0.0, -0.5, 2.0)
    assert backwards.speed_mps < -0.5
    assert backwards.x_m < 0.0


def test_reverse_goes_on_beyond_the_speed_below_which_it_began() -> None:
    state = drive(rolling(0.0), 0.0, -1.0, 5.0)
    assert state.speed_mps < -REVERSE_BELOW_MPS - 0.5


def test_brake_held_through_the_threshold_stays_until_one_negative_tick() -> None:
    state = rolling(REVERSE_BELOW_MPS + 0.02)
    state = step(state, 0.0, -0.6, DT_S, PARAMS)
    assert state.speed_mps < REVERSE_BELOW_MPS
    assert state.brake_held == 0.6
    stuck = drive(state, 0.0, 1.0, 3.0)
    assert (stuck.speed_mps, stuck.brake_held) == (0.0, 0.6)
    freed = step(stuck, 0.0, -0.01, DT_S, PARAMS)
    assert freed.brake_held == 0.0
    assert drive(freed, 0.0, 1.0, 1.0).speed_mps > 3.0


def test_brake_is_written_anew_at_every_step_above_the_threshold() -> None:
    braking = step(rolling(10.0), 0.0, -1.0, DT_S, PARAMS)
    assert braking.brake_held == 1.0
    assert step(braking, 0.0, 0.0, DT_S, PARAMS).brake_held == 0.0


def test_brake_never_turns_the_car_around() -> None:
    assert drive(rolling(0.5, brake_held=1.0), 0.0, 0.0, 1.0).speed_mps == 0.0
    assert drive(rolling(-0.5, brake_held=1.0), 0.0, 0.0, 1.0).speed_mps == 0.0


@pytest.mark.parametrize(('grade', 'speed_mps'), [(0.3, -2.73), (-0.3, 2.73), (0.08, -0.745)])
def test_a_car_that_is_let_go_on_a_slope_rolls_down(grade: float, speed_mps: float) -> None:
    state = rolling(0.0)
    for _ in range(round(1.0 / DT_S)):
        state = step(state, 0.0, 0.0, DT_S, PARAMS, grade)
    assert state.speed_mps == pytest.approx(speed_mps, rel=0.02)


def test_a_held_brake_holds_on_the_steepest_slope() -> None:
    state = rolling(0.0, brake_held=1.0)
    for _ in range(100):
        state = step(state, 0.0, 0.0, 0.02, PARAMS, -0.3)
    assert state.speed_mps == 0.0


def test_reverse_holds_a_car_on_a_fall_of_15_percent_and_no_more() -> None:
    slow, fast = (step(rolling(0.0), 0.0, -1.0, 0.02, PARAMS, -grade) for grade in (0.15, 0.16))
    assert slow.speed_mps < 0.0 < fast.speed_mps


def test_negative_throttle_on_a_car_that_rolls_back_fast_drives_it_back_faster() -> None:
    state = step(rolling(-6.0), 0.0, -1.0, 0.02, PARAMS, 0.1)
    assert state.speed_mps < -6.0
    assert state.brake_held == 0.0


def test_the_torque_of_a_new_drive_builds_up_over_a_second() -> None:
    fresh, warm = standing_at(Pose()), rolling(0.0)
    speeds = []
    for _ in range(120):
        fresh = step(fresh, 0.0, 1.0, DT_S, PARAMS)
        warm = step(warm, 0.0, 1.0, DT_S, PARAMS)
        speeds.append(fresh.speed_mps)
    assert speeds[0] == 0.0
    assert speeds[59] < 0.3 * warm.speed_mps < speeds[119] < 0.55 * warm.speed_mps
    assert fresh.traction == pytest.approx(1.0)


@pytest.mark.parametrize('pitch_rad', [0.2, -0.2])
def test_a_slope_pulls_and_shortens_the_way_seen_from_above(pitch_rad: float) -> None:
    state, slope = rolling(5.0), Slope(pitch_rad)
    after = step(state, 0.0, 0.0, DT_S, PARAMS, 0.0, slope)
    pull_mps2 = (after.speed_mps - 5.0) / DT_S + 0.5
    assert pull_mps2 == pytest.approx(-9.81 * math.sin(pitch_rad), abs=0.01)
    assert after.x_m == pytest.approx(after.speed_mps * DT_S * math.cos(pitch_rad))


def test_a_fast_car_bottoms_out_at_the_foot_of_a_ramp_and_a_slow_one_does_not() -> None:
    foot = Slope(0.0, 0.04)
    fast, slow = (step(rolling(v), 0.0, 0.0, DT_S, PARAMS, 0.0, foot) for v in (13.4, 6.7))
    assert (13.4 - fast.speed_mps) / DT_S > 20.0
    assert (6.7 - slow.speed_mps) / DT_S < 1.0


def test_downforce_lets_a_fast_car_turn_harder_than_a_slow_one_would() -> None:
    grips = []
    for speed_mps in (8.0, 13.4):
        after = step(rolling(speed_mps), MAX_STEERING_RAD, 0.0, DT_S, PARAMS)
        grips.append(after.yaw_rad / DT_S * after.speed_mps)
    assert grips[1] == pytest.approx(7.85, abs=0.15)
    assert grips[0] == pytest.approx(7.85 * (9.81 + 0.8) / (9.81 + 1.341), abs=0.15)


@pytest.mark.parametrize('throttle', [1.5, -7.0])
def test_throttle_beyond_its_range_does_no_more(throttle: float) -> None:
    limit = math.copysign(1.0, throttle)
    for speed_mps in (0.0, 8.0):
        state = rolling(speed_mps)
        assert step(state, 0.0, throttle, DT_S, PARAMS) == step(state, 0.0, limit, DT_S, PARAMS)


def test_a_touch_of_the_brake_brakes_less_than_the_tyres_allow() -> None:
    coasting = step(rolling(10.0), 0.0, 0.0, DT_S, PARAMS).speed_mps
    touched = step(rolling(10.0), 0.0, -0.05, DT_S, PARAMS).speed_mps
    assert (coasting - touched) / DT_S == pytest.approx(0.05 * BRAKE_MPS2)


@pytest.mark.parametrize('speed_mps', [12.0, -12.0])
def test_bottoming_out_costs_speed_and_never_turns_the_car_around(speed_mps: float) -> None:
    free_mps = step(rolling(speed_mps), 0.0, 0.0, DT_S, PARAMS).speed_mps
    for bend_1pm, lost_mps in (
        (4.0 / free_mps**2, 0.0),
        (9.0 / free_mps**2, 20.0 * 5.0 * DT_S),
        (10.0, abs(free_mps)),
    ):
        slope = Slope(0.0, bend_1pm)
        after_mps = step(rolling(speed_mps), 0.0, 0.0, DT_S, PARAMS, slope=slope).speed_mps
        assert after_mps == pytest.approx(free_mps * (1.0 - lost_mps / abs(free_mps)))
