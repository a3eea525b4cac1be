# SPDX-License-Identifier: Apache-2.0
"""JPEG: from a file's bytes to a frame, and back."""

import struct
from typing import cast

import cv2
import numpy as np

from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb
from steering_net.vision.frame_size import MAX_SIDE_PX

JPEG_QUALITY = 75
"""Default of Unity, which the wire has."""
# Decoding directly to RGB saves a pass; OpenCV before 4.11 cannot do it.
_DECODE_FLAG: int = getattr(cv2, 'IMREAD_COLOR_RGB', cv2.IMREAD_COLOR)


def decode_jpeg(data: bytes) -> Rgb:
    """Decode a JPEG file's bytes into uint8 (H, W, 3) RGB.

    Raises ImageError for bytes that are no JPEG or a truncated one, and, before decoding, for an
    image larger than 4096 x 4096.
    """
    width, height = jpeg_size(data)
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ImageError(f'a JPEG of {width} x {height} pixels is refused')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _DECODE_FLAG)
    except cv2.error as error:
        raise ImageError('the JPEG cannot be decoded') from error
    if image is None:
        raise ImageError('the JPEG cannot be decoded')
    if _DECODE_FLAG == cv2.IMREAD_COLOR:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return cast(Rgb, image)


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) from the frame header; ImageError if it or the end is missing."""
    if data[:2] != b'\xff\xd8':
        raise ImageError('not a JPEG')
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = struct.unpack_from('>BH', data, at + 1)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            # The end marker cannot be inside the data, because 0xFF is escaped there.
            if data.rfind(b'\xff\xd9') < at:
                break
            height, width = struct.unpack_from('>HH', data, at + 5)
            return width, height
        at += 2 + length
    raise ImageError('a truncated JPEG')


def encode_jpeg(rgb: Rgb, quality: int = JPEG_QUALITY) -> bytes:
    """Return a baseline JPEG of an (H, W, 3) uint8 RGB image; quality 1..100."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f'cannot encode an image of shape {rgb.shape} as JPEG')
    return data.tobytes()


def through_jpeg(rgb: Rgb) -> Rgb:
    """Return a frame after the JPEG compression of the wire."""
    return decode_jpeg(encode_jpeg(rgb))
