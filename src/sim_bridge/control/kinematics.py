"""Dead reckoning: where the car is, from its speed and steering alone. Pure.

It drifts, as every dead reckoning does: for looking at the shape of a drive, not for driving by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M

_LONGEST_STEP_S = 0.2


@dataclass(frozen=True)
class Pose:
    """Of base_link in odom: metres, and rad with left positive, in -pi .. pi."""

    x_m: float = 0.0
    y_m: float = 0.0
    yaw_rad: float = 0.0


def yaw_rate_radps(speed_mps: float, steering_rad: float) -> float:
    """How fast the bicycle model turns, rad/s, left positive."""
    return speed_mps * math.tan(steering_rad) / WHEELBASE_M


def advance(pose: Pose, speed_mps: float, steering_rad: float, dt_s: float) -> Pose:
    """The pose after dt_s seconds on an arc; steps longer than 0.2 s count as a pause.

    The rear axle is what moves along the arc; base_link lies 1.60 m ahead of it.
    """
    if not 0.0 < dt_s <= _LONGEST_STEP_S:
        return pose
    turn = yaw_rate_radps(speed_mps, steering_rad) * dt_s
    middle, yaw = pose.yaw_rad + 0.5 * turn, pose.yaw_rad + turn
    chord_m = speed_mps * dt_s * _sinc(0.5 * turn)
    swing_x = math.cos(yaw) - math.cos(pose.yaw_rad)
    swing_y = math.sin(yaw) - math.sin(pose.yaw_rad)
    return Pose(
        pose.x_m + chord_m * math.cos(middle) + REAR_AXLE_M * swing_x,
        pose.y_m + chord_m * math.sin(middle) + REAR_AXLE_M * swing_y,
        math.remainder(yaw, math.tau),
    )


def _sinc(angle: float) -> float:
    return 1.0 if abs(angle) < 1e-9 else math.sin(angle) / angle
