# SPDX-License-Identifier: Apache-2.0
"""The expert: the law that steers a car along the middle of a track. Pure."""

from __future__ import annotations

import functools
import math

import numpy as np

from sim_bridge.simulator.arrays import FloatArray
from sim_bridge.simulator.track import Track
from steering_net import bicycle_model
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M, Pose, within_lock

LOOK_AHEAD_M = 8.0
_UNDER_CAR_M = 3.0


def pursuit_steering_rad(track: Track, pose: Pose, near_s_m: float | None = None) -> float:
    """Return the steering, rad, that leads a car at `pose` onto the centre line and along it.

    It is the curvature of the road under the car, plus pure pursuit of the point of the middle 8 m
    ahead as if the road went straight on from the rear axle. Pursuit of a point of the road itself
    would cut tight curves. The result is clipped to MAX_STEERING_RAD. `near_s_m` speeds up the
    search, as in `Track.project`.
    """
    axle_x_m = pose.x_m - REAR_AXLE_M * math.cos(pose.yaw_rad)
    axle_y_m = pose.y_m - REAR_AXLE_M * math.sin(pose.yaw_rad)
    near_s_m = None if near_s_m is None else near_s_m - REAR_AXLE_M
    axle = track.project(axle_x_m, axle_y_m, near_s_m)
    road_1pm = float(_curvatures_1pm(track)[track.index(axle.s_m)])
    error_rad = pose.yaw_rad - axle.yaw_rad
    return steering_rad(road_1pm, axle.cross_track_m, error_rad, LOOK_AHEAD_M)


def steering_rad(road_1pm: float, beside_m: float, error_rad: float, look_ahead_m: float) -> float:
    """Return the expert's steering, rad, for a rear axle `beside_m` left of the middle.

    `road_1pm` is the curvature of the road under the car, as `under_car_1pm` returns it, and
    `error_rad` the heading of the car relative to the middle beside its rear axle. The car
    returns to the middle `look_ahead_m` ahead of its origin. All are left positive.
    """
    cos, sin = math.cos(error_rad), math.sin(error_rad)
    reach_m, left_m = look_ahead_m + REAR_AXLE_M, -beside_m
    back_rad = bicycle_model.pursuit_steering_rad(
        cos * reach_m + sin * left_m, cos * left_m - sin * reach_m
    )
    # Beside the middle the way along the road has another radius.
    along_1pm = road_1pm / max(0.2, 1.0 - road_1pm * beside_m)
    unlimited_rad = math.atan(WHEELBASE_M * along_1pm + math.tan(back_rad))
    return within_lock(unlimited_rad)


def under_car_1pm(curvature_1pm: FloatArray, step_m: float) -> FloatArray:
    """Return the curvature of the road under a car whose rear axle is at a sample, (N,).

    `curvature_1pm` (N,) is that of a closed line, `step_m` apart, in the direction of driving.
    """
    count = round(_UNDER_CAR_M / step_m)
    return np.asarray(np.mean([np.roll(curvature_1pm, -k) for k in range(count)], axis=0))


@functools.lru_cache(maxsize=8)
def _curvatures_1pm(track: Track) -> FloatArray:
    return under_car_1pm(track.curvature_1pm, track.step_m)
