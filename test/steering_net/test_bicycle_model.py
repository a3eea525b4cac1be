# SPDX-License-Identifier: Apache-2.0
"""The bicycle model of the car, its arcs and pure pursuit."""

import math

import numpy as np
import pytest

from steering_net.bicycle_model import (
    advance,
    arc,
    curvature_1pm,
    pursuit_steering_rad,
    yaw_rate_radps,
)
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M, Pose


@pytest.mark.parametrize('steering_rad', [-0.3, 0.0, 1e-9, 0.2])
def test_the_rear_axle_stays_on_a_circle_about_the_same_centre(steering_rad):
    pose = Pose(3.0, -2.0, 1.0)
    for _ in range(50):
        pose = advance(pose, steering_rad, 0.5)
    turned_rad = math.tan(steering_rad) / WHEELBASE_M * 25.0
    assert math.remainder(pose.yaw_rad - 1.0 - turned_rad, math.tau) == pytest.approx(0, abs=1e-9)
    axle = [pose.x_m - REAR_AXLE_M * math.cos(pose.yaw_rad) - 3.0 + REAR_AXLE_M * math.cos(1.0)]
    axle += [pose.y_m - REAR_AXLE_M * math.sin(pose.yaw_rad) + 2.0 + REAR_AXLE_M * math.sin(1.0)]
    chord_m = 25.0 if abs(turned_rad) < 1e-6 else abs(50.0 / turned_rad * math.sin(turned_rad / 2))
    assert math.hypot(*axle) == pytest.approx(chord_m)
    assert all(type(value) is float for value in pose)


def test_many_small_arcs_end_where_one_large_arc_does():
    whole = advance(Pose(), 0.3, 10.0)
    pose = Pose()
    for _ in range(100):
        pose = advance(pose, 0.3, 0.1)
    assert pose == pytest.approx(whole)
    assert advance(whole, 0.3, -10.0) == pytest.approx(Pose(), abs=1e-12)


def test_arcs_of_arrays_are_those_of_numbers():
    curvatures = np.array([-0.1, 0.0, 0.1])
    found = np.stack(arc(curvatures, np.full(3, 5.0)), axis=1)
    np.testing.assert_allclose(found, [arc(one, 5.0) for one in curvatures.tolist()])
    np.testing.assert_allclose(
        found[2], [10 * math.sin(0.5), 10 * (1 - math.cos(0.5)), 0.5], rtol=1e-12
    )


def test_the_yaw_rate_is_that_of_the_arc():
    turn_rad = advance(Pose(), -0.2, 8.0 * 0.01).yaw_rad
    assert yaw_rate_radps(8.0, -0.2) == pytest.approx(turn_rad / 0.01)


@pytest.mark.parametrize('point_m', [(8.0, 3.0), (8.0, 0.0), (2.0, -4.0)])
def test_the_pursuing_arc_passes_through_its_point(point_m):
    curvature = curvature_1pm(pursuit_steering_rad(*point_m))
    to_point_rad = 2 * math.atan2(point_m[1], point_m[0])
    length_m = to_point_rad / curvature if curvature else point_m[0]
    assert arc(curvature, length_m)[:2] == pytest.approx(point_m)


def test_a_point_that_is_almost_reached_turns_the_wheel_little():
    assert abs(pursuit_steering_rad(0.0, 1e-3)) < 0.01
