# SPDX-License-Identifier: Apache-2.0
"""Whether the image of a telemetry can be used, judged by its header alone. Pure."""

from __future__ import annotations

from steering_net.errors import ImageError
from steering_net.vision.frame_size import MAX_SIDE_PX, check_size
from steering_net.vision.jpeg import jpeg_size

SMALLEST_PX = 160
"""Smallest width of an image. Its height is half of it."""


def inspect_image(jpeg: bytes) -> str:
    """Return the fault of a JPEG that the network cannot use, in one line; '' without a fault."""
    try:
        width, height = jpeg_size(jpeg)
    except ImageError as error:
        return f'image is {error}'
    try:
        check_size(width, height)
    except ImageError as error:
        return str(error)
    if not SMALLEST_PX <= width <= MAX_SIDE_PX:
        bounds = f'{SMALLEST_PX}x{SMALLEST_PX // 2} .. {MAX_SIDE_PX}x{MAX_SIDE_PX // 2}'
        return f'the frame is {width}x{height}; it must be in {bounds}'
    return ''
