# SPDX-License-Identifier: Apache-2.0
"""Frame size: every frame is scaled to 320 x 160."""

import logging
import threading
from collections.abc import Callable

import cv2
import numpy as np

from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb

FRAME_WIDTH, FRAME_HEIGHT = 320, 160
"""Size in pixels of the frames that the simulator sends and records."""
MAX_SIDE_PX = 4096
"""Largest width and height that an image or a profile may have."""
FRAME_SHAPE = (FRAME_HEIGHT, FRAME_WIDTH, 3)
_LOG = logging.getLogger(__name__)


def as_frame(rgb: Rgb) -> Rgb:
    """Return a frame, uint8 (H, W, 3) RGB, as (160, 320, 3): itself, or scaled if it is 2:1.

    Raises ImageError for a frame of another shape.
    """
    if rgb.shape == FRAME_SHAPE and rgb.dtype == np.uint8:
        return rgb
    check_frame(rgb)
    height, width, _ = rgb.shape
    check_size(width, height)
    method = cv2.INTER_AREA if width > FRAME_WIDTH else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (FRAME_WIDTH, FRAME_HEIGHT), interpolation=method), np.uint8)


def check_frame(rgb: Rgb) -> None:
    """Raise ImageError for an array that is not uint8 (H, W, 3)."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ImageError(f'the frame is {rgb.dtype} {rgb.shape}; it must be uint8 (H, W, 3)')


def check_size(width: int, height: int) -> None:
    """Raise ImageError if a frame of this size in pixels cannot be scaled."""
    if not _can_be_scaled(width, height):
        raise ImageError(
            f'the frame is {width}x{height}; it must be {FRAME_WIDTH}x{FRAME_HEIGHT} or have the '
            f"same shape (2:1): set the simulator's camera to {FRAME_WIDTH}x{FRAME_HEIGHT}"
        )


def _can_be_scaled(width: int, height: int) -> bool:
    return width * FRAME_HEIGHT == height * FRAME_WIDTH > 0


class SizeNotice:
    """Warns once if frames of a source have to be scaled. Thread-safe."""

    def __init__(self, source: str, warn: Callable[[str], None] = _LOG.warning) -> None:
        """`source` is named in the warning, and `warn` is called with it."""
        self._source = source
        self._warn = warn
        self._first = threading.Lock()

    def look(self, rgb: Rgb) -> None:
        """Warn if this is the first frame, uint8 (H, W, 3), that `as_frame` scales."""
        height, width = rgb.shape[:2]
        if rgb.shape == FRAME_SHAPE or not _can_be_scaled(width, height):
            return
        # Only the first call gets the lock, which is never released.
        if not self._first.acquire(blocking=False):
            return
        size = f'{FRAME_WIDTH}x{FRAME_HEIGHT}'
        self._warn(f'{self._source}: frames of {width}x{height} are scaled to {size}')
