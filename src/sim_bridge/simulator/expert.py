"""Labelled pictures of the embedded tracks: what the camera sees and how an expert would steer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from sim_bridge.simulator.camera import JPEG_QUALITY, Camera, encode_jpeg
from sim_bridge.simulator.scenery import Image
from sim_bridge.simulator.track import Pose, Track, make_track
from sim_bridge.simulator.vehicle_dynamics import CarParams
from steering_net.vision.camera_model import TRAINING_CAMERA, Pinhole

TRAIN_SEEDS = range(1000, 2000)
"""Track seeds for training and validation. Disjoint from TEST_SEEDS, and must stay so."""

TEST_SEEDS = range(0, 100)
"""Track seeds for evaluation, which no training may see. Disjoint from TRAIN_SEEDS."""

LOOK_AHEAD_M = 8.0
MAX_HEADING_ERROR_RAD = 0.35
_CAR = CarParams()
_EDGE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture, (160, 320, 3) uint8 RGB, and the expert's steering, left positive."""

    rgb: Image
    steering_rad: float


def pursuit_steering_rad(track: Track, pose: Pose, near_s_m: float | None = None) -> float:
    """Return the steering that leads a car at `pose` onto the centre line.

    Pure pursuit (R. C. Coulter, CMU-RI-TR-92-01, 1992): the arc from the rear axle through the
    point of the centre line 8 m ahead, at bearing alpha and distance l from the axle, has the
    curvature 2 sin(alpha) / l; a bicycle drives it with atan(wheelbase * curvature). Clipped to
    the car's lock. `near_s_m` speeds up the search, as in `Track.project`.
    """
    s_m = track.project(pose.x_m, pose.y_m, near_s_m).s_m
    target = track.pose(s_m + LOOK_AHEAD_M)
    dx_m = target.x_m - (pose.x_m - _CAR.rear_axle_m * math.cos(pose.yaw_rad))
    dy_m = target.y_m - (pose.y_m - _CAR.rear_axle_m * math.sin(pose.yaw_rad))
    left_m = dy_m * math.cos(pose.yaw_rad) - dx_m * math.sin(pose.yaw_rad)
    curvature_1pm = 2.0 * left_m / (dx_m * dx_m + dy_m * dy_m)
    steering_rad = math.atan(_CAR.wheelbase_m * curvature_1pm)
    return max(-_CAR.max_steering_rad, min(_CAR.max_steering_rad, steering_rad))


def samples(
    seed: int, count: int, rng: np.random.Generator, seen_by: Pinhole = TRAINING_CAMERA
) -> Iterator[Sample]:
    """Yield `count` samples of track `seed`, anywhere on its road, compressed as on the wire.

    Nine of ten lie at least 1 m inside the road's edge, one up to the edge; the heading differs
    from the road's by up to 0.35 rad, mostly by less.
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
