# SPDX-License-Identifier: Apache-2.0
"""Parts of weather effects: a scene, air that fades it, particles, patches on the ground.

Images are float32 (height, width, 3) RGB, 0..255, and are changed in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import Colour, FloatArray, Floats, Image
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import Pinhole

_GROUND_M = (1.0, 300.0)
"""Depths between which a pixel below the horizon counts as ground."""
_LAYERS = 8
_TILE = 256
_SPARE_PX = 96
_LUMINANCE = np.array([[0.299, 0.587, 0.114]] * 3, np.float32)


@dataclass
class Scene:
    """A frame to change: `left_m` is m to the left of the car's heading, `is_ground` 1 or 0.

    `distance_m` is along the ray, `depth_m` along the heading. `frame` counts from 0.
    """

    image: Floats
    depth_m: Floats
    distance_m: Floats
    left_m: Floats
    is_ground: Floats
    pose: Pose
    frame: int

    def blend(self, other: Floats, share: NDArray[Any]) -> None:
        """Mix in another image by a share, 0..1, of each pixel, (height, width)."""
        weight = np.asarray(share, np.float32)
        self.image[:] = cv2.blendLinear(self.image, other, 1.0 - weight, weight)

    def dim(self, light: NDArray[Any]) -> None:
        """Multiply each pixel by a factor, (height, width)."""
        factor = np.asarray(light, np.float32)
        self.image *= planes(factor, factor, factor)

    def blurred(self, size_px: int) -> Floats:
        """Return the image, blurred over squares of this size."""
        rows, columns = self.image.shape[:2]
        small = cv2.resize(
            self.image, (columns // size_px, rows // size_px), interpolation=cv2.INTER_AREA
        )
        return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR))


def scene_maker(camera: Pinhole) -> Callable[[Image, NDArray[Any], Pose, int], Scene]:
    """Return the function that makes the scenes of one camera.

    Its arguments are the image, the depth of each pixel, m, the pose of the car and the number of
    the frame.
    """
    ahead, left, down = camera.rays()
    across = (left / ahead).astype(np.float32)
    stretch = np.sqrt(1.0 + (left**2 + down**2) / ahead**2).astype(np.float32)

    def make(image: Image, depth_m: NDArray[Any], pose: Pose, frame: int) -> Scene:
        depth = np.asarray(depth_m, np.float32)
        near_m, far_m = _GROUND_M
        return Scene(
            image.astype(np.float32),
            depth,
            depth * stretch,
            depth * across,
            ((depth > near_m) & (depth < far_m)).astype(np.float32),
            pose,
            frame,
        )

    return make


def elevations(camera: Pinhole) -> FloatArray:
    """Return (height, width) tangents of the elevation of the pixels' rays."""
    ahead, left, down = camera.rays()
    return np.asarray(-down / np.hypot(ahead, left))


def fade(scene: Scene, colour: Colour, visibility_m: float) -> None:
    """Fade distant pixels to a colour; at `visibility_m` a contrast of 5 % is left."""
    left = decay(scene.distance_m, visibility_m / 3.0)
    scene.dim(left)
    left -= 1.0
    scene.image -= planes(*(np.float32(tone) * left for tone in colour))


def decay(values: NDArray[Any], length: float) -> Floats:
    """Return exp(-values / length)."""
    return np.asarray(cv2.exp(np.asarray(values, np.float32) * np.float32(-1.0 / length)))


def planes(red: Floats, green: Floats, blue: Floats) -> Floats:
    """Return an image of three planes."""
    return np.asarray(cv2.merge([red, green, blue]), np.float32)


def desaturate(image: Floats, share: float) -> None:
    """Mix in the grey image by a share, 0..1."""
    matrix = (1.0 - share) * np.eye(3, dtype=np.float32) + share * _LUMINANCE
    cv2.transform(image, matrix, image)


def tint(image: Floats, factors: tuple[float, float, float]) -> None:
    """Multiply red, green and blue by factors."""
    cv2.transform(image, np.diag(np.array(factors, np.float32)), image)


class SensorNoise:
    """Noise of the camera's sensor, with standard deviation `sigma` of 255."""

    def __init__(self, camera: Pinhole, sigma: float, rng: np.random.Generator) -> None:
        self._shape = camera.height_px, camera.width_px
        shape = self._shape[0] + _SPARE_PX, self._shape[1] + _SPARE_PX, 3
        self._tile = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)

    def add(self, scene: Scene) -> None:
        """Add the noise of this frame."""
        top, left = _offset(scene.frame, (_SPARE_PX, _SPARE_PX))
        scene.image += self._tile[top : top + self._shape[0], left : left + self._shape[1]]


