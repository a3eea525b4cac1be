# SPDX-License-Identifier: Apache-2.0
"""Videos: what is written, and a video that lacks frames."""

import os

import cv2
import numpy as np
import pytest

from sim_bridge.recording.storage import BagError
from sim_bridge.recording.video import VideoFile

RGB = np.full((160, 320, 3), (200, 100, 50), np.uint8)


def test_frames_keep_their_colours(tmp_path):
    with VideoFile(tmp_path / 'v.mp4', 25.0) as video:
        for _ in range(3):
            video.write(RGB)
    read = cv2.VideoCapture(str(tmp_path / 'v.mp4'))
    assert (read.get(cv2.CAP_PROP_FPS), video.frames) == (25.0, 3)
    image = read.read()[1]
    assert image.shape == RGB.shape
    assert image[80, 160].tolist() == pytest.approx([50, 100, 200], abs=4)


def test_video_that_lacks_frames_is_told(tmp_path):
    video = VideoFile(tmp_path / 'v.mp4', 25.0)
    video.write(RGB)
    video.write(RGB)
    video.frames += 1
    with pytest.raises(BagError, match=r'v\.mp4 holds 2 of 3 frames; is the disk full'):
        video.__exit__(None, None, None)


def test_file_that_cannot_be_created_is_told(tmp_path):
    with (
        pytest.raises(BagError, match=r'OpenCV cannot write v\.mp4; install FFmpeg with MPEG-4'),
        VideoFile(tmp_path / 'no' / 'v.mp4', 25.0) as video,
    ):
        video.write(RGB)


@pytest.mark.parametrize('rate_hz', [1e3 / 15, 123.4567, 990.99, 29.97, 9.0905, 0.5])
def test_every_rate_is_written(tmp_path, rate_hz):
    with VideoFile(tmp_path / 'v.mp4', rate_hz) as video:
        video.write(RGB)
        video.write(RGB)
    read = cv2.VideoCapture(str(tmp_path / 'v.mp4'))
    assert read.get(cv2.CAP_PROP_FPS) == pytest.approx(rate_hz, rel=1e-3)


def test_path_that_opencv_cannot_take_is_told(tmp_path):
    with pytest.raises(BagError, match='OpenCV needs names in UTF-8'):
        VideoFile(tmp_path / os.fsdecode(b'\xff.mp4'), 25.0)
