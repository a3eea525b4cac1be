# SPDX-License-Identifier: Apache-2.0
"""The camera that fits a track: a homography on flat ground, a height field with terrain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sim_bridge.simulator.arrays import Floats, Image
from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.relief_camera import ReliefCamera
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.weather import CLEAR, Weather
from sim_bridge.simulator.weather_effects import WeatherEffect
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import Pinhole

Render = Callable[[Pose, float | None], Image]
"""Function from a car's pose and its place along the lap, m, to an RGB image."""


class TrackCamera:
    """The camera of one track in one weather; calling it is a `Render`. Not thread-safe."""

    def __init__(
        self,
        draw: Callable[[Pose, float | None, Floats | None], Image],
        depth_m: Floats,
        effect: WeatherEffect | None = None,
    ) -> None:
        """`draw` renders a frame in clear weather; it may write the depth of each pixel.

        `depth_m` (height, width) is where it writes, and holds the depth if it does not.
        """
        self._draw, self._depth_m, self._effect = draw, depth_m, effect

    def __call__(self, pose: Pose, near_s_m: float | None) -> Image:
        """Return the frame of a car at a pose and a place along the lap, m."""
        if self._effect is None:
            return self._draw(pose, near_s_m, None)
        return self._effect(self._draw(pose, near_s_m, self._depth_m), self._depth_m, pose)

    def restart(self) -> None:
        """Begin anew with the drops, flakes and noise of the first frame."""
        if self._effect is not None:
            self._effect.restart()


def make_camera(
    track: Track, params: Pinhole | None = None, weather: Weather = CLEAR
) -> TrackCamera:
    """Paint the scenery of a track, 0.5 s; `params`: the camera, by default Autonomous mode's.

    The seed of the track also chooses the random parts of the weather.
    """
    camera = Camera(track, params) if track.surface is None else ReliefCamera(track, params)
    effect = None if weather == CLEAR else WeatherEffect(weather, camera.params, track.seed)
    if isinstance(camera, Camera):
        flat = camera
        return TrackCamera(lambda pose, _, __: flat.render(pose), flat.depth_m(), effect)
    depth_m = np.empty((camera.params.height_px, camera.params.width_px), np.float32)
    return TrackCamera(camera.render, depth_m, effect)
