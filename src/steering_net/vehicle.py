# SPDX-License-Identifier: Apache-2.0
"""The simulator's car: its dimensions, limits and accelerations. SI, left positive."""

import math
from typing import NamedTuple

WHEELBASE_M = 2.87
REAR_AXLE_M = 1.60
"""Distance from the car's origin back to the rear axle, where base_link is."""
TRACK_M = 2.0
"""Distance between the left and the right wheels."""
FRONT_WHEEL_M = 0.335
REAR_WHEEL_M = 0.37
"""Radii of the wheels."""
MASS_KG = 1000.0
PHYSICS_STEP_S = 0.02
"""Step of the simulator's physics, Unity's default. A reported speed is up to one step old."""

MAX_STEERING_RAD = math.radians(25.0)
"""Largest steering angle, to either side."""
RECORDER_STEERING_RAD = -round(MAX_STEERING_RAD, 8)
"""rad, left positive, per unit of recorded steering, which is -1..1, right positive.

Most networks put out that unit. Rounded, because their sidecars hold it with eight decimals.
"""
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


def within_lock(steering_rad: float) -> float:
    """Return the angle, rad, to which the wheels turn for a wanted one."""
    return max(-MAX_STEERING_RAD, min(MAX_STEERING_RAD, steering_rad))


class Pose(NamedTuple):
    """Pose of the car's origin in a fixed frame: m, m, and rad from the x axis to the left."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0
