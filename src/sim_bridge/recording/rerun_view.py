# SPDX-License-Identifier: Apache-2.0
"""View of a recording in Rerun. No ROS."""

from __future__ import annotations

from pathlib import Path

from sim_bridge.recording.bag import Bag
from sim_bridge.recording.frames import Frames, reading_of
from sim_bridge.visualization.rerun_log import RerunLog
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, Pinhole


def view(bag: Bag, save: Path | None, camera: Pinhole = AUTONOMOUS_CAMERA) -> int:
    """Show a recording in a viewer, or write it to the .rrd file `save`; return the frames.

    `camera` took the frames. Raises BagError if the bag has no frames, and UsageError without
    rerun-sdk.
    """
    frames = Frames(bag)
    log = RerunLog(save, camera)
    for frame in frames:
        log.add(frame.stamp_ns, frame.jpeg, reading_of(frame))
    log.close()
    return log.frames
