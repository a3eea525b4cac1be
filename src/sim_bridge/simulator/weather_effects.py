# SPDX-License-Identifier: Apache-2.0
"""Effects of weather: fog, rain, low sun, dusk, snow and night, applied to a rendered frame.

An effect needs the frame, the depth of each pixel and the pose of the car. What lies on the ground
(snow, wet patches, shadows) stays in its place in the world. Drops, flakes and noise differ
between frames; the same seed and the same frames give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from sim_bridge.simulator.air import (
    GroundTile,
    Particles,
    Scene,
    SensorNoise,
    decay,
    desaturate,
    elevations,
    fade,
    planes,
    scene_maker,
    tint,
)
from sim_bridge.simulator.arrays import Floats, Image
from sim_bridge.simulator.camera import FAR_M
from sim_bridge.simulator.weather import KINDS, Weather
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import Pinhole

_SUN_ELEVATION_RAD = 0.13
_RAIN_GREY = (158.0, 162.0, 168.0)
_SNOW_WHITE = (226.0, 229.0, 234.0)
_FOG_WHITE = (201.0, 204.0, 206.0)
_WIPED_FRAMES = 40
"""Frames after which the drops on the lens are others."""


class WeatherEffect:
    """Changes the frames of one camera as weather does. Not thread-safe."""

    def __init__(self, weather: Weather, camera: Pinhole, seed: int) -> None:
        """`weather` must not be clear. `seed` chooses drops, flakes, noise and the sun's place."""
        rng = np.random.default_rng([seed, KINDS.index(weather.kind), 11])
        self._apply = _EFFECTS[weather.kind](camera, weather.strength - 1, rng)
        self._scenes = scene_maker(camera)
        self._frame = 0

    def restart(self) -> None:
        """Begin anew with the first frame."""
        self._frame = 0

    def __call__(self, image: Image, depth_m: Floats, pose: Pose) -> Image:
        """Return the frame, uint8 (height, width, 3) RGB, in this weather.

        `depth_m` (height, width) is how far ahead of the camera each pixel is, FAR_M for the sky.
        """
        scene = self._scenes(image, depth_m, pose, self._frame)
        self._frame += 1
        self._apply(scene)
        rounded = cv2.addWeighted(scene.image, 1.0, scene.image, 0.0, 0.0, dtype=cv2.CV_8U)
        return np.asarray(rounded, np.uint8)


Apply = Callable[[Scene], None]


def _fog(_camera: Pinhole, level: int, _rng: np.random.Generator) -> Apply:
    """Return fog with a visibility of 80, 40 or 20 m."""
    visibility_m = (80.0, 40.0, 20.0)[level]

    def apply(scene: Scene) -> None:
        desaturate(scene.image, 0.25)
        fade(scene, _FOG_WHITE, visibility_m)

    return apply


