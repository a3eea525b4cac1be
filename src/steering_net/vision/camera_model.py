# SPDX-License-Identifier: Apache-2.0
"""Pinhole cameras on a car over flat ground, and the homographies between them.

The simulator has one camera in two poses. Recordings are made in Training mode. Networks drive in
Autonomous mode, where the body of the car is pitched 1.6 degrees further down.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.vision.camera_names import AUTONOMOUS, TRAINING

Matrix: TypeAlias = NDArray[np.float64]
Rgb: TypeAlias = NDArray[np.uint8]

_NEAREST_M = 1.0

UP_FROM_DOWN = np.array([[1.0], [1.0], [-1.0]])
"""Factors, (3, 1), between the axes ahead, left, down and ahead, left, up."""


@dataclass(frozen=True)
class Pinhole:
    """A camera on the car: pixels, m in the car's frame, rad.

    Pixel (column c, row r) covers c..c+1 and r..r+1. `forward_m` is ahead of the car's origin,
    `height_m` above the ground. The defaults are the simulator's centre camera in Training mode
    on a car at rest: its pose in the body plus the pose of the body on its wheels.
    """

    width_px: int = 320
    height_px: int = 160
    focal_px: float = 138.564
    cx_px: float = 160.0
    cy_px: float = 80.0
    height_m: float = 1.255
    forward_m: float = 1.0
    pitch_down_rad: float = math.radians(7.6)
    roll_right_up_rad: float = math.radians(1.2)
    yaw_right_rad: float = math.radians(0.72)

    @property
    def horizon_px(self) -> float:
        """Row coordinate of the horizon in the image's middle column."""
        slope = math.tan(self.pitch_down_rad) / math.cos(self.roll_right_up_rad)
        return self.cy_px - self.focal_px * slope

    @property
    def horizon_slope(self) -> float:
        """Rows by which the horizon falls per column to the right."""
        return math.tan(self.roll_right_up_rad)

    @property
    def mirrored(self) -> 'Pinhole':
        """The camera that takes the mirror images of this camera's frames in a mirrored world."""
        return replace(
            self,
            roll_right_up_rad=-self.roll_right_up_rad,
            yaw_right_rad=-self.yaw_right_rad,
        )

    def project(self, ground: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return image coordinates (n, 2) of ground points (n, 2): m ahead of the origin, m left.

        Points less than 1 m in front of the camera are left out.
        """
        down_m = np.full(len(ground), self.height_m)
        points = np.stack((ground[:, 0] - self.forward_m, ground[:, 1], down_m))
        right, down, depth = self._car_from_axes().T @ points
        seen = depth > _NEAREST_M
        u = self.cx_px + self.focal_px * right[seen] / depth[seen]
        v = self.cy_px + self.focal_px * down[seen] / depth[seen]
        return np.stack((u, v), axis=1)

    def ray_from_image(self) -> Matrix:
        """Return the (3, 3) map from image coordinates (u, v, 1) to ahead, left, down."""
        rays = self._car_from_axes()
        # From (u, v, 1) to right, down and ahead along the optical axis, in focal lengths.
        rays[:, :2] /= self.focal_px
        rays[:, 2] -= rays[:, 0] * self.cx_px + rays[:, 1] * self.cy_px
        return rays

    def rays(self, rows: int | None = None) -> Matrix:
        """Return (3, height, width) rays ahead, left, down through the centres of the pixels.

        With `rows` only those of the first rows.
        """
        height = self.height_px if rows is None else rows
        u, v = np.meshgrid(np.arange(self.width_px) + 0.5, np.arange(height) + 0.5)
        return np.tensordot(self.ray_from_image(), np.stack((u, v, np.ones_like(u))), axes=1)

    def ground_from_image(self) -> Matrix:
        """Return the homography from image coordinates to the ground: m ahead, m to the left."""
        return self._on_ground(self.ray_from_image())

    def _on_ground(self, rays: Matrix) -> Matrix:
        ground = rays * np.array([[self.height_m], [self.height_m], [1.0]])
        ground[0] += self.forward_m * rays[2]
        return np.asarray(ground)

    def _car_from_axes(self) -> Matrix:
        """Return the rotation from right, down, optical axis to ahead, left, down of the car."""
        sin_r, cos_r = math.sin(self.roll_right_up_rad), math.cos(self.roll_right_up_rad)
        sin_p, cos_p = math.sin(self.pitch_down_rad), math.cos(self.pitch_down_rad)
        sin_y, cos_y = math.sin(self.yaw_right_rad), math.cos(self.yaw_right_rad)
        # Components of the three axes to the right and ahead, before the yaw.
        right, ahead = (cos_r, sin_r, 0.0), (sin_r * sin_p, -cos_r * sin_p, cos_p)
        return np.array(
            [
                [cos_y * a - sin_y * r for a, r in zip(ahead, right, strict=True)],
                [-sin_y * a - cos_y * r for a, r in zip(ahead, right, strict=True)],
                [-sin_r * cos_p, cos_r * cos_p, sin_p],
            ]
        )


TRAINING_CAMERA = Pinhole()
"""Camera of recordings: Training mode."""

AUTONOMOUS_CAMERA = Pinhole(height_m=1.264, pitch_down_rad=math.radians(9.2))
"""Camera of the simulator while a network drives: Autonomous mode."""

CAMERAS = {TRAINING: TRAINING_CAMERA, AUTONOMOUS: AUTONOMOUS_CAMERA}
"""Cameras by name."""

_POSE = {
    'pitch': ('pitch_down_rad', math.radians, (-45.0, 45.0)),
    'roll': ('roll_right_up_rad', math.radians, (-45.0, 45.0)),
    'height': ('height_m', float, (0.2, 10.0)),
}
"""For each key of a pose: its field, the conversion to SI, and its range."""


@functools.cache
def find_camera(text: str) -> Pinhole:
    """Return a camera by name, or by pose as in `pitch:7.6/roll:1.2/height:1.255`.

    Pitch (down) and roll (right side up) are in degrees, the height above the ground in m. A key
    that is left out has the value of Training mode. Raises ValueError, with the known names, for
    any other text.
    """
    if text in CAMERAS:
        return CAMERAS[text]
    known = f'{", ".join(CAMERAS)}, or pitch:DEGREES/roll:DEGREES/height:METRES'
    fields: dict[str, Any] = {}
    for part in text.split('/'):
        word, _, value = part.partition(':')
        if word not in _POSE:
            raise ValueError(f'camera is {text!r}; it must be {known}')
        field, to_si, (low, high) = _POSE[word]
        try:
            number = float(value)
        except ValueError:
            raise ValueError(f'camera: {word} is {value!r}, it must be a number') from None
        if not low <= number <= high:
            raise ValueError(f'camera: {word} is {value}, it must be {low:g} to {high:g}')
        fields[field] = to_si(number)
    return replace(TRAINING_CAMERA, **fields)


def image_from_image(
    seen_by: Pinhole, frame_of: Pinhole, place: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> tuple[Matrix, Matrix]:
    """Return two homographies from image coordinates of `seen_by` to those of `frame_of`.

    The first is for points infinitely far away, the second for the ground. The car of `seen_by`
    is at `place`: m ahead of the car of `frame_of`, m to its left, rad turned to the left.
    """
    forward_m, left_m, yaw_rad = place
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    turned = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    moved = np.array([[cos, -sin, forward_m], [sin, cos, left_m], [0.0, 0.0, 1.0]])
    image_from_ray, image_from_ground = _inverses(frame_of)
    rays = seen_by.ray_from_image()
    return image_from_ray @ turned @ rays, image_from_ground @ moved @ seen_by._on_ground(rays)


@functools.lru_cache(maxsize=16)
def _inverses(camera: Pinhole) -> tuple[Matrix, Matrix]:
    """Return the maps from rays and from the ground to image coordinates."""
    return _inverse(camera.ray_from_image()), _inverse(camera.ground_from_image())


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def reprojected(
    rgb: Rgb,
    forward_m: float,
    left_m: float,
    yaw_rad: float,
    camera: Pinhole = TRAINING_CAMERA,
) -> Rgb:
    """Return a frame, uint8 (160, 320, 3) RGB, as seen from a car at another place.

    The origin of that car is `forward_m` ahead and `left_m` left of the car that took the frame,
    and its heading is `yaw_rad` further left. Everything below the horizon is treated as a plane,
    everything above it as infinitely far away. Beyond the frame its edge is repeated. The bonnet
    moves with the plane, but profiles cut it off.
    """
    far, ground = image_from_image(camera, camera, (forward_m, left_m, yaw_rad))
    result = _warped(rgb, ground)
    cv2.copyTo(_warped(rgb, far), above_horizon(camera), result)
    return result


def turned(rgb: Rgb, frame_of: Pinhole, seen_by: Pinhole, top: int = 0) -> Rgb:
    """Return a frame of one camera as seen by another camera, with the frame's edge repeated.

    The homography of the ground is used for the whole frame, because it also fits distant points
    if both cameras have about the same height. `rgb` may be a crop whose first row is row `top`.
    """
    if frame_of == seen_by:
        return rgb
    _, ground = image_from_image(seen_by, frame_of)
    return _warped(rgb, ground, top)


def pixels_from_image(top: int = 0) -> Matrix:
    """Return the map from image coordinates to OpenCV's pixel indices in a crop from row `top`.

    Image coordinates count from the corner of a pixel, OpenCV's indices from its centre.
    """
    return np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5 - top], [0.0, 0.0, 1.0]])


@functools.cache
def above_horizon(camera: Pinhole) -> NDArray[np.uint8]:
    """Return (height, width), 255 where the centre of a pixel is above the horizon, else 0."""
    down = camera.rays()[2]
    return np.where(down < 0.0, 255, 0).astype(np.uint8)


def _warped(rgb: Rgb, from_image: Matrix, top: int = 0) -> Rgb:
    pixels = pixels_from_image(top)
    matrix = pixels @ from_image @ _inverse(pixels)
    size = (rgb.shape[1], rgb.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpPerspective(rgb, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )
