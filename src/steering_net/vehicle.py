# SPDX-License-Identifier: Apache-2.0
"""The simulator's car: its dimensions, limits, accelerations and bicycle model. SI, left positive.

The car turns as the kinematic bicycle model does: the rear axle moves along an arc, because no
tyre slips (Rajamani, Vehicle Dynamics and Control, 2012, chapter 2). Functions of a `Value` take
numbers or arrays (n,).
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar('Value', float, NDArray[np.float64])

WHEELBASE_M = 2.87
REAR_AXLE_M = 1.60
"""Distance from the car's origin back to the rear axle, where base_link is."""
TRACK_M = 2.0
"""Distance between the left and the right wheels."""
FRONT_WHEEL_M = 0.335
REAR_WHEEL_M = 0.37
"""Radii of the wheels."""
MASS_KG = 1000.0

MAX_STEERING_RAD = math.radians(25.0)
"""Largest steering angle, to either side."""
TOP_SPEED_MPS = 13.4112
"""Largest speed: 30 mph in the simulator's source."""
REVERSE_BELOW_MPS = 2.2352
"""Below this speed a negative throttle drives the car backwards: 5 mph in the source."""

# Accelerations on the level, fitted to recordings of the real simulator.
DRIVE_MPS2 = 5.2
"""Acceleration at full throttle from a standstill."""
REVERSE_MPS2 = 1.5
"""Backward acceleration at throttle -1 while the car is slow or rolls backwards."""
BRAKE_MPS2 = 50.0
"""Deceleration per unit of negative throttle, as far as the tyres transmit it."""
BRAKE_GRIP_MPS2 = 6.5
"""Largest deceleration that the tyres transmit."""
DRAG_1PS = 0.1
"""Deceleration per speed of a car that coasts."""
GRAVITY_MPS2 = 9.81


class Pose(NamedTuple):
    """Pose of the car's origin in a fixed frame: m, m, and rad from the x axis to the left."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0


def curvature_1pm(steering_rad: Value) -> Value:
    """Return the curvature of the rear axle's path, 1/m."""
    tangent: Value = np.tan(steering_rad)
    return tangent / WHEELBASE_M


def yaw_rate_radps(speed_mps: Value, steering_rad: Value) -> Value:
    """Return how fast the car turns, rad/s."""
    return speed_mps * curvature_1pm(steering_rad)


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
