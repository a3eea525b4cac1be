# SPDX-License-Identifier: Apache-2.0
"""Speed laws, alone and with the embedded simulator's car."""

import math

import pytest

from sim_bridge.control.speed_controller import (
    PiController,
    PiGains,
    SpeedController,
    curve_limit_mps,
    proportional,
)
from sim_bridge.control.stop_controller import StopController
from sim_bridge.simulator.vehicle_dynamics import CarParams, CarState, step
from steering_net.vehicle import WHEELBASE_M

DT_S = 1 / 60


@pytest.mark.parametrize(
    ('speed', 'limit', 'throttle'),
    [(0, 10, 1.0), (5, 10, 0.5), (10, 10, 0.0), (20, 10, -1.0), (40, 10, -1.0), (1, 0, -1.0)],
)
def test_proportional_is_the_seed_law(speed, limit, throttle):
    assert proportional(speed, limit) == pytest.approx(throttle)


def drive(law, limit, seconds=60.0):
    """Speeds of the real car's model on the flat, straight ahead, under a law."""
    state, speeds, pedals = CarState(0.0, 0.0, 0.0), [], StopController()
    for frame in range(int(seconds / DT_S)):
        pedals.measure(frame * DT_S, abs(state.speed_mps))
        throttle = pedals.drive(frame * DT_S, law(abs(state.speed_mps), limit))
        state = step(state, 0.0, throttle, DT_S, CarParams())
        speeds.append(state.speed_mps)
    return speeds


@pytest.mark.slow
@pytest.mark.parametrize('limit', [2.0, 6.7, 13.4])
def test_proportional_settles_below_the_limit(limit):
    speeds = drive(proportional, limit)
    assert max(speeds) <= limit
    assert speeds[-1] > 0.5 * limit


@pytest.mark.slow
@pytest.mark.parametrize('limit', [2.0, 6.7, 13.0])
def test_pi_reaches_the_limit_and_overshoots_at_most_5_percent(limit):
    pi = PiController(PiGains())
    speeds = drive(lambda speed, wanted: pi.throttle(speed, wanted, DT_S), limit)
    assert max(speeds) <= 1.05 * limit
    assert speeds[-1] == pytest.approx(limit, rel=0.03)


def test_pi_does_not_wind_up_while_saturated():
    pi = PiController(PiGains(kp=0.5, ki=0.1))
    for _ in range(1000):
        assert pi.throttle(0.0, 10.0, 0.1) == 1.0
    assert pi.throttle(10.5, 10.0, 0.1) < 0.0


def test_pi_lets_go_of_full_throttle_when_the_limit_is_exceeded():
    pi = PiController(PiGains(kp=0.0, ki=1.0))
    assert pi.throttle(0.0, 10.0, 0.2) == 1.0
    throttles = [pi.throttle(11.0, 10.0, 0.2) for _ in range(30)]
    assert throttles[0] == 1.0
    assert throttles[-1] == -1.0


@pytest.mark.parametrize('field', ['kp', 'ki'])
@pytest.mark.parametrize('value', [-0.1, math.nan, math.inf])
def test_bad_gain_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        PiGains(**{field: value})


@pytest.mark.parametrize('steering', [-0.2, 0.05, 0.4])
def test_curve_limit_keeps_lateral_acceleration(steering):
    limited = curve_limit_mps(30.0, steering, 2.0)
    radius = WHEELBASE_M / math.tan(abs(steering))
    assert limited**2 / radius == pytest.approx(2.0)


def test_curve_limit_off_straight_or_not_reached():
    assert curve_limit_mps(10.0, 0.3, 0.0) == 10.0
    assert curve_limit_mps(10.0, 0.0, 2.0) == 10.0
    assert curve_limit_mps(1.0, 0.1, 2.0) == 1.0


def test_each_cruise_has_a_past_of_its_own():
    gains = PiGains(kp=0.1, ki=0.1)
    worn, fresh = (SpeedController(6.0, pi=PiController(gains)) for _ in range(2))
    for tenth in range(20):
        worn.throttle(5.0, 100.0 + tenth / 10)
    assert fresh.throttle(5.0, 102.0) == pytest.approx(0.1)
    assert worn.throttle(5.0, 102.0) == pytest.approx(0.1 + 0.1 * 2.0, abs=1e-6)


def test_cruise_slows_down_for_curves():
    cruise = SpeedController(10.0, lateral_limit_mps2=2.0)
    assert cruise.throttle(5.0, 0.0) == 0.5
    cruise.steering_rad = 0.4
    assert cruise.throttle(5.0, 0.1) < 0.0
    assert cruise.throttle(1.0, 0.2) > 0.0


@pytest.mark.parametrize('speed', [0.1, 2.0, 5.0])
def test_a_limit_of_nothing_means_to_brake_at_every_speed(speed):
    assert SpeedController(0.0).throttle(speed, 0.0) == -1.0


def test_error_that_was_accumulated_is_forgotten():
    controller = SpeedController(6.0, pi=PiController(PiGains(0.5, 0.1)))
    for tenth in range(100):
        controller.throttle(5.5, tenth * 0.1)
    assert controller.throttle(5.5, 10.0) > 0.7
    controller.forget()
    assert controller.throttle(5.5, 60.0) == pytest.approx(0.25)
    SpeedController(6.0).forget()


def integral_throttle(*times_s):
    """Throttle for an error of 1 m/s at the last of these times, by the integral alone."""
    controller = SpeedController(6.0, pi=PiController(PiGains(kp=0.0, ki=0.1)))
    return [controller.throttle(5.0, time_s) for time_s in times_s][-1]


def test_error_is_accumulated_over_the_time_between_two_speeds():
    assert integral_throttle(50.0) == 0.0, 'the first speed has no time before it'
    assert integral_throttle(50.0, 50.1, 50.2) == pytest.approx(0.1 * 0.2)


def test_pause_of_the_simulator_is_hardly_any_time():
    assert integral_throttle(50.0, 110.0) == pytest.approx(0.1 * 0.2)


def test_clock_that_was_set_back_counts_as_no_time():
    assert integral_throttle(50.0, 20.0) == 0.0
    assert integral_throttle(50.0, 20.0, 20.1) == pytest.approx(0.1 * 0.1)


def test_other_gains_keep_the_error_that_was_accumulated():
    controller = SpeedController(6.0, pi=PiController(PiGains(kp=0.0, ki=0.1)))
    for tenth in range(11):
        controller.throttle(5.0, tenth / 10)
    controller.set_gains(PiGains(kp=0.0, ki=0.2))
    assert controller.throttle(5.0, 1.0) == pytest.approx(0.2 * 1.0)
