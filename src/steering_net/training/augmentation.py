# SPDX-License-Identifier: Apache-2.0
"""Augmentation: other poses of car and camera, and other light, for each training frame.

It starts from crops (`vision.crop`). One warp moves the car and its camera and scales the image to
the size of the network. The light is changed afterwards, because the image then has fewer pixels.
Steering is in rad, left positive.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.bicycle_model import pursuit_steering_rad
from steering_net.errors import check_field
from steering_net.vision.camera_model import Pinhole, Rgb, find_camera
from steering_net.vision.crop import CROP_SHAPE, image_from_picture, moved
from steering_net.vision.profile import Profile

# Largest values of the fields; 0 is the smallest.
_LARGEST = {
    'max_shift_m': 2.0,
    'max_yaw_rad': 0.5,
    'side_camera_m': 2.0,
    'max_pitch_rad': 0.1,
    'max_roll_rad': 0.1,
    'max_height_m': 0.5,
    'bonnet': 1.0,
    'shadow': 1.0,
    'darkest': 1.0,
    'blur': 1.0,
    'noise': 1.0,
    'max_gain_change': 1.0,
    'max_gamma_change': 1.0,
    'max_tint': 1.0,
}
# The bonnet is in the rows of a frame from about this one on.
_BONNET_ROW = 136
_NOISE_PATTERNS = 16
# Standard deviation of a sensor's noise after blur and scaling, 0 to 255.
_NOISE_LEVELS = 2.5


@dataclass(frozen=True)
class Augmentation:
    """Limits of the changes, and the correction of the label for a change of place.

    The label of a displaced car is corrected by pure pursuit: the arc through the point
    `look_ahead_m` ahead of the original place. A shorter distance gives a sharper turn. A change
    of the camera's pose changes no label. `bonnet` is the largest change of the bonnet's
    brightness, as a share of it; `shadow`, `blur` and `noise` are probabilities. A shadow leaves
    `darkest` to twice `darkest` of the light, as a share of it, but never more than all of it.
    """

    flip: bool = True
    max_shift_m: float = 0.5
    max_yaw_rad: float = 0.06
    look_ahead_m: float = 16.0
    side_camera_m: float = 0.8
    max_pitch_rad: float = 0.026
    max_roll_rad: float = 0.0175
    max_height_m: float = 0.1
    bonnet: float = 0.5
    shadow: float = 0.3
    darkest: float = 0.4
    blur: float = 0.1
    noise: float = 0.15
    max_gain_change: float = 0.35
    max_gamma_change: float = 0.3
    max_tint: float = 0.06

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value outside its range."""
        check_field(self.look_ahead_m > 0, 'look_ahead_m', self.look_ahead_m, 'greater than 0')
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            check_field(0 <= value <= most, name, value, f'0..{most:g}')

    def with_light(self, factor: float) -> 'Augmentation':
        """Return settings with `factor` times the changes of light, shadow, blur and noise.

        Probabilities and changes are limited to 0.8, and `darkest` to 1, which is no shadow.
        """
        changes = ('shadow', 'blur', 'noise', 'max_gain_change', 'max_gamma_change', 'max_tint')
        larger = {name: min(0.8, factor * getattr(self, name)) for name in changes}
        return replace(self, **larger, darkest=min(1.0, self.darkest / factor))

    def moved_label(self, steering_rad: float, shift_m: float, yaw_rad: float = 0.0) -> float:
        """Return the label of a car that is `shift_m` and `yaw_rad` further to the left."""
        # Where the point `look_ahead_m` ahead of the old place is from the new one.
        cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
        ahead_m = cos * self.look_ahead_m - sin * shift_m
        left_m = -sin * self.look_ahead_m - cos * shift_m
        return float(steering_rad + pursuit_steering_rad(ahead_m, left_m))


def augment(
    crop: Rgb,
    steering_rad: float,
    settings: Augmentation,
    profile: Profile,
    rng: np.random.Generator,
    move: bool,
) -> tuple[Rgb, float]:
    """Return the image that `profile` (below CROP_TOP) makes of a changed crop, and its label.

    The image has the profile's size and is RGB. The place changes only if `move` is set.
    """
    flip = settings.flip and rng.random() < 0.5
    shift = yaw = 0.0
    if move:
        shift = float(rng.uniform(-1, 1)) * settings.max_shift_m
        yaw = float(rng.uniform(-1, 1)) * settings.max_yaw_rad
        steering_rad = settings.moved_label(steering_rad, shift, yaw)
    frame_of = find_camera(profile.camera)
    # After mirroring, the frame must be one of the camera that is not mirrored.
    seen_by = _jittered(frame_of.mirrored if flip else frame_of, settings, rng)
    picture = moved(crop, shift, yaw, profile, flip, seen_by)
    _shade_bonnet(picture, profile, 1 + float(rng.uniform(-1, 1)) * settings.bonnet)
    return relit(picture, settings, rng), -steering_rad if flip else steering_rad


def _jittered(camera: Pinhole, settings: Augmentation, rng: np.random.Generator) -> Pinhole:
    """Return the camera in a random pose within the limits of the settings."""
    pitch, roll, height = rng.uniform(-1, 1, 3).tolist()
    return replace(
        camera,
        pitch_down_rad=camera.pitch_down_rad + pitch * settings.max_pitch_rad,
        roll_right_up_rad=camera.roll_right_up_rad + roll * settings.max_roll_rad,
        height_m=camera.height_m + height * settings.max_height_m,
    )


def _shade_bonnet(picture: Rgb, profile: Profile, gain: float) -> None:
    """Multiply the brightness of the bonnet in an image of the profile's size, in place."""
    from_picture = image_from_picture(profile)
    first = round((_BONNET_ROW - from_picture[1, 2]) / from_picture[1, 1])
    if first < len(picture):
        rows = picture[max(0, first) :]
        cv2.convertScaleAbs(rows, dst=rows, alpha=gain)


def relit(picture: Rgb, settings: Augmentation, rng: np.random.Generator) -> Rgb:
    """Return a copy with random brightness, contrast and tint; sometimes shadow, blur, noise."""
    result: Rgb = cv2.LUT(picture, _light_curve(settings, rng))  # type: ignore[assignment]
    if rng.random() < settings.shadow:
        _cast_shadow(result, settings.darkest, rng)
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


def _cast_shadow(crop: Rgb, darkest: float, rng: np.random.Generator) -> None:
    """Darken a random quadrangle from the upper to the lower edge, in place."""
    height, width = crop.shape[:2]
    top, bottom = np.sort(rng.uniform(0, width, (2, 2)), axis=1)
    corners = [[top[0], 0], [top[1], 0], [bottom[1], height], [bottom[0], height]]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, np.array(corners, np.int32), 255)
    dark = cv2.convertScaleAbs(crop, alpha=float(rng.uniform(darkest, min(1.0, 2 * darkest))))
    cv2.copyTo(dark, mask, crop)


def _noise_patterns() -> list[NDArray[np.int16]]:
    """Return fixed patterns, because fresh noise would take more time than all other changes."""
    rng = np.random.default_rng(0)
    return [
        np.rint(rng.normal(0, _NOISE_LEVELS, CROP_SHAPE)).astype(np.int16)
        for _ in range(_NOISE_PATTERNS)
    ]


_NOISE = _noise_patterns()
