# SPDX-License-Identifier: Apache-2.0
"""Labels of recorded frames by their places on known tracks: the expert's steering there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sim_bridge.mapping.course import Series
from sim_bridge.mapping.placement import Placement, Refusal, locate
from sim_bridge.mapping.report import not_placed
from sim_bridge.simulator.expert import steering_rad, under_car_1pm
from steering_net.data.centerline import Edges
from steering_net.data.driving_log import LogError
from steering_net.data.recording import Recording
from steering_net.vehicle import REAR_AXLE_M

_LOG = logging.getLogger(__name__)


class MapLabels:
    """Labels the rows of recordings that can be placed, and keeps the reason of the others."""

    def __init__(self) -> None:
        self._rows_placed = 0
        self._longest: tuple[str, Refusal] | None = None

    def __call__(
        self, recording: Recording, seen: Sequence[Edges | None], look_ahead_m: float
    ) -> Series:
        """Return the expert's steering at each row: (n,), rad, left positive; NaN without a place.

        `seen` is the result of `edges_in`. The expert returns to the middle `look_ahead_m` ahead.
        Runs without a place give warnings.
        """
        results = locate(recording, seen)
        for line in not_placed(results):
            _LOG.warning('%s: %s', recording.name, line)
        labels = np.full(len(recording), np.nan)
        for result in results:
            if isinstance(result, Placement):
                labels[result.rows] = expert_rad(result, look_ahead_m)
                self._rows_placed += len(result)
            elif self._longest is None or len(result) > len(self._longest[1]):
                self._longest = recording.name, result
        return labels

    def check(self) -> None:
        """Raise LogError, with the reason, if there were rows and none of them has a place."""
        if self._longest and not self._rows_placed:
            name, refusal = self._longest
            raise LogError(f'no frame can be placed on a known track; {name}: {refusal}')


def expert_rad(placement: Placement, look_ahead_m: float) -> Series:
    """Return the steering of the expert at each row of a placement: (n,), rad, left positive."""
    course = placement.course
    x_m, y_m = course.beside(placement.progress_m, placement.left_m)
    yaw_rad = course.heading_rad(placement.progress_m) + placement.heading_rad
    axle_s_m, axle_left_m = course.project(
        x_m - REAR_AXLE_M * np.cos(yaw_rad),
        y_m - REAR_AXLE_M * np.sin(yaw_rad),
        placement.progress_m - REAR_AXLE_M,
    )
    error_rad = yaw_rad - course.heading_rad(axle_s_m)
    curvature_1pm = under_car_1pm(course.curvature_1pm, course.length_m / len(course.x_m))
    road_1pm = course.at(curvature_1pm, axle_s_m)
    rows = zip(road_1pm.tolist(), axle_left_m.tolist(), error_rad.tolist(), strict=True)
    return np.array([steering_rad(*row, look_ahead_m) for row in rows])
