# SPDX-License-Identifier: Apache-2.0
"""The camera of a recording, found by the horizon in its frames.

A road of constant width is narrower in the image the further away it is. Its width is proportional
to the rows below the horizon, so that the row in which it would vanish is the horizon, also where
hills hide it. Curves and slopes spread the rows of single frames; the median of many frames is
within 1 px. The cameras of Training and of Autonomous mode are 4 px apart.
"""

import functools
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from steering_net.data.centerline import Edges, load_edges
from steering_net.data.driving_log import Series
from steering_net.data.recording import Recording
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA
from steering_net.vision.camera_names import AUTONOMOUS, TRAINING

_FRAMES = 240
_STRAIGHT_RAD = 0.06
_LEAST_BANDS = 4
_LEAST_FRAMES = 40
_BIAS_PX = 0.3
"""The measured row is lower than the true one by this much, because edges are blurred."""
_SURE = 2.0
"""Standard errors by which the row must be nearer to one camera than to the other."""
_SURE_PX = 0.8
"""The least distance from the row between both cameras that tells the camera, because the measured
row also depends on the road. On flat embedded tracks it is up to 2.3 px too low."""


class Horizon(NamedTuple):
    """Median row of the horizon in the image's middle, its standard error, and the frames."""

    row_px: float
    error_px: float
    frames: int


def find_horizon(recording: Recording) -> Horizon | None:
    """Return the horizon of up to 240 frames without much steering; None for too few frames."""
    straight = np.flatnonzero(np.abs(recording.target_rad) < _STRAIGHT_RAD)
    if len(straight) < _LEAST_FRAMES:
        return None
    chosen = straight[np.linspace(0, len(straight) - 1, min(_FRAMES, len(straight))).astype(int)]
    seen = [load_edges(functools.partial(recording.frame, int(index))) for index in chosen]
    rows = np.array([row for edges in seen if (row := _vanishing_row(edges)) is not None])
    if len(rows) < _LEAST_FRAMES:
        return None
    low, middle, high = np.percentile(rows, (25, 50, 75))
    # The standard error of a median, for a normal distribution with these quartiles.
    error_px = 1.2533 * (high - low) / 1.349 / math.sqrt(len(rows))
    return Horizon(float(middle) - _BIAS_PX, error_px, len(rows))


def with_camera(recording: Recording) -> Recording:
    """Return a recording with the camera that its horizon tells, or its own if it tells none.

    The reason is in the recording's `camera_reason`.
    """
    camera, reason = camera_by(find_horizon(recording), recording.camera)
    return replace(recording, camera=camera, camera_reason=reason)


def camera_by(horizon: Horizon | None, default: str) -> tuple[str, str]:
    """Return the camera that a horizon tells, or `default`, and the reason for people."""
    if horizon is None:
        return default, (
            f'assumed, because fewer than {_LEAST_FRAMES} frames show both edges of the road'
        )
    measured = f'because the horizon is in row {horizon.row_px:.1f} of {horizon.frames} frames'
    between_px = (TRAINING_CAMERA.horizon_px + AUTONOMOUS_CAMERA.horizon_px) / 2
    if abs(horizon.row_px - between_px) < max(_SURE_PX, _SURE * horizon.error_px):
        return default, f'assumed, {measured}, between both cameras'
    return TRAINING if horizon.row_px > between_px else AUTONOMOUS, measured


def _vanishing_row(edges: Edges | None) -> float | None:
    """Return the row in which the width of the road is 0; None if it cannot be told."""
    if edges is None:
        return None
    whole = edges[np.isfinite(edges).all(axis=1)]
    if len(whole) < _LEAST_BANDS:
        return None
    ahead_m, left_m, right_m = whole.T
    left_px, right_px = _columns(ahead_m, left_m), _columns(ahead_m, right_m)
    middle = TRAINING_CAMERA.project(np.stack((ahead_m, np.zeros(len(whole))), axis=1))
    # In a curve the line across the car's axis is longer than the road is wide.
    aside = np.polyval(np.polyder(np.polyfit(ahead_m, (left_m + right_m) / 2, 2)), ahead_m)
    slope, start = np.polyfit(middle[:, 1], (right_px - left_px) / np.hypot(1.0, aside), 1)
    return float(-start / slope) if slope > 0.0 else None


def _columns(ahead_m: Series, left_m: Series) -> Series:
    return TRAINING_CAMERA.project(np.stack((ahead_m, left_m), axis=1))[:, 0]
