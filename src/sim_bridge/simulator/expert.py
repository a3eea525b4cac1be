# SPDX-License-Identifier: Apache-2.0
"""Labelled frames of the embedded tracks: camera images with the steering of an expert."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from sim_bridge.simulator.camera import JPEG_QUALITY, Camera, encode_jpeg
from sim_bridge.simulator.scenery import Image
from sim_bridge.simulator.track import Track, make_track
from steering_net import vehicle
from steering_net.vehicle import MAX_STEERING_RAD, REAR_AXLE_M, Pose
from steering_net.vision.camera_model import TRAINING_CAMERA, Pinhole

TRAIN_SEEDS = range(1000, 2000)
"""Track seeds for training and validation. They must stay disjoint from TEST_SEEDS."""

TEST_SEEDS = range(0, 100)
"""Track seeds for evaluation. No training may use them."""

LOOK_AHEAD_M = 8.0
MAX_HEADING_ERROR_RAD = 0.35
_EDGE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame, (160, 320, 3) uint8 RGB, and the expert's steering, rad, left positive."""

    rgb: Image
    steering_rad: float


def pursuit_steering_rad(track: Track, pose: Pose, near_s_m: float | None = None) -> float:
    """Return the steering, rad, that leads a car at `pose` onto the centre line.

    It is pure pursuit of the point of the centre line 8 m ahead, clipped to MAX_STEERING_RAD.
    `near_s_m` speeds up the search, as in `Track.project`.
    """
    s_m = track.project(pose.x_m, pose.y_m, near_s_m).s_m
    target = track.pose(s_m + LOOK_AHEAD_M)
    dx_m, dy_m = target.x_m - pose.x_m, target.y_m - pose.y_m
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    steering_rad = vehicle.pursuit_steering_rad(
        dx_m * cos + dy_m * sin + REAR_AXLE_M, dy_m * cos - dx_m * sin
    )
    return max(-MAX_STEERING_RAD, min(MAX_STEERING_RAD, float(steering_rad)))


def samples(
    seed: int, count: int, rng: np.random.Generator, seen_by: Pinhole = TRAINING_CAMERA
) -> Iterator[Sample]:
    """Yield `count` samples of track `seed` at random poses, JPEG-compressed as on the wire.

    Nine of ten poses lie at least 1 m inside the road's edge, the others up to the edge. The
    heading differs from that of the road by up to 0.35 rad, with a triangular distribution.
    """
    track = make_track(seed)
    camera = Camera(track, seen_by)
    for _ in range(count):
        pose = _random_pose(track, rng)
        yield Sample(
            _through_jpeg(camera.render(pose)),
            pursuit_steering_rad(track, pose),
        )


def _random_pose(track: Track, rng: np.random.Generator) -> Pose:
    s_m = float(rng.uniform(0.0, track.length_m))
    half_width_m = float(track.half_width_m[int(s_m / track.step_m) % len(track.half_width_m)])
    reach_m = half_width_m if rng.random() < _EDGE_SHARE else half_width_m - 1.0
    heading_rad = float(rng.triangular(-MAX_HEADING_ERROR_RAD, 0.0, MAX_HEADING_ERROR_RAD))
    return track.pose(s_m, float(rng.uniform(-reach_m, reach_m)), heading_rad)


def _through_jpeg(rgb: Image) -> Image:
    data = np.frombuffer(encode_jpeg(rgb, JPEG_QUALITY), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError('OpenCV cannot read the JPEG that it wrote')
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
