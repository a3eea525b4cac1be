# SPDX-License-Identifier: Apache-2.0
"""Crops: the rows of a frame that networks are trained on, and their re-projection.

A crop is rows 50 to 145 of a frame, uint8 (95, 320, 3) RGB: the rows of the usual profiles, and
a margin.
"""

import cv2
import numpy as np

from steering_net.vision.camera_model import (
    TRAINING_CAMERA,
    Matrix,
    Pinhole,
    Rgb,
    find_camera,
    image_from_image,
    pixels_from_image,
    turned,
)
from steering_net.vision.frame_size import FRAME_WIDTH, as_frame
from steering_net.vision.profile import Profile

CROP_TOP, CROP_BOTTOM = 50, 145
CROP_SHAPE = (CROP_BOTTOM - CROP_TOP, FRAME_WIDTH, 3)


def crop_of(
    rgb: Rgb, frame_of: Pinhole = TRAINING_CAMERA, seen_by: Pinhole = TRAINING_CAMERA
) -> Rgb:
    """Return rows 50 to 145 of a frame, or of a crop itself, turned from one camera to another.

    Raises ImageError for an image that is neither a crop nor a frame that `as_frame` accepts.
    """
    if rgb.shape == CROP_SHAPE:
        return turned(rgb, frame_of, seen_by, CROP_TOP)
    return turned(as_frame(rgb), frame_of, seen_by)[CROP_TOP:CROP_BOTTOM]


def moved(
    crop: Rgb,
    shift_m: float,
    yaw_rad: float,
    profile: Profile,
    flip: bool = False,
    seen_by: Pinhole | None = None,
) -> Rgb:
    """Return the image of `profile` as seen `shift_m` further left and turned `yaw_rad` left.

    `crop` is from the camera of the profile, whose rows count from CROP_TOP; `seen_by` is the
    camera of the result, by default the same. The road is treated as a plane, and everything above
    the horizon as infinitely far away. `flip` mirrors the result, uint8 (h, w, 3) RGB of the
    profile's size.
    """
    frame_of = find_camera(profile.camera)
    seen_by = seen_by or frame_of
    height, width, _ = profile.output_shape(*crop.shape[:2])
    to_image, to_pixels = image_from_picture(profile), pixels_from_image(CROP_TOP)
    if flip:
        # Mirrored: the last column comes first.
        to_image[:, 2] += to_image[:, 0] * (width - 1.0)
        to_image[:, 0] *= -1.0
    far, ground = image_from_image(seen_by, frame_of, (0.0, shift_m, yaw_rad))
    # The boundary is a row, although the horizon may be rolled. Both maps are almost equal near
    # the horizon.
    horizon = (seen_by.horizon_px - to_image[1, 2]) / to_image[1, 1]
    horizon = max(0, min(height, round(horizon)))
    where = np.empty((2, height, width), np.float32)
    for rows, homography in ((slice(0, horizon), far), (slice(horizon, height), ground)):
        matrix = (to_pixels @ homography @ to_image).astype(np.float32)
        x = np.arange(width, dtype=np.float32)
        y = np.arange(rows.start, rows.stop, dtype=np.float32)
        along, down = np.outer(matrix[:, 0], x), np.outer(matrix[:, 1], y) + matrix[:, 2:]
        scaled = down[:, :, None] + along[:, None, :]
        np.divide(scaled[:2], scaled[2], out=where[:, rows])
    return np.asarray(
        cv2.remap(crop, where[0], where[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def image_from_picture(profile: Profile) -> Matrix:
    """Return the map from pixel indices of a profile's image to image coordinates of the frame."""
    return profile.image_from_picture(*CROP_SHAPE[:2], CROP_TOP)
