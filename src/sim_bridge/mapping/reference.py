# SPDX-License-Identifier: Apache-2.0
"""The middle of a known road as the reference line of a placed recording."""

from __future__ import annotations

import numpy as np

from sim_bridge.mapping.placement import Placement, Refusal, locate
from sim_bridge.mapping.surface import RoadView
from steering_net.data.centerline import edges_in
from steering_net.data.driving_log import LogError
from steering_net.data.recording import Recording
from steering_net.evaluation.data_driven import LEAST_KNOWN, Offset, ReferenceLine, See
from steering_net.vision.camera_model import Rgb


def on_map(recording: Recording) -> tuple[ReferenceLine, See]:
    """Place a recording on a known track; return the road's middle, and views over its surface.

    Raises LogError, with the reason, if more than a tenth of the frames cannot be placed.
    """
    results = locate(recording, edges_in(recording))
    placed = [result for result in results if isinstance(result, Placement)]
    refused = [result for result in results if isinstance(result, Refusal)]
    known = sum(map(len, placed)) / len(recording)
    if known < LEAST_KNOWN:
        longest = max(refused, key=len)
        raise LogError(
            f'{known:.0%} of the frames of {recording.name} could be placed on a known track, '
            f'because of rows {longest.rows.start}-{longest.rows.stop - 1}: {longest.reason}; '
            'use --reference middle'
        )
    left_m, yaw_rad = np.full((2, len(recording)), np.nan)
    for placement in placed:
        left_m[placement.rows] = -placement.left_m / np.cos(placement.heading_rad)
        yaw_rad[placement.rows] = -placement.heading_rad
    views = {
        row: view
        for placement in placed
        for view in [RoadView(placement, recording.camera)]
        for row in range(placement.rows.start, placement.rows.stop)
    }

    def look(row: int, rgb: Rgb, offset: Offset) -> Rgb:
        return views[row](row, rgb, offset)

    return ReferenceLine('map', left_m, yaw_rad), look
