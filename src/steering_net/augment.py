"""Make one recorded frame stand for many: other places on the road, other light, other cameras.

Everything here works on crops, uint8 (95, 320, 3) RGB: rows 50 to 145 of the simulator's frame,
which is what the usual profiles look at and a margin. Steering is in rad, left positive.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.preprocess import Rgb

CROP_TOP, CROP_BOTTOM = 50, 145

# The simulator's car and camera, which looks slightly down: its horizon is above the middle.
_FOCAL_PX = 138.6
_HORIZON_ROW = 20
_CAMERA_HEIGHT_M = 0.97
_WHEELBASE_M = 2.87
_NOISE_PATTERNS = 16


@dataclass(frozen=True)
class Augmentation:
    """How far frames are changed, and how the label answers a change of place.

    A displaced car is to come back as pure pursuit would bring it: on the arc through the point
    of its old way that lies `look_ahead_m` ahead. The shorter, the sharper it turns back.
    """

    flip: bool = True
    max_shift_m: float = 0.5
    max_yaw_rad: float = 0.06
    look_ahead_m: float = 16.0
    side_camera_m: float = 1.0
    shadow: float = 0.3
    blur: float = 0.1
    noise: float = 0.15
    max_gain_change: float = 0.35
    max_gamma_change: float = 0.3
    max_tint: float = 0.06

    def __post_init__(self) -> None:
        """Raise ValueError for a look-ahead that is no distance."""
        if not self.look_ahead_m > 0:
            raise ValueError(f'look_ahead_m must be above 0, not {self.look_ahead_m}')

    def moved_label(self, steering_rad: float, shift_m: float, yaw_rad: float = 0.0) -> float:
        """Return the label for a car that stands `shift_m` and `yaw_rad` further to the left."""
        bearing_rad = shift_m / self.look_ahead_m + yaw_rad
        return steering_rad - 2 * _WHEELBASE_M / self.look_ahead_m * bearing_rad


def augment(
    crop: Rgb, steering_rad: float, settings: Augmentation, rng: np.random.Generator, move: bool
) -> tuple[Rgb, float]:
    """Return a changed copy of a crop and its label; the place changes only if `move` is set."""
    if settings.flip and rng.random() < 0.5:
        crop, steering_rad = cv2.flip(crop, 1), -steering_rad  # type: ignore[assignment]
    if move:
        shift = float(rng.uniform(-1, 1)) * settings.max_shift_m
        yaw = float(rng.uniform(-1, 1)) * settings.max_yaw_rad
        crop = moved(crop, shift, yaw)
        steering_rad = settings.moved_label(steering_rad, shift, yaw)
    return relit(crop, settings, rng), steering_rad


def moved(crop: Rgb, shift_m: float, yaw_rad: float) -> Rgb:
    """Return the view of a camera that is `shift_m` further left and turned `yaw_rad` left.

    The road is taken for a plane, and all above the horizon for infinitely far.
    """
    turn_px = _FOCAL_PX * np.tan(yaw_rad)
    # A point of the plane moves in proportion to its distance below the horizon.
    shear = shift_m / _CAMERA_HEIGHT_M
    result = np.empty_like(crop)
    for rows, slope in ((slice(0, _HORIZON_ROW), 0.0), (slice(_HORIZON_ROW, None), shear)):
        matrix = np.array([[1.0, slope, turn_px], [0.0, 1.0, 0.0]])
        part = crop[rows]
        size = (part.shape[1], part.shape[0])
        result[rows] = cv2.warpAffine(part, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
    return result


def relit(crop: Rgb, settings: Augmentation, rng: np.random.Generator) -> Rgb:
    """Return a copy under other light: brightness, contrast, tint, and at times more."""
    result: Rgb = cv2.LUT(crop, _light_curve(settings, rng))  # type: ignore[assignment]
    if rng.random() < settings.shadow:
        _cast_shadow(result, rng)
    if rng.random() < settings.blur:
        result = cv2.GaussianBlur(result, (3, 3), 0)  # type: ignore[assignment]
    if rng.random() < settings.noise:
        pattern = _NOISE[int(rng.integers(len(_NOISE)))]
        result = cv2.add(result, pattern[: result.shape[0]], dtype=cv2.CV_8U)  # type: ignore[assignment]
    return result


def _light_curve(settings: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    gain = 1 + rng.uniform(-1, 1) * settings.max_gain_change
    gamma = 1 + rng.uniform(-1, 1) * settings.max_gamma_change
    tint = 1 + rng.uniform(-1, 1, 3) * settings.max_tint
    levels = (np.arange(256)[:, None] / 255) ** gamma * gain * tint * 255
    return np.clip(levels, 0, 255).astype(np.uint8).reshape(1, 256, 3)


def _cast_shadow(crop: Rgb, rng: np.random.Generator) -> None:
    """Darken a random quadrangle from the upper to the lower edge, in place."""
    height, width = crop.shape[:2]
    top, bottom = np.sort(rng.uniform(0, width, (2, 2)), axis=1)
    corners = [[top[0], 0], [top[1], 0], [bottom[1], height], [bottom[0], height]]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, np.array(corners, np.int32), 255)
    dark = cv2.convertScaleAbs(crop, alpha=float(rng.uniform(0.4, 0.8)))
    cv2.copyTo(dark, mask, crop)


def _noise_patterns() -> list[NDArray[np.int16]]:
    """A few fixed patterns: fresh noise would cost more than all the rest of an image."""
    rng = np.random.default_rng(0)
    shape = (CROP_BOTTOM - CROP_TOP, 320, 3)
    return [np.rint(rng.normal(0, 6, shape)).astype(np.int16) for _ in range(_NOISE_PATTERNS)]


_NOISE = _noise_patterns()