def _rain(camera: Pinhole, level: int, rng: np.random.Generator) -> Apply:
    """Return rain: dark and hazy air, streaks, a shining road, and drops on the lens."""
    streaks = Particles.streaks(camera, (90, 200, 380)[level], rng)
    lenses = [_drops(camera, (5, 12, 24)[level], rng) for _ in range(4)]
    shine = _grazing(camera) * (0.35, 0.55, 0.75)[level]
    mirror = _mirror(camera)
    gain, visibility_m = (0.82, 0.68, 0.54)[level], (260.0, 140.0, 75.0)[level]
    noise = SensorNoise(camera, 1.5 + level, rng)
    grey = gain * _RAIN_GREY[0], gain * _RAIN_GREY[1], gain * _RAIN_GREY[2]
    puddles = GroundTile.blotches(rng, texel_m=0.5, scales=(9, 4))

    def apply(scene: Scene) -> None:
        desaturate(scene.image, 0.35)
        scene.image *= gain
        fade(scene, grey, visibility_m)
        wet = shine * (0.4 + 0.6 * puddles.at(scene)) * scene.is_ground
        reflected = cv2.remap(scene.image, *mirror, cv2.INTER_LINEAR)
        scene.blend(np.asarray(reflected, np.float32), wet)
        scene.image += 46.0 * streaks.next(scene.frame)[..., None]
        scene.blend(scene.blurred(8) * 1.12, lenses[scene.frame // _WIPED_FRAMES % len(lenses)])
        noise.add(scene)

    return apply


def _sun(camera: Pinhole, level: int, rng: np.random.Generator) -> Apply:
    """Return a low sun: glare towards it, warm light from behind, and long shadows."""
    azimuth_rad = float(rng.uniform(-np.pi, np.pi))
    image_from_ray = np.linalg.inv(camera.ray_from_image())
    shadows = GroundTile.blotches(
        rng, texel_m=0.5, scales=(5, 3), stretch=9.0, azimuth_rad=azimuth_rad
    )
    strength, depth = (0.55, 0.8, 1.0)[level], (0.3, 0.45, 0.6)[level]
    u, v = np.meshgrid(
        np.arange(camera.width_px, dtype=np.float32), np.arange(camera.height_px, dtype=np.float32)
    )

    def apply(scene: Scene) -> None:
        near = scene.is_ground * decay(scene.depth_m, 40.0)
        scene.dim(1.0 - depth * _ramp(shadows.at(scene), 0.5, 0.62) * near)
        turn_rad = azimuth_rad - scene.pose.yaw_rad
        ahead, left = np.cos(turn_rad), np.sin(turn_rad)
        towards = max(0.0, float(ahead))
        exposure = 1.08 - 0.55 * strength * towards**2
        tint(scene.image, (1.08 * exposure, exposure, 0.86 * exposure))
        if ahead < 0.15:
            return
        sun = image_from_ray @ (ahead, left, -np.tan(_SUN_ELEVATION_RAD))
        across, down = u - np.float32(sun[0] / sun[2]), v - np.float32(sun[1] / sun[2])
        square = np.square(across) + np.square(down)
        glare = 105.0 * decay(np.sqrt(square), 130.0) + 420.0 * decay(square, 400.0)
        path = decay(np.square(across), 2600.0) * scene.is_ground
        glare += 90.0 * path * decay(scene.depth_m, 60.0)
        glare += 46.0 * towards**4
        glare *= np.float32(strength)
        scene.image += planes(glare, glare * np.float32(0.93), glare * np.float32(0.74))

    return apply


def _dusk(camera: Pinhole, level: int, rng: np.random.Generator) -> Apply:
    """Return dusk: little and bluish light, a brighter sky, and the noise of the sensor."""
    gain = (0.5, 0.3, 0.16)[level]
    noise = SensorNoise(camera, (2.5, 4.5, 7.0)[level], rng)

    def apply(scene: Scene) -> None:
        desaturate(scene.image, 0.2 + 0.15 * level)
        tint(scene.image, (0.88 * gain, 0.92 * gain, 1.1 * gain))
        scene.image[scene.depth_m >= FAR_M] *= (2.0, 1.6, 1.3)
        noise.add(scene)

    return apply


def _snow(camera: Pinhole, level: int, rng: np.random.Generator) -> Apply:
    """Return snow: white patches on all ground, flakes, and hazy air."""
    flakes = Particles.flakes(camera, (90, 220, 450)[level], rng)
    cover = GroundTile.blotches(rng, texel_m=0.25, scales=(14, 6, 3))
    edge, visibility_m = (0.6, 0.48, 0.36)[level], (200.0, 100.0, 50.0)[level]
    most = (0.6, 0.78, 0.9)[level]
    white = np.full((camera.height_px, camera.width_px, 3), _SNOW_WHITE, np.float32)

    def apply(scene: Scene) -> None:
        desaturate(scene.image, 0.4)
        scene.blend(white, most * _ramp(cover.at(scene), edge, edge + 0.14) * scene.is_ground)
        fade(scene, _SNOW_WHITE, visibility_m)
        scene.blend(white * 1.08, flakes.next(scene.frame))

    return apply


def _night(camera: Pinhole, level: int, rng: np.random.Generator) -> Apply:
    """Return night: headlights that reach 34, 22 or 13 m, and hardly any other light."""
    ambient, reach_m = (0.13, 0.07, 0.04)[level], (34.0, 22.0, 13.0)[level]
    noise = SensorNoise(camera, (3.0, 4.5, 6.0)[level], rng)
    above = np.where(elevations(camera) > 0.0, 0.25, 1.0).astype(np.float32)

    def apply(scene: Scene) -> None:
        spread_m = 1.4 + 0.3 * scene.depth_m
        beam = decay(np.square(scene.left_m / spread_m), 2.0) * decay(scene.depth_m, reach_m)
        beam *= above * np.minimum(1.0, scene.depth_m / 5.0)
        desaturate(scene.image, 0.3)
        tint(scene.image, (1.0, 0.97, 0.9))
        scene.dim(ambient + 1.35 * beam)
        noise.add(scene)

    return apply


_EFFECTS: dict[str, Callable[[Pinhole, int, np.random.Generator], Apply]] = {
    'fog': _fog,
    'rain': _rain,
    'sun': _sun,
    'dusk': _dusk,
    'snow': _snow,
    'night': _night,
}
"""For each kind of weather the function that makes its effect from camera, level 0..2, and rng."""


def _drops(camera: Pinhole, count: int, rng: np.random.Generator) -> Floats:
    """Return (height, width) shares of drops on the lens, 0..1."""
    mask = np.zeros((camera.height_px, camera.width_px), np.float32)
    for _ in range(count):
        centre = rng.integers(0, (camera.width_px, camera.height_px))
        radius = int(rng.integers(4, 12))
        cv2.circle(mask, centre.tolist(), radius, 0.9, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.2), np.float32)


def _grazing(camera: Pinhole) -> Floats:
    """Return (height, width) shares of light that water reflects: more at flat angles."""
    return np.asarray((1.0 + np.clip(elevations(camera), -1.0, 0.0)) ** 5, np.float32)


def _mirror(camera: Pinhole) -> tuple[Floats, Floats]:
    """Return the map of `cv2.remap` from a frame to its mirror image below the horizon."""
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    horizon = camera.horizon_px + camera.horizon_slope * (u - camera.cx_px)
    rows = np.clip(2 * horizon - v, 0, camera.height_px - 1)
    return u.astype(np.float32), rows.astype(np.float32)


def _ramp(values: Floats, low: float, high: float) -> Floats:
    return np.asarray(np.clip((values - low) * np.float32(1.0 / (high - low)), 0.0, 1.0))
