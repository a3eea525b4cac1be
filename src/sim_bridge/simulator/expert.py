# SPDX-License-Identifier: Apache-2.0
"""Labelled frames of the embedded tracks: camera images with the steering of an expert."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.scenery import Image
from sim_bridge.simulator.track import FloatArray, Track
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from steering_net import bicycle_model
from steering_net.vehicle import MAX_STEERING_RAD, REAR_AXLE_M, WHEELBASE_M, Pose
from steering_net.vision.camera_model import TRAINING_CAMERA, Pinhole
from steering_net.vision.jpeg import through_jpeg

TRAIN_SEEDS = range(1000, 2000)
"""Track seeds for training and validation. They must stay disjoint from TEST_SEEDS."""

TEST_SEEDS = range(0, 100)
"""Track seeds for evaluation. No training may use them."""

LOOK_AHEAD_M = 8.0
MAX_HEADING_ERROR_RAD = 0.35
_EDGE_SHARE = 0.1
_UNDER_CAR_M = 3.0


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame, (160, 320, 3) uint8 RGB, and the expert's steering, rad, left positive."""

    rgb: Image
    steering_rad: float


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
    error_rad = pose.yaw_rad - axle.yaw_rad
    cos, sin = math.cos(error_rad), math.sin(error_rad)
    reach_m, left_m = LOOK_AHEAD_M + REAR_AXLE_M, -axle.cross_track_m
    back_rad = bicycle_model.pursuit_steering_rad(
        cos * reach_m + sin * left_m, cos * left_m - sin * reach_m
    )
    curvatures_1pm = _curvatures_1pm(track)
    road_1pm = float(curvatures_1pm[int(axle.s_m / track.step_m) % len(curvatures_1pm)])
    # Beside the middle the way along the road has another radius.
    along_1pm = road_1pm / max(0.2, 1.0 - road_1pm * axle.cross_track_m)
    steering_rad = math.atan(WHEELBASE_M * along_1pm + math.tan(back_rad))
    return max(-MAX_STEERING_RAD, min(MAX_STEERING_RAD, steering_rad))


@functools.lru_cache(maxsize=8)
def _curvatures_1pm(track: Track) -> FloatArray:
    """Return the curvature of the road under a car whose rear axle is at a sample, (N,)."""
    count = round(_UNDER_CAR_M / track.step_m)
    return np.asarray(np.mean([np.roll(track.curvature_1pm, -k) for k in range(count)], axis=0))


def samples(
    name: TrackName, count: int, rng: np.random.Generator, seen_by: Pinhole = TRAINING_CAMERA
) -> Iterator[Sample]:
    """Yield `count` samples of a track at random poses, JPEG-compressed as on the wire.

    Nine of ten poses lie at least 1 m inside the road's edge, the others up to the edge. The
    heading differs from that of the road by up to 0.35 rad, with a triangular distribution.
    """
    track = open_track(name)
    render = make_camera(track, seen_by)
    for _ in range(count):
        s_m, pose = _random_pose(track, rng)
        yield Sample(
            through_jpeg(render(pose, s_m)),
            pursuit_steering_rad(track, pose, s_m),
        )


def _random_pose(track: Track, rng: np.random.Generator) -> tuple[float, Pose]:
    """Return a place along the lap, m, and a pose there."""
    s_m = float(rng.uniform(0.0, track.length_m))
    half_width_m = float(track.half_width_m[int(s_m / track.step_m) % len(track.half_width_m)])
    reach_m = half_width_m if rng.random() < _EDGE_SHARE else half_width_m - 1.0
    heading_rad = float(rng.triangular(-MAX_HEADING_ERROR_RAD, 0.0, MAX_HEADING_ERROR_RAD))
    return s_m, track.pose(s_m, float(rng.uniform(-reach_m, reach_m)), heading_rad)
