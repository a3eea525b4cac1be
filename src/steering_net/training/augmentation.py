"""Make one recorded frame stand for many: other places on the road, other light, other cameras.

It starts from crops, uint8 (95, 320, 3) RGB: rows 50 to 145 of the simulator's frame, which is
what the usual profiles look at and a margin. One warp moves the car and its camera, cuts the crop
and scales it to the network's size, so that light is changed on few pixels. Steering is in rad,
left positive.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.vehicle import pursuit_steering_rad
from steering_net.vision.camera_model import Pinhole, Rgb, find_camera
from steering_net.vision.crop import CROP_SHAPE, image_from_picture, moved
from steering_net.vision.preprocessing import Profile

# The camera sees its own bonnet from about this row of a frame on.
_BONNET_ROW = 136
_NOISE_PATTERNS = 16
# What blur and scaling leave of a sensor's noise.
_NOISE_LEVELS = 2.5


@dataclass(frozen=True)
class Augmentation:
    """How far frames are changed, and how the label answers a change of place.

    A displaced car is to come back as pure pursuit would bring it: on the arc through the point
    of its old way that lies `look_ahead_m` ahead. The shorter, the sharper it turns back.
    Another pose of the camera changes no label. `bonnet` is the largest change of the bonnet's
    brightness, as a share of it.
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
    blur: float = 0.1
    noise: float = 0.15
    max_gain_change: float = 0.35
    max_gamma_change: float = 0.3
    max_tint: float = 0.06

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for what is no distance or no angle."""
        if not self.look_ahead_m > 0:
            raise ValueError(f'look_ahead_m must be above 0, not {self.look_ahead_m}')
        for name, most in (
            ('max_shift_m', 2.0),
            ('max_yaw_rad', 0.5),
            ('max_pitch_rad', 0.1),
            ('max_roll_rad', 0.1),
            ('max_height_m', 0.5),
            ('bonnet', 1.0),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f'{name} must be 0 to {most}, not {getattr(self, name)}')

    def moved_label(self, steering_rad: float, shift_m: float, yaw_rad: float = 0.0) -> float:
        """Return the label for a car that stands `shift_m` and `yaw_rad` further to the left."""
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
    """Return the part of a changed crop that `profile` (below CROP_TOP) sees, and its label.

    The picture has the profile's size and is still RGB. The place changes only if `move` is set.
    """
    flip = settings.flip and rng.random() < 0.5
    shift = yaw = 0.0
    if move:
        shift = float(rng.uniform(-1, 1)) * settings.max_shift_m
        yaw = float(rng.uniform(-1, 1)) * settings.max_yaw_rad
        steering_rad = settings.moved_label(steering_rad, shift, yaw)
    frame_of = find_camera(profile.camera)
    # A mirrored frame has to look as if it were taken by the camera as it is.
    seen_by = _jolted(frame_of.mirrored if flip else frame_of, settings, rng)
    picture = moved(crop, shift, yaw, profile, flip, seen_by)
    _shade_bonnet(picture, profile, 1 + float(rng.uniform(-1, 1)) * settings.bonnet)
    return relit(picture, settings, rng), -steering_rad if flip else steering_rad


def _jolted(camera: Pinhole, settings: Augmentation, rng: np.random.Generator) -> Pinhole:
    """Return the camera in another pose, within the limits of the settings."""
    pitch, roll, height = rng.uniform(-1, 1, 3).tolist()
    return replace(
        camera,
        pitch_down_rad=camera.pitch_down_rad + pitch * settings.max_pitch_rad,
        roll_right_up_rad=camera.roll_right_up_rad + roll * settings.max_roll_rad,
        height_m=camera.height_m + height * settings.max_height_m,
    )


def _shade_bonnet(picture: Rgb, profile: Profile, gain: float) -> None:
    """Change the brightness of the bonnet in a picture of the profile's size, in place."""
    from_picture = image_from_picture(profile)
    first = round((_BONNET_ROW - from_picture[1, 2]) / from_picture[1, 1])
    if first < len(picture):
        rows = picture[max(0, first) :]
        cv2.convertScaleAbs(rows, dst=rows, alpha=gain)


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
    return [
        np.rint(rng.normal(0, _NOISE_LEVELS, CROP_SHAPE)).astype(np.int16)
        for _ in range(_NOISE_PATTERNS)
    ]


_NOISE = _noise_patterns()
