"""The pedal quirks of the simulator's car."""

import pytest

from sim_bridge.pedals import CREEP_THROTTLE, RELEASE_THROTTLE, STANDSTILL_MPS, Pedals


def test_stop_brakes_creeps_and_holds():
    pedals = Pedals()
    assert [pedals.stop(speed) for speed in (10.0, 3.0, 2.0, 0.5, 0.2, 0.5, 0.0)] == [
        -1.0, -1.0, CREEP_THROTTLE, CREEP_THROTTLE, 0.0, 0.0, 0.0,
    ]  # fmt: skip


def test_standing_car_that_rolls_off_is_not_driven_backwards():
    pedals = Pedals()
    pedals.stop(0.0)
    assert pedals.stop(STANDSTILL_MPS * 4) == 0.0


def test_runaway_on_a_slope_is_braked_again():
    pedals = Pedals()
    pedals.stop(0.0)
    assert pedals.stop(3.0) == -1.0
    assert pedals.stop(2.0) == CREEP_THROTTLE


def test_held_brake_is_released_with_one_negative_answer():
    pedals = Pedals()
    pedals.drive(3.0, -1.0)
    assert [pedals.drive(2.0, 0.5) for _ in range(3)] == [RELEASE_THROTTLE, 0.5, 0.5]


def test_no_release_after_the_brake_was_let_go_in_time():
    pedals = Pedals()
    pedals.drive(3.0, -1.0)
    pedals.drive(2.5, 0.0)
    assert pedals.drive(2.0, 0.5) == 0.5


def test_release_waits_for_the_wish_to_drive():
    pedals = Pedals()
    pedals.drive(3.0, -1.0)
    assert pedals.drive(2.0, 0.0) == 0.0
    assert pedals.drive(1.0, 0.4) == RELEASE_THROTTLE


@pytest.mark.parametrize('throttle', [-1.0, -0.2, 0.0, 0.7, 1.0])
@pytest.mark.parametrize('speed', [0.0, 1.0, 5.0, 13.0])
def test_normal_driving_passes_through(speed, throttle):
    assert Pedals().drive(speed, throttle) == throttle
