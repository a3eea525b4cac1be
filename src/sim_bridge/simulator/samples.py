# SPDX-License-Identifier: Apache-2.0
"""Labelled frames of the embedded tracks: camera images with the steering of the expert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim_bridge.simulator.arrays import Image
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import TRAINING_CAMERA, Pinhole
from steering_net.vision.jpeg import through_jpeg

MAX_HEADING_ERROR_RAD = 0.35
_EDGE_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame, (160, 320, 3) uint8 RGB, and the expert's steering, rad, left positive."""

    rgb: Image
    steering_rad: float


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
    half_width_m = float(track.half_width_m[track.index(s_m)])
    reach_m = half_width_m if rng.random() < _EDGE_SHARE else half_width_m - 1.0
    heading_rad = float(rng.triangular(-MAX_HEADING_ERROR_RAD, 0.0, MAX_HEADING_ERROR_RAD))
    return s_m, track.pose(s_m, float(rng.uniform(-reach_m, reach_m)), heading_rad)
