# SPDX-License-Identifier: Apache-2.0
"""View of a recording in Rerun. No ROS."""

from __future__ import annotations

from pathlib import Path

from sim_bridge.recording.bag import Bag
from sim_bridge.recording.export import frames, reading_of
from sim_bridge.visualization.rerun_log import RerunLog


def view(bag: Bag, save: Path | None) -> int:
    """Show a recording in a viewer, or write it to the .rrd file `save`; return the frames.

    Raises BagError if the bag has no frames, and UsageError without rerun-sdk.
    """
    found = frames(bag)
    first = next(found)
    log = RerunLog(save)
    log.add(first.stamp_ns, first.jpeg, reading_of(first))
    for frame in found:
        log.add(frame.stamp_ns, frame.jpeg, reading_of(frame))
    log.close()
    return log.frames
