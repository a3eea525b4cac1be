# SPDX-License-Identifier: Apache-2.0
"""Preprocessing: from a camera frame to the input of a network, the same for training and driving.

A `Profile` says what is done.
"""

from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb
from steering_net.vision.colours import converted
from steering_net.vision.frame_size import check_frame
from steering_net.vision.profile import INTERPOLATIONS, Profile

Tensor: TypeAlias = NDArray[np.float32]

_PIXEL_SCALE = 1 / 255


def preprocess(rgb: Rgb, profile: Profile, out: Tensor | None = None) -> Tensor:
    """Turn a frame, uint8 (H, W, 3) RGB 0..255, into float32 (h, w, channels), by `profile`.

    Writes into `out` if given. Raises ImageError for an array that is no such frame, and for a
    frame that is smaller than the profile's crop.
    """
    return scaled(recoloured(_crop(rgb, profile), profile), profile, out)


def scaled(image: Rgb, profile: Profile, out: Tensor | None = None) -> Tensor:
    """Do the last steps of `preprocess`, size and scale, for an image in the profile's colours."""
    if profile.size is not None:
        method = INTERPOLATIONS[profile.interpolation]
        image = cast(Rgb, cv2.resize(image, profile.size, interpolation=method))
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if out is not None and out.shape != image.shape:
        raise ImageError(
            f'the preprocessed frame is {image.shape}; it must be {out.shape}, which the network '
            'takes'
        )
    scale = np.float32(_PIXEL_SCALE if profile.scale is None else profile.scale)
    out = np.multiply(image, scale, out=out, dtype=np.float32)
    if profile.offset:
        out += np.float32(profile.offset)
    return out


def recoloured(image: Rgb, profile: Profile) -> Rgb:
    """Return an image in the profile's colours, with its blur; a copy, or the image itself."""
    image = converted(image, profile.colour)
    if profile.blur:
        image = cast(Rgb, cv2.GaussianBlur(image, (profile.blur, profile.blur), 0))
    return image


def _crop(rgb: Rgb, profile: Profile) -> Rgb:
    check_frame(rgb)
    top, bottom = profile.rows or (0, rgb.shape[0])
    left, right = profile.columns or (0, rgb.shape[1])
    if top < 0 or bottom > rgb.shape[0] or right > rgb.shape[1]:
        raise ImageError(
            f'the frame is {rgb.shape[1]}x{rgb.shape[0]}; it must be large enough for rows '
            f'{top}-{bottom} and columns {left}-{right} of profile {profile.name}'
        )
    return rgb[top:bottom, left:right]
