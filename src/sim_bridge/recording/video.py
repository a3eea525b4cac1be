# SPDX-License-Identifier: Apache-2.0
"""VideoFile: writer of an MP4 that finds out whether its frames were written."""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType

import cv2

from sim_bridge.recording.storage import BagError
from steering_net.vision.camera_model import Rgb

_LARGEST_DENOMINATOR = 65535
"""Of the duration of a frame in MPEG-4, which is a fraction; so a rate has few decimals."""


class VideoFile:
    """Writer of an MP4 (MPEG-4) of equally large frames, as a context.

    OpenCV reports no error of writing, such as a full disk. So the frames are counted at the end.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        """Name the file, which the first frame creates. `rate_hz` is the frame rate, above 0.

        Raises BagError for a path that is not UTF-8, because OpenCV crashes on it.
        """
        if not _is_utf8(path):
            raise BagError(f'cannot write a video to {path}: OpenCV needs names in UTF-8')
        self.frames = 0
        self._path = path
        digits = math.floor(math.log10(_LARGEST_DENOMINATOR / rate_hz))
        self._rate_hz = round(rate_hz, digits)
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoFile:
        return self

    def write(self, rgb: Rgb) -> None:
        """Append a frame, uint8 (H, W, 3) RGB. Raises BagError if OpenCV cannot write the file."""
        self._writer = self._writer or self._open(rgb)
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file. Raises BagError if it lacks frames, unless there is an error already."""
        if self._writer:
            self._writer.release()
        if error is None:
            self._check()

    def _open(self, rgb: Rgb) -> cv2.VideoWriter:
        height_px, width_px = rgb.shape[:2]
        codec = cv2.VideoWriter.fourcc(*'mp4v')
        writer = cv2.VideoWriter(str(self._path), codec, self._rate_hz, (width_px, height_px))
        if not writer.isOpened():
            raise BagError(f'OpenCV cannot write {self._path.name}; install FFmpeg with MPEG-4')
        return writer

    def _check(self) -> None:
        video = cv2.VideoCapture(str(self._path))
        found = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        video.release()
        if found != self.frames:
            raise BagError(
                f'{self._path.name} holds {found} of {self.frames} frames; is the disk full?'
            )


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
