# SPDX-License-Identifier: Apache-2.0
"""Dead reckoning: the pose of a car from its speed and yaw rate alone, and how wrong it may be.

The error of dead reckoning grows with the distance. The result shows the shape of a drive; it is
no input for driving. Pure.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from steering_net.bicycle_model import arc, rear_axle_mps, yaw_rate_radps
from steering_net.vehicle import REAR_AXLE_M, Pose

_LONGEST_STEP_S = 0.2
_ALONG_M2PM = 0.03**2
"""Variance of the distance per metre. An odometer of the real simulator was wrong by 1 m a lap."""
_YAW_RAD2PM = 0.005**2
"""Variance of the heading per metre: 10 degrees after a lap of 1137 m. Recordings of the real
simulator did not close by 3 to 22 degrees."""


def base_link_twist(speed_mps: float, steering_rad: float) -> tuple[float, float]:
    """Return speed and yaw rate of base_link, m/s and rad/s, for the speed of the car's origin."""
    axle_mps = rear_axle_mps(speed_mps, steering_rad)
    return float(axle_mps), float(yaw_rate_radps(axle_mps, steering_rad))


def dead_reckoned(pose: Pose, speed_mps: float, yaw_rate_radps: float, dt_s: float) -> Pose:
    """Return the pose of base_link after `dt_s` seconds; the same after a pause of over 0.2 s."""
    if not 0.0 < dt_s <= _LONGEST_STEP_S:
        return pose
    distance_m = speed_mps * dt_s
    curvature_1pm = yaw_rate_radps / speed_mps if distance_m else 0.0
    ahead_m, left_m, turn_rad = arc(curvature_1pm, distance_m)
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    return Pose(
        float(pose.x_m + cos * ahead_m - sin * left_m),
        float(pose.y_m + sin * ahead_m + cos * left_m),
        math.remainder(pose.yaw_rad + turn_rad, math.tau),
    )


def grown(covariance: NDArray[np.float64], before: Pose, after: Pose) -> NDArray[np.float64]:
    """Return the covariance (3, 3) of x, y and yaw after a step of dead reckoning.

    It is that of a random walk of heading and distance, carried along as in a Kalman filter.
    """
    dx_m, dy_m = after.x_m - before.x_m, after.y_m - before.y_m
    step_m = math.hypot(dx_m, dy_m)
    carried = np.array([[1.0, 0.0, -dy_m], [0.0, 1.0, dx_m], [0.0, 0.0, 1.0]])
    cos, sin = math.cos(after.yaw_rad), math.sin(after.yaw_rad)
    along = np.array([[cos * cos, cos * sin, 0.0], [cos * sin, sin * sin, 0.0], [0.0, 0.0, 0.0]])
    added = step_m * _ALONG_M2PM * along
    added[2, 2] = step_m * _YAW_RAD2PM
    result: NDArray[np.float64] = carried @ covariance @ carried.T + added
    return result


def base_link(origin: Pose) -> Pose:
    """Return the pose of base_link, the middle of the rear axle, for that of the car's origin."""
    return Pose(
        origin.x_m - REAR_AXLE_M * math.cos(origin.yaw_rad),
        origin.y_m - REAR_AXLE_M * math.sin(origin.yaw_rad),
        origin.yaw_rad,
    )
