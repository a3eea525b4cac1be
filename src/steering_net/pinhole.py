"""The simulator's camera: a pinhole on a car, over flat ground."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.preprocess import Rgb

_NEAREST_M = 1.0


@dataclass(frozen=True)
class Pinhole:
    """The real simulator's centre camera: pixels, metres in the car's frame, radians.

    Pixel (column c, row r) covers c..c+1 and r..r+1. `forward_m` is ahead of the car's origin,
    `height_m` above the ground. Height and pitch are those of a driving car: under them, each
    frame of a recorded lap, moved on by speed times time, looks most like the next. The
    simulator's prefab has 0.97 m above the car's origin and 3.97 degrees; its car rides 0.27 m
    above the ground, nose down.
    """

    width_px: int = 320
    height_px: int = 160
    focal_px: float = 138.564
    cx_px: float = 160.0
    cy_px: float = 80.0
    height_m: float = 1.24
    forward_m: float = 1.35
    pitch_down_rad: float = 0.12918

    @property
    def horizon_px(self) -> float:
        """Row coordinate of the horizon (62.0)."""
        return self.cy_px - self.focal_px * math.tan(self.pitch_down_rad)

    def project(self, ground: NDArray[np.float64]) -> NDArray[np.float64]:
        """Image coordinates (n, 2) of ground points (n, 2): m ahead of the origin, m to the left.

        Points less than a metre in front of the camera are left out.
        """
        sin, cos = math.sin(self.pitch_down_rad), math.cos(self.pitch_down_rad)
        ahead = ground[:, 0] - self.forward_m
        depth = cos * ahead + sin * self.height_m
        down = cos * self.height_m - sin * ahead
        seen = depth > _NEAREST_M
        u = self.cx_px - self.focal_px * ground[seen, 1] / depth[seen]
        v = self.cy_px + self.focal_px * down[seen] / depth[seen]
        return np.stack((u, v), axis=1)

    def ray_from_image(self) -> NDArray[np.float64]:
        """Return the (3, 3) map from image coordinates (u, v, 1) to ahead, left, down."""
        sin, cos = math.sin(self.pitch_down_rad), math.cos(self.pitch_down_rad)
        # Of (u, v, 1): right, down and ahead along the optical axis, in focal lengths.
        to_axes = np.array(
            [
                [1 / self.focal_px, 0.0, -self.cx_px / self.focal_px],
                [0.0, 1 / self.focal_px, -self.cy_px / self.focal_px],
                [0.0, 0.0, 1.0],
            ]
        )
        axes_to_car = np.array([[0.0, -sin, cos], [-1.0, 0.0, 0.0], [0.0, cos, sin]])
        return np.asarray(axes_to_car @ to_axes)

    def ground_from_image(self) -> NDArray[np.float64]:
        """Return the homography from image coordinates to the ground: m ahead, m to the left."""
        homography = np.diag([self.height_m, self.height_m, 1.0]) @ self.ray_from_image()
        homography[0] += self.forward_m * homography[2]
        return np.asarray(homography)


CENTRE_CAMERA = Pinhole()
"""What recorded and simulated frames were taken with."""


def reprojected(
    rgb: Rgb,
    forward_m: float,
    left_m: float,
    yaw_rad: float,
    camera: Pinhole = CENTRE_CAMERA,
) -> Rgb:
    """Return what a car would see that stood elsewhere when the frame was taken.

    `rgb` is a frame uint8 (160, 320, 3) RGB; the other car's origin lies `forward_m` ahead of
    and `left_m` left of the one that took it, and it looks `yaw_rad` further to the left. All
    below the horizon is taken for a plane, all above it for infinitely far; what was out of sight
    repeats the frame's edge. The car's own bonnet moves with the plane: profiles cut it off.
    """
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    moved = np.array([[cos, -sin, forward_m], [sin, cos, left_m], [0.0, 0.0, 1.0]])
    turned = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    horizon = math.ceil(camera.horizon_px)
    result = np.empty_like(rgb)
    result[:horizon] = _warped(rgb, camera.ray_from_image(), turned)[:horizon]
    result[horizon:] = _warped(rgb, camera.ground_from_image(), moved)[horizon:]
    return result


def _warped(rgb: Rgb, from_image: NDArray[np.float64], move: NDArray[np.float64]) -> Rgb:
    # OpenCV counts from the middle of the first pixel, image coordinates from its corner.
    middle = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    from_image = from_image @ middle
    matrix = np.linalg.inv(from_image) @ move @ from_image
    size = (rgb.shape[1], rgb.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpPerspective(rgb, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )
