# SPDX-License-Identifier: Apache-2.0
"""Export of bags: as driving logs in the simulator's format, and as videos. No ROS."""

from __future__ import annotations

from pathlib import Path

from sim_bridge.recording.bag import Bag, undecodable
from sim_bridge.recording.frame_folder import ImageNames
from sim_bridge.recording.frames import Frames, reading_of
from sim_bridge.recording.storage import BagError
from sim_bridge.recording.video import VideoFile
from sim_bridge.recording.whole_output import whole_file, whole_folder
from sim_bridge.visualization import overlay
from steering_net.data.driving_log import recorder_row
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, Pinhole
from steering_net.vision.camera_names import AUTONOMOUS

_LOG, _IMAGES = 'driving_log.csv', 'IMG'


def export_log(bag: Bag, folder: Path, camera: str = AUTONOMOUS) -> int:
    """Write driving_log.csv and IMG/ as the simulator's recorder does; return the number of rows.

    `camera` is the camera of the frames: images of Autonomous mode are named by their time alone,
    as drive.py names them, others `center_...`, so that readers can tell them apart. The columns
    of the side cameras are empty, because a bag has none. Raises BagError if the folder already
    holds a log or IMG, if the bag has no steering, or if no frame can be decoded.
    """
    for path in (folder / _LOG, folder / _IMAGES):
        if path.exists():
            raise BagError(f'{path} already exists; name another folder')
    frames = Frames(bag)
    frames.check_steering()
    rows, reason = 0, 'none'
    with whole_folder(folder) as part:
        images = part / _IMAGES
        images.mkdir()
        names = ImageNames(images, '' if camera == AUTONOMOUS else 'center_')
        with (part / _LOG).open('w', encoding='utf-8', newline='') as file:
            for frame in frames:
                path = names.unused(frame.stamp_ns)
                path.write_bytes(frame.jpeg)
                reason = reason and undecodable(frame.jpeg)
                file.write(
                    recorder_row(
                        str(folder.resolve() / _IMAGES / path.name),
                        frame.steering_rad or 0.0,
                        frame.throttle or 0.0,
                        frame.speed_mps or 0.0,
                    )
                )
                rows += 1
        if reason:
            raise BagError(f'no frame of {bag.path} can be decoded: {reason}')
    return rows


def export_video(
    bag: Bag,
    path: Path,
    limit_mps: float | None = None,
    rate_hz: float | None = None,
    camera: Pinhole = AUTONOMOUS_CAMERA,
) -> int:
    """Write an MP4 with overlays; return the number of frames.

    `rate_hz` is the frame rate; without it, it is the mean rate of the bag. `camera` took the
    frames. Frames that cannot be decoded are left out with a warning. Raises BagError if none can,
    if the file cannot be written completely or if the folder does not exist.
    """
    if not path.absolute().parent.is_dir():
        raise BagError(f'{path}: there is no folder {path.absolute().parent}; create it')
    frames = Frames(bag)
    with whole_file(path) as part, VideoFile(part, rate_hz or frames.rate_hz) as video:
        for frame, rgb in frames.decoded():
            video.write(overlay.draw(rgb, reading_of(frame, limit_mps), camera))
    return video.frames
