# SPDX-License-Identifier: Apache-2.0
"""The camera that fits a track: a homography on flat ground, a height field on hills."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.relief_camera import ReliefCamera
from sim_bridge.simulator.scenery import Image
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.weather import CLEAR, Weather, WeatherEffect
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import Pinhole

Render = Callable[[Pose, float | None], Image]
"""Function from a car's pose and its place along the lap, m, to an RGB image."""


def make_camera(track: Track, params: Pinhole | None = None, weather: Weather = CLEAR) -> Render:
    """Return the function that renders frames of a track; `params`: Autonomous mode's camera.

    The seed of the track also chooses the random parts of the weather.
    """
    if track.surface is None:
        flat = Camera(track, params)
        if weather == CLEAR:
            return lambda pose, _: flat.render(pose)
        effect, depth_m = WeatherEffect(weather, flat.params, track.seed), flat.depth_m()
        return lambda pose, _: effect(flat.render(pose), depth_m, pose)
    camera = ReliefCamera(track, params)
    if weather == CLEAR:
        return camera.render
    effect = WeatherEffect(weather, camera.params, track.seed)
    depth_m = np.empty((camera.params.height_px, camera.params.width_px), np.float32)
    return lambda pose, near_s_m: effect(camera.render(pose, near_s_m, depth_m), depth_m, pose)
