# SPDX-License-Identifier: Apache-2.0
"""Labelled frames of the embedded tracks: camera images with the steering of an expert."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from sim_bridge.simulator.camera import JPEG_QUALITY, encode_jpeg
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.scenery import Image
from sim_bridge.simulator.track import FloatArray, Track
from sim_bridge.simulator.tracks import TrackName, open_track
from steering_net import vehicle
from steering_net.vehicle import MAX_STEERING_RAD, REAR_AXLE_M, Pose
from steering_net.vision.camera_model import TRAINING_CAMERA, Pinhole

TRAIN_SEEDS = range(1000, 2000)
"""Track seeds for training and validation. They must stay disjoint from TEST_SEEDS."""

TEST_SEEDS = range(0, 100)
"""Track seeds for evaluation. No training may use them."""

LOOK_AHEAD_M = (4.5, 8.0)
_LOOK_AHEAD_RADII = 0.4
_TURN_SEEN_M = 10.0
_SMOOTHED_M = 5.0
MAX_HEADING_ERROR_RAD = 0.35
_EDGE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame, (160, 320, 3) uint8 RGB, and the expert's steering, rad, left positive."""

    rgb: Image
    steering_rad: float


def pursuit_steering_rad(track: Track, pose: Pose, near_s_m: float | None = None) -> float:
    """Return the steering, rad, that leads a car at `pose` onto the centre line.

    It is pure pursuit of a point of the centre line ahead, clipped to MAX_STEERING_RAD. The point
    is 8 m ahead, and down to 4.5 m before and in curves with a radius below 20 m, because the car
    would cut them. `near_s_m` speeds up the search, as in `Track.project`.
    """
    s_m = track.project(pose.x_m, pose.y_m, near_s_m).s_m
    distances_m = _look_ahead_m(track)
    target = track.pose(s_m + float(distances_m[int(s_m / track.step_m) % len(distances_m)]))
    dx_m, dy_m = target.x_m - pose.x_m, target.y_m - pose.y_m
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    steering_rad = vehicle.pursuit_steering_rad(
        dx_m * cos + dy_m * sin + REAR_AXLE_M, dy_m * cos - dx_m * sin
    )
    return max(-MAX_STEERING_RAD, min(MAX_STEERING_RAD, float(steering_rad)))


@functools.lru_cache(maxsize=8)
def _look_ahead_m(track: Track) -> FloatArray:
    """Return the distance to the point that the expert pursues, (N,), m."""
    bends_1pm = np.abs(track.curvature_1pm)
    seen = round(_TURN_SEEN_M / track.step_m)
    tightest_1pm = _windows(bends_1pm, 0, seen).max(axis=1)
    distance_m = np.clip(_LOOK_AHEAD_RADII / np.maximum(tightest_1pm, 1e-6), *LOOK_AHEAD_M)
    half = round(_SMOOTHED_M / track.step_m / 2)
    return np.asarray(_windows(distance_m, half, half + 1).mean(axis=1))


def _windows(values: FloatArray, before: int, after: int) -> FloatArray:
    """Return for each of the (N,) values of a lap those around it, (N, before + after)."""
    index = np.arange(len(values))[:, None] + np.arange(-before, after)
    return np.asarray(values[index % len(values)])


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


def through_jpeg(rgb: Image) -> Image:
    """Return a frame after the JPEG compression of the wire."""
    data = np.frombuffer(encode_jpeg(rgb, JPEG_QUALITY), np.uint8)
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError('OpenCV cannot read the JPEG that it wrote')
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _random_pose(track: Track, rng: np.random.Generator) -> tuple[float, Pose]:
    """Return a place along the lap, m, and a pose there."""
    s_m = float(rng.uniform(0.0, track.length_m))
    half_width_m = float(track.half_width_m[int(s_m / track.step_m) % len(track.half_width_m)])
    reach_m = half_width_m if rng.random() < _EDGE_SHARE else half_width_m - 1.0
    heading_rad = float(rng.triangular(-MAX_HEADING_ERROR_RAD, 0.0, MAX_HEADING_ERROR_RAD))
    return s_m, track.pose(s_m, float(rng.uniform(-reach_m, reach_m)), heading_rad)
