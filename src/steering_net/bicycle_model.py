# SPDX-License-Identifier: Apache-2.0
"""Kinematic bicycle model of the car. SI, left positive.

The rear axle moves along an arc, because no tyre slips (Rajamani, Vehicle Dynamics and Control,
2012, chapter 2). Functions of a `Value` take numbers or arrays (n,).
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M, Pose

Value = TypeVar('Value', float, NDArray[np.float64])


def curvature_1pm(steering_rad: Value) -> Value:
    """Return the curvature of the rear axle's path, 1/m."""
    tangent: Value = np.tan(steering_rad)
    return tangent / WHEELBASE_M


def yaw_rate_radps(speed_mps: Value, steering_rad: Value) -> Value:
    """Return how fast the car turns, rad/s, at a speed of the rear axle."""
    return speed_mps * curvature_1pm(steering_rad)


def rear_axle_mps(speed_mps: Value, steering_rad: Value) -> Value:
    """Return the speed of the rear axle for that of the car's origin, which a turn swings out."""
    speed: Value = speed_mps / np.hypot(1.0, REAR_AXLE_M * curvature_1pm(steering_rad))
    return speed


def arc(curvature_1pm: Value, distance_m: Value) -> tuple[Value, Value, Value]:
    """Return where an arc ends: m ahead, m to the left, and rad turned to the left.

    The frame is that of the arc's start, and the arc is the path of the rear axle.
    """
    turn_rad = curvature_1pm * distance_m
    chord_m = distance_m * np.sinc(turn_rad / math.tau)
    return chord_m * np.cos(turn_rad / 2), chord_m * np.sin(turn_rad / 2), turn_rad


def advance(pose: Pose, steering_rad: float, distance_m: float) -> Pose:
    """Return the pose after `distance_m` (of the rear axle) under constant steering.

    The heading of the result is in -pi .. pi.
    """
    ahead_m, left_m, turn_rad = arc(curvature_1pm(steering_rad), distance_m)
    yaw_rad = pose.yaw_rad + turn_rad
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    # The origin lies ahead of the axle, so a turn swings it sideways.
    swing_x_m = REAR_AXLE_M * (math.cos(yaw_rad) - cos)
    swing_y_m = REAR_AXLE_M * (math.sin(yaw_rad) - sin)
    return Pose(
        float(pose.x_m + cos * ahead_m - sin * left_m + swing_x_m),
        float(pose.y_m + sin * ahead_m + cos * left_m + swing_y_m),
        math.remainder(yaw_rad, math.tau),
    )


def pursuit_steering_rad(ahead_m: Value, left_m: Value) -> Value:
    """Return the steering of the arc from the rear axle to a point ahead and left of it.

    Pure pursuit (R. C. Coulter, CMU-RI-TR-92-01, 1992). A point nearer than 1 m counts as 1 m
    away. The result is not limited to MAX_STEERING_RAD.
    """
    curvature = 2.0 * left_m / np.maximum(ahead_m**2 + left_m**2, 1.0)
    steering_rad: Value = np.arctan(WHEELBASE_M * curvature)
    return steering_rad
