# SPDX-License-Identifier: Apache-2.0
"""The camera that fits a track: a homography on flat ground, a height field on hills."""

from __future__ import annotations

from collections.abc import Callable

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.relief_camera import ReliefCamera
from sim_bridge.simulator.scenery import Image
from sim_bridge.simulator.track import Track
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import Pinhole

Render = Callable[[Pose, float | None], Image]
"""Function from a car's pose and its place along the lap, m, to an RGB image."""


def make_camera(track: Track, params: Pinhole | None = None) -> Render:
    """Return the function that renders frames of a track; `params`: Autonomous mode's camera."""
    if track.surface is not None:
        return ReliefCamera(track, params).render
    camera = Camera(track, params)
    return lambda pose, _: camera.render(pose)
