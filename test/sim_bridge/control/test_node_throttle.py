# SPDX-License-Identifier: Apache-2.0
"""The throttle of drives without nodes."""

import pytest

from sim_bridge.control.node_throttle import NodeThrottle
from sim_bridge.simulator.vehicle_dynamics import CarParams, CarState, step
from steering_net.vehicle import MAX_STEERING_RAD


def rolling(throttle, seconds=6.0):
    """A function that returns the throttle for each frame of a car, which drives for a while."""
    state, time_s = CarState(0.0, 0.0, 0.0), 0.0

    def next_frame(steering_rad=0.0):
        nonlocal state, time_s
        value = throttle(time_s, abs(state.speed_mps), steering_rad)
        for _ in range(2):
            state = step(state, steering_rad, value, 0.02, CarParams())
        time_s += 0.04
        return value

    while time_s < seconds:
        next_frame()
    return next_frame


def test_it_drives_at_the_limit_and_brakes_when_the_limit_is_lowered():
    throttle = NodeThrottle(8.0)
    next_frame = rolling(throttle)
    assert throttle.limit_mps == 8.0
    assert next_frame() == pytest.approx(0.16, abs=0.1)
    throttle.limit_mps = 4.0
    assert next_frame() < 0.0


def test_a_curve_lowers_the_limit_from_the_next_frame_on_if_there_is_a_lateral_limit():
    curve, free = rolling(NodeThrottle(8.0)), rolling(NodeThrottle(8.0, 0.0))
    assert curve(MAX_STEERING_RAD) == free(MAX_STEERING_RAD) > 0.0
    assert curve(MAX_STEERING_RAD) < 0.0 < free(MAX_STEERING_RAD)
