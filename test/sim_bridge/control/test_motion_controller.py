# SPDX-License-Identifier: Apache-2.0
"""A wanted speed and yaw rate, followed by the embedded car on the level and on slopes."""

import math

import pytest

from sim_bridge.control.motion_controller import (
    REVERSE_AT_MOST_MPS,
    Motion,
    MotionController,
    Pedals,
    is_finite,
    wheels_rad,
)
from sim_bridge.control.stop_controller import StopController
from sim_bridge.simulator.vehicle_dynamics import CarParams, CarState, step
from steering_net.bicycle_model import yaw_rate_radps
from steering_net.vehicle import MAX_STEERING_RAD, TOP_SPEED_MPS

STEP_S = 0.02
FRAME_STEPS = 2


class Follower:
    """The embedded car that follows wanted motions, with 25 frames/s."""

    def __init__(self, speed_mps=0.0, grade=0.0):
        self.car = CarState(0.0, 0.0, 0.0, speed_mps)
        self.grade = grade
        self.pedals = StopController()
        self.controller = MotionController(self.pedals)
        self.now_s = 100.0
        self.speeds_mps = []

    def follow(self, wanted, seconds):
        for _ in range(round(seconds / STEP_S / FRAME_STEPS)):
            self.pedals.measure(self.now_s, abs(self.car.speed_mps))
            sent = self.controller.command(self.now_s, self.now_s, wanted)
            for _ in range(FRAME_STEPS):
                self.now_s += STEP_S
                self.car = step(self.car, *sent, STEP_S, CarParams(), self.grade)
                self.speeds_mps.append(self.car.speed_mps)
        return self.car.speed_mps


@pytest.mark.parametrize(
    ('speed_mps', 'grade'), [(0.5, 0.0), (2.0, 0.1), (6.7, 0.0), (6.7, -0.05), (12.0, 0.0)]
)
def test_car_reaches_the_wanted_speed_and_hardly_exceeds_it(speed_mps, grade):
    follower = Follower(grade=grade)
    assert follower.follow(Motion(speed_mps), 12.0) == pytest.approx(speed_mps, abs=0.3)
    assert max(follower.speeds_mps) < speed_mps + 1.0


@pytest.mark.parametrize('start_mps', [0.0, 6.0])
def test_car_that_drives_forward_brakes_then_reverses_at_the_wanted_speed(start_mps):
    follower = Follower(start_mps)
    follower.follow(Motion(start_mps), 1.0)
    assert follower.follow(Motion(-1.0), 10.0) == pytest.approx(-1.0, abs=0.3)
    assert min(follower.speeds_mps) > -REVERSE_AT_MOST_MPS
    assert follower.follow(Motion(2.0), 8.0) == pytest.approx(2.0, abs=0.3)


def test_reverse_is_never_faster_than_its_limit():
    follower = Follower()
    follower.follow(Motion(-10.0), 10.0)
    assert min(follower.speeds_mps) > -REVERSE_AT_MOST_MPS - 0.6


@pytest.mark.parametrize(('start_mps', 'grade'), [(8.0, 0.0), (1.0, 0.08)])
def test_wanted_speed_of_zero_stops_the_car_and_holds_it(start_mps, grade):
    follower = Follower(start_mps, grade)
    follower.follow(Motion(start_mps), 1.0)
    follower.follow(Motion(0.0, yaw_rate_radps=1.0), 6.0)
    del follower.speeds_mps[:]
    follower.follow(Motion(0.0), 5.0)
    assert max(map(abs, follower.speeds_mps)) < 0.3


def test_negative_throttle_of_a_joystick_never_reverses():
    follower = Follower(6.0)
    follower.follow(Pedals(0.0, 0.3), 0.5)
    follower.follow(Pedals(0.0, -0.4), 8.0)
    assert min(follower.speeds_mps) > -0.3


@pytest.mark.parametrize('speed_mps', [-2.0, 1.5, 5.0, 13.0])
def test_yaw_rate_is_that_of_the_bicycle_model_at_the_present_speed(speed_mps):
    wanted = 0.1
    steering_rad = wheels_rad(Motion(speed_mps, yaw_rate_radps=wanted), speed_mps)
    assert yaw_rate_radps(speed_mps, steering_rad) == pytest.approx(wanted)


def test_standing_car_turns_its_wheels_to_the_side_that_it_will_drive_to():
    assert 0.0 < wheels_rad(Motion(0.5, yaw_rate_radps=0.1), 0.0) < MAX_STEERING_RAD
    assert wheels_rad(Motion(0.5, yaw_rate_radps=1.0), 0.0) == MAX_STEERING_RAD
    assert wheels_rad(Motion(-0.5, yaw_rate_radps=1.0), 0.0) == -MAX_STEERING_RAD
    still_forward = wheels_rad(Motion(-0.5, yaw_rate_radps=0.1), 3.0)
    assert still_forward == wheels_rad(Motion(-0.5, yaw_rate_radps=0.1), 0.0)


def test_values_are_limited_to_those_of_the_car():
    follower = Follower()
    assert wheels_rad(Motion(1.0, steering_rad=9.0), 1.0) == MAX_STEERING_RAD
    assert follower.controller.command(0.0, 0.0, Pedals(-9.0, 9.0)) == (-MAX_STEERING_RAD, 1.0)
    follower.follow(Motion(99.0), 6.0)
    assert follower.car.speed_mps <= TOP_SPEED_MPS


@pytest.mark.parametrize('reason', ['another driver', 'a stop'])
def test_error_of_before_is_forgotten(reason):
    follower = Follower(grade=0.15)
    follower.follow(Motion(5.0), 8.0)
    if reason == 'a stop':
        follower.controller.command(follower.now_s, follower.now_s, Motion(0.0))
    else:
        follower.controller.forget()
    fresh = Follower(5.0, 0.15)
    for one in (follower, fresh):
        one.pedals.measure(one.now_s, 5.0)
    sent = [one.controller.command(one.now_s, one.now_s, Motion(5.5)) for one in (follower, fresh)]
    assert sent[0].throttle == sent[1].throttle == pytest.approx(0.25)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_found(value):
    assert not is_finite(Motion(value))
    assert not is_finite(Motion(1.0, steering_rad=value))
    assert not is_finite(Pedals(0.0, value))
    assert is_finite(Motion(1.0))
