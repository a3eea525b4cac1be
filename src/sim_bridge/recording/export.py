# SPDX-License-Identifier: Apache-2.0
"""Export of bags: as driving logs in the simulator's format, and as videos. No ROS."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from sim_bridge.recording.bag import Bag
from sim_bridge.recording.frame_folder import ImageNames
from sim_bridge.recording.frames import Frames, reading_of
from sim_bridge.recording.storage import BagError
from sim_bridge.visualization import overlay
from steering_net.data.driving_log import recorder_row


def export_log(bag: Bag, folder: Path) -> int:
    """Write driving_log.csv and IMG/ as the simulator's recorder does; return the number of rows.

    The columns of the side cameras are empty, because a bag has none. Raises BagError if the
    folder already holds a log, or if the bag has no steering.
    """
    log = folder / 'driving_log.csv'
    if log.exists():
        raise BagError(f'{log} already exists; name another folder')
    images = folder / 'IMG'
    frames = Frames(bag)
    frames.check_steering()
    images.mkdir(parents=True, exist_ok=True)
    partial = log.with_suffix('.part')
    names = ImageNames(images, 'center_')
    rows = 0
    with partial.open('w', encoding='utf-8', newline='') as file:
        for frame in frames:
            path = names.unused(frame.stamp_ns)
            path.write_bytes(frame.jpeg)
            file.write(
                recorder_row(
                    str(path.resolve()),
                    frame.steering_rad or 0.0,
                    frame.throttle or 0.0,
                    frame.speed_mps or 0.0,
                )
            )
            rows += 1
    os.replace(partial, log)
    return rows


def export_video(
    bag: Bag, path: Path, limit_mps: float | None = None, rate_hz: float | None = None
) -> int:
    """Write an MP4 with overlays; return the number of frames.

    `rate_hz` is the frame rate; without it, it is the mean rate of the bag. Frames that cannot be
    decoded are left out with a warning. Raises BagError if none can, if OpenCV cannot write the
    file or if the folder does not exist.
    """
    if not path.absolute().parent.is_dir():
        raise BagError(f'{path}: there is no folder {path.absolute().parent}; create it')
    frames = Frames(bag)
    rate_hz = rate_hz or frames.rate_hz
    writer: cv2.VideoWriter | None = None
    written = 0
    try:
        for frame, rgb in frames.decoded():
            drawing = overlay.draw(rgb, reading_of(frame, limit_mps))
            height, width = drawing.shape[:2]
            writer = writer or open_video(path, rate_hz, (width, height))
            writer.write(cv2.cvtColor(drawing, cv2.COLOR_RGB2BGR))
            written += 1
    finally:
        if writer:
            writer.release()
    return written


def open_video(path: Path, rate_hz: float, size_px: tuple[int, int]) -> cv2.VideoWriter:
    """Create an MP4 of frames with this width and height; BagError if OpenCV cannot."""
    codec = cv2.VideoWriter.fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(path), codec, rate_hz, size_px)
    if not writer.isOpened():
        raise BagError(f'OpenCV cannot write {path}; install FFmpeg with MPEG-4')
    return writer