class Particles:
    """Drops or flakes in the air: shares of the pixels that they cover, other ones each frame."""

    def __init__(self, layers: list[Floats], shape: tuple[int, int]) -> None:
        self._layers = layers
        self._shape = shape
        rows, columns = layers[0].shape
        self._spare = rows - shape[0] + 1, columns - shape[1] + 1

    @classmethod
    def streaks(cls, camera: Pinhole, count: int, rng: np.random.Generator) -> Particles:
        """Return falling drops, `count` in a frame."""
        return cls._drawn(camera, count, rng, (7.0, 20.0), 0.14, 0.6)

    @classmethod
    def flakes(cls, camera: Pinhole, count: int, rng: np.random.Generator) -> Particles:
        """Return flakes, `count` in a frame."""
        return cls._drawn(camera, count, rng, (0.3, 2.5), 0.5, 0.9)

    @classmethod
    def _drawn(
        cls, camera: Pinhole, count: int, rng: np.random.Generator, length: tuple[float, float],
        slant: float, blur: float,
    ) -> Particles:  # fmt: skip
        shape = camera.height_px, camera.width_px
        size = shape[0] * 3 // 2, shape[1] * 3 // 2
        layers = []
        for _ in range(_LAYERS):
            layer = np.zeros(size, np.float32)
            for _ in range(round(2.25 * count)):
                x, y = rng.uniform(0, size[1]), rng.uniform(0, size[0])
                fall = rng.uniform(*length)
                end = round(x + slant * fall * rng.uniform(-1.0, 1.0)), round(y + fall)
                width = 1 + int(rng.random() < 0.25 and fall < 3.0)
                cv2.line(layer, (round(x), round(y)), end, rng.uniform(0.4, 1.0), width)
            layers.append(np.asarray(cv2.GaussianBlur(layer, (0, 0), blur), np.float32))
        return cls(layers, shape)

    def next(self, frame: int) -> Floats:
        """Return (height, width) shares, 0..1, for the frame with this number."""
        top, left = _offset(frame, self._spare)
        layer = self._layers[frame % _LAYERS]
        return layer[top : top + self._shape[0], left : left + self._shape[1]]


class GroundTile:
    """Smooth random values, 0..1, that lie on the ground and repeat every 256 texels."""

    def __init__(self, tile: Floats, texel_m: tuple[float, float], azimuth_rad: float) -> None:
        """`texel_m`: size of a texel along and across the direction `azimuth_rad`."""
        self._tile = tile
        self._per_m = 1.0 / texel_m[0], 1.0 / texel_m[1]
        self._azimuth_rad = azimuth_rad

    @classmethod
    def blotches(
        cls,
        rng: np.random.Generator,
        texel_m: float,
        scales: Sequence[int],
        stretch: float = 1.0,
        azimuth_rad: float = 0.0,
    ) -> GroundTile:
        """Return patches of `scales` texels, `stretch` times longer in one direction."""
        total = np.zeros((_TILE, _TILE), np.float32)
        for scale in scales:
            noise = rng.standard_normal((_TILE, _TILE), dtype=np.float32)
            border = 3 * scale
            tiled = np.pad(noise, border, mode='wrap')
            smooth = np.asarray(cv2.GaussianBlur(tiled, (0, 0), scale / 2), np.float32)
            smooth = smooth[border : border + _TILE, border : border + _TILE]
            total += smooth / smooth.std()
        tile = np.clip(0.5 + total * (0.22 / math.sqrt(len(scales))), 0.0, 1.0)
        return cls(tile.astype(np.float32), (stretch * texel_m, texel_m), azimuth_rad)

    def at(self, scene: Scene) -> Floats:
        """Return the values at the pixels' places, (height, width)."""
        pose = scene.pose
        turn_rad = pose.yaw_rad - self._azimuth_rad
        ahead = complex(math.cos(turn_rad), math.sin(turn_rad))
        origin = complex(pose.x_m, pose.y_m) * complex(
            math.cos(self._azimuth_rad), -math.sin(self._azimuth_rad)
        )
        x, y = (
            scene.depth_m * np.float32(by_depth * per_m)
            + scene.left_m * np.float32(by_left * per_m)
            + np.float32(math.fmod(first_m * per_m, _TILE))
            for by_depth, by_left, first_m, per_m in (
                (ahead.real, -ahead.imag, origin.real, self._per_m[0]),
                (ahead.imag, ahead.real, origin.imag, self._per_m[1]),
            )
        )
        values = cv2.remap(self._tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(values, np.float32)


def _offset(frame: int, most: tuple[int, int]) -> tuple[int, int]:
    """Return two numbers below `most` that look random in successive frames."""
    mixed = (frame + 1) * 0x9E3779B1 & 0xFFFFFFFF
    return (mixed >> 16) % most[0], (mixed & 0xFFFF) % most[1]
