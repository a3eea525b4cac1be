"""Make one recorded frame stand for many: other places on the road, other light, other cameras.

It starts from crops, uint8 (95, 320, 3) RGB: rows 50 to 145 of the simulator's frame, which is
what the usual profiles look at and a margin. One warp moves a crop, cuts it and scales it to the
network's size, so that light is changed on few pixels. Steering is in rad, left positive.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.pinhole import CENTRE_CAMERA
from steering_net.preprocess import FRAME_HEIGHT, FRAME_WIDTH, ImageError, Profile, Rgb
from steering_net.vehicle import WHEELBASE_M

CROP_TOP, CROP_BOTTOM = 50, 145
CROP_SHAPE = (CROP_BOTTOM - CROP_TOP, FRAME_WIDTH, 3)

# The camera looks slightly down: its horizon is above the middle.
_FOCAL_PX = CENTRE_CAMERA.focal_px
_HORIZON_ROW = round(CENTRE_CAMERA.horizon_px) - CROP_TOP
# So many pixels wide is a metre of the ground, for each row below the horizon.
_PX_PER_M_AND_ROW = math.cos(CENTRE_CAMERA.pitch_down_rad) / CENTRE_CAMERA.height_m
_NOISE_PATTERNS = 16
# What blur and scaling leave of a sensor's noise.
_NOISE_LEVELS = 2.5


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
    side_camera_m: float = 0.8
    shadow: float = 0.3
    blur: float = 0.1
    noise: float = 0.15
    max_gain_change: float = 0.35
    max_gamma_change: float = 0.3
    max_tint: float = 0.06

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for what is no distance or no angle."""
        if not self.look_ahead_m > 0:
            raise ValueError(f'look_ahead_m must be above 0, not {self.look_ahead_m}')
        for name, most in (('max_shift_m', 2.0), ('max_yaw_rad', 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f'{name} must be 0 to {most}, not {getattr(self, name)}')

    def moved_label(self, steering_rad: float, shift_m: float, yaw_rad: float = 0.0) -> float:
        """Return the label for a car that stands `shift_m` and `yaw_rad` further to the left."""
        bearing_rad = shift_m / self.look_ahead_m + yaw_rad
        return steering_rad - 2 * WHEELBASE_M / self.look_ahead_m * bearing_rad


def crop_of(rgb: Rgb) -> Rgb:
    """Return rows 50 to 145 of a frame, or a stored crop as it is; ImageError for other sizes."""
    if rgb.shape == CROP_SHAPE:
        return rgb
    if rgb.shape != (FRAME_HEIGHT, FRAME_WIDTH, 3):
        raise ImageError(f'training takes 320 x 160 frames, not {rgb.shape}')
    return rgb[CROP_TOP:CROP_BOTTOM]


def augment(
    crop: Rgb,
    steering_rad: float,
    settings: Augmentation,
    profile: Profile,
    rng: np.random.Generator,
    move: bool,
) -> tuple[Rgb, float]:
    """Return the part of a changed crop that `profile` (below CROP_TOP) sees, and its label.

    The picture has the profile's size and is still RGB. The place changes only if `move` is set.
    """
    flip = settings.flip and rng.random() < 0.5
    shift = yaw = 0.0
    if move:
        shift = float(rng.uniform(-1, 1)) * settings.max_shift_m
        yaw = float(rng.uniform(-1, 1)) * settings.max_yaw_rad
        steering_rad = settings.moved_label(steering_rad, shift, yaw)
    picture = moved(crop, shift, yaw, profile, flip)
    return relit(picture, settings, rng), -steering_rad if flip else steering_rad


def moved(crop: Rgb, shift_m: float, yaw_rad: float, profile: Profile, flip: bool = False) -> Rgb:
    """Return what `profile` sees of a crop from `shift_m` further left, turned `yaw_rad` left.

    The road is taken for a plane, and all above the horizon for infinitely far. `flip` mirrors
    the picture afterwards. It is uint8 RGB of the profile's size; its rows count within the crop.
    """
    height, width, _ = profile.output_shape(*crop.shape[:2])
    top, bottom = profile.rows or (0, crop.shape[0])
    left, right = profile.columns or (0, crop.shape[1])
    scale_x, scale_y = (right - left) / width, (bottom - top) / height
    # Where the middle of the first pixel of the picture lies in the crop.
    first_x, first_y = left + scale_x / 2 - 0.5, top + scale_y / 2 - 0.5
    turn_px = _FOCAL_PX * np.tan(yaw_rad)
    horizon = max(0, min(height, round((_HORIZON_ROW - top) / scale_y)))
    result = np.empty((height, width, 3), np.uint8)
    # A point of the plane moves in proportion to its distance below the horizon.
    for rows, slope in (
        (slice(0, horizon), 0.0),
        (slice(horizon, height), shift_m * _PX_PER_M_AND_ROW),
    ):
        y = first_y + scale_y * rows.start
        x = first_x - turn_px - slope * (y - _HORIZON_ROW)
        matrix = np.array([[scale_x, -slope * scale_y, x], [0.0, scale_y, y]])
        if flip:
            matrix[0] *= (-1, 1, 1)
            matrix[0, 2] += scale_x * (width - 1)
        if rows.stop > rows.start:
            cv2.warpAffine(
                crop,
                matrix,
                (width, rows.stop - rows.start),
                dst=result[rows],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            )
    return result


def relit(picture: Rgb, settings: Augmentation, rng: np.random.Generator) -> Rgb:
    """Return a copy under other light: brightness, contrast, tint, and at times more."""
    result: Rgb = cv2.LUT(picture, _light_curve(settings, rng))  # type: ignore[assignment]
    if rng.random() < settings.shadow:
        _cast_shadow(result, rng)
    if rng.random() < settings.blur:
        result = cv2.GaussianBlur(result, (3, 3), 0)  # type: ignore[assignment]
    if rng.random() < settings.noise:
        pattern = _NOISE[int(rng.integers(len(_NOISE)))]
        result = cv2.add(result, pattern[: result.shape[0], : result.shape[1]], dtype=cv2.CV_8U)  # type: ignore[assignment]
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
    return [
        np.rint(rng.normal(0, _NOISE_LEVELS, shape)).astype(np.int16)
        for _ in range(_NOISE_PATTERNS)
    ]


_NOISE = _noise_patterns()
