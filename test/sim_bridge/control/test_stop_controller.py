# SPDX-License-Identifier: Apache-2.0
"""The pedal quirks of the simulator's car, command by command; test_slopes.py drives with them."""

import pytest

from sim_bridge.control.stop_controller import PROBE_THROTTLE, RELEASE_THROTTLE, StopController
from steering_net.vehicle import REVERSE_BELOW_MPS

FRAME_S = 1 / 60


class Driver:
    """Feeds pedals with speeds, one a frame."""

    def __init__(self):
        self.pedals = StopController()
        self.now_s = 0.0

    def measure(self, speed_mps):
        self.now_s += FRAME_S
        self.pedals.measure(self.now_s, speed_mps)

    def drive(self, speed_mps, throttle):
        self.measure(speed_mps)
        return self.pedals.drive(self.now_s, throttle)

    def stop(self, speed_mps):
        self.measure(speed_mps)
        return self.pedals.stop(self.now_s)

    def pull_away(self, to_mps):
        """Drive from a standstill on the level, so that the direction is known."""
        speed_mps = 0.0
        while speed_mps < to_mps:
            assert self.drive(speed_mps, 1.0) == 1.0
            speed_mps += 5.2 * FRAME_S

    def brake(self, from_mps, to_mps):
        """Brake as hard as the car does, down to a speed."""
        speed_mps = from_mps
        while speed_mps > to_mps:
            assert self.drive(speed_mps, -1.0) == -1.0
            speed_mps -= 6.5 * FRAME_S


@pytest.fixture
def driver():
    return Driver()


def test_a_car_that_drives_forward_is_braked_at_once(driver):
    driver.pull_away(8.0)
    assert driver.stop(8.0) == -1.0


def test_a_standing_car_of_which_nothing_is_known_is_let_stand(driver):
    assert {driver.stop(0.0) for _ in range(100)} == {0.0}


def test_an_unknown_direction_is_asked_for_by_a_short_push(driver):
    speed_mps, sent = 5.0, []
    for _ in range(12):
        sent.append(driver.stop(speed_mps))
        speed_mps += FRAME_S * (4.7 if sent[-1] > 0.0 else -7.0)
    assert sent[:2] == [PROBE_THROTTLE] * 2
    assert sent[7:] == [-1.0] * 5


def test_a_car_that_loses_speed_by_the_push_rolls_backwards(driver):
    sent = [driver.stop(5.0 - 5.0 * frame * FRAME_S) for frame in range(30)]
    assert min(sent) >= 0.0


def test_a_car_that_does_not_react_to_the_push_counts_as_driving_forward(driver):
    sent = [driver.stop(5.0) for _ in range(8)]
    assert sent.count(PROBE_THROTTLE) <= 6
    assert sent[-1] == -1.0


def test_held_brake_is_released_for_one_physics_step(driver):
    driver.pull_away(2.8)
    driver.brake(2.8, 2.25)
    assert [driver.drive(2.1, 0.5) for _ in range(4)] == [RELEASE_THROTTLE] * 2 + [0.5] * 2


def test_no_release_after_the_brake_was_let_go_in_time(driver):
    driver.pull_away(3.0)
    driver.drive(3.0, -1.0)
    driver.drive(2.5, 0.0)
    assert driver.drive(2.0, 0.5) == 0.5


def test_release_waits_for_the_wish_to_drive(driver):
    driver.pull_away(2.8)
    driver.brake(2.8, 2.25)
    assert driver.drive(2.15, 0.0) == 0.0
    assert driver.drive(2.05, 0.4) == RELEASE_THROTTLE


def test_a_car_that_does_not_move_in_spite_of_its_throttle_gets_a_release(driver):
    """A person may have driven before and left the brake pressed."""
    sent = [driver.drive(0.0, 0.8) for _ in range(120)]
    assert sent.count(RELEASE_THROTTLE) in (4, 6)
    assert set(sent) == {0.8, RELEASE_THROTTLE}


def test_a_car_that_may_be_held_by_its_throttle_gets_no_release(driver):
    assert {driver.drive(0.0, 0.5) for _ in range(120)} == {0.5}


@pytest.mark.parametrize('throttle', [0.0, 0.7, 1.0])
@pytest.mark.parametrize('speed', [0.0, 1.0, 5.0, 13.0])
def test_normal_driving_passes_through(driver, speed, throttle):
    assert driver.drive(speed, throttle) == throttle


@pytest.mark.parametrize('throttle', [-1.0, -0.2])
@pytest.mark.parametrize('speed', [5.0, 13.0])
def test_braking_while_driving_passes_through(driver, speed, throttle):
    driver.pull_away(speed)
    assert driver.drive(speed, throttle) == throttle


def test_a_person_who_drove_may_have_turned_the_direction(driver):
    driver.pull_away(8.0)
    driver.pedals.forget()
    assert driver.stop(8.0) == PROBE_THROTTLE


def test_the_threshold_is_that_of_the_simulator():
    assert pytest.approx(2.2352) == REVERSE_BELOW_MPS
