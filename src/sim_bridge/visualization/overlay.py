# SPDX-License-Identifier: Apache-2.0
"""Overlay of a frame: predicted path, steering, speed, throttle and latency. Pure.

The annotated topic, videos and picture sheets use the same drawing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from steering_net.bicycle_model import arc, curvature_1pm
from steering_net.vehicle import MAX_STEERING_RAD, REAR_AXLE_M, TRACK_M
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, Pinhole
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH, as_frame

Rgb = npt.NDArray[np.uint8]

SCALE = 2
"""Size of the drawing relative to the frame, so that text is readable."""
PATH_COLOUR = (70, 190, 255)
"""RGB of the commanded steering and of its path."""
RECORDED_COLOUR = (240, 170, 60)
"""RGB of the recorded steering."""

_HALF_TRACK_M = TRACK_M / 2
_PATH_M = 22.0

_LIMIT = (240, 90, 80)
_INK = (255, 255, 255)
_SHADE = (20, 24, 28)


@dataclass(frozen=True)
class Reading:
    """Values at one frame, SI, left positive. A value of None is not drawn."""

    commanded_rad: float | None = None
    recorded_rad: float | None = None
    speed_mps: float | None = None
    limit_mps: float | None = None
    throttle: float | None = None
    latency_ms: float | None = None


def predicted_path(steering_rad: float, offset_m: float = 0.0) -> npt.NDArray[np.float64]:
    """Path (n, 2) of a car that keeps its steering: m ahead and m left of the car's origin.

    offset_m: the path of a point beside the middle of the rear axle, left positive.
    """
    distance_m = np.linspace(0.0, _PATH_M, 45, dtype=np.float64)
    ahead_m, left_m, turn_rad = arc(np.full(45, curvature_1pm(steering_rad)), distance_m)
    ahead_m = ahead_m - offset_m * np.sin(turn_rad) - REAR_AXLE_M
    return np.stack((ahead_m, left_m + offset_m * np.cos(turn_rad)), axis=1)


def draw(rgb: Rgb, reading: Reading, camera: Pinhole = AUTONOMOUS_CAMERA) -> Rgb:
    """Return a drawing, uint8 (320, 640, 3) RGB, over a frame of `camera`, uint8 (H, W, 3) RGB.

    Raises ImageError for a frame that `as_frame` rejects.
    """
    size = (SCALE * FRAME_WIDTH, SCALE * FRAME_HEIGHT)
    canvas = np.asarray(cv2.resize(as_frame(rgb), size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if reading.commanded_rad is not None:
        _draw_path(canvas, reading.commanded_rad, camera)
    _draw_needles(canvas, reading)
    _draw_figures(canvas, reading)
    return canvas


def _draw_path(canvas: Rgb, steering_rad: float, camera: Pinhole) -> None:
    left, right = (
        np.round(
            SCALE * camera.project(predicted_path(steering_rad, side * _HALF_TRACK_M))
        ).astype(np.int32)
        for side in (1.0, -1.0)
    )
    if len(left) < 2 or len(right) < 2:
        return
    lane = canvas.copy()
    cv2.fillPoly(lane, [np.concatenate((left, right[::-1]))], PATH_COLOUR, cv2.LINE_AA)
    cv2.addWeighted(lane, 0.28, canvas, 0.72, 0.0, dst=canvas)
    cv2.polylines(canvas, [left, right], False, PATH_COLOUR, 2, cv2.LINE_AA)


def _draw_needles(canvas: Rgb, reading: Reading) -> None:
    """Draw the steering as needles. Full lock, 25 degrees, turns a needle by 70 degrees."""
    height, width = canvas.shape[:2]
    hub = (width // 2, height - 10)
    radius = height // 5
    cv2.ellipse(canvas, hub, (radius, radius), 0, 200, 340, _INK, 1, cv2.LINE_AA)
    needles = ((reading.recorded_rad, RECORDED_COLOUR, 2), (reading.commanded_rad, PATH_COLOUR, 3))
    for steering_rad, colour, thickness in needles:
        if steering_rad is not None:
            turn = math.radians(70.0) * max(-1.0, min(1.0, steering_rad / MAX_STEERING_RAD))
            tip = (
                round(hub[0] - 0.9 * radius * math.sin(turn)),
                round(hub[1] - 0.9 * radius * math.cos(turn)),
            )
            cv2.line(canvas, hub, tip, colour, thickness, cv2.LINE_AA)
    cv2.circle(canvas, hub, 4, _INK, -1, cv2.LINE_AA)


def _draw_figures(canvas: Rgb, reading: Reading) -> None:
    lines = []
    if reading.speed_mps is not None:
        limit = '' if reading.limit_mps is None else f' / {reading.limit_mps:.1f}'
        lines.append((f'{reading.speed_mps:.1f}{limit} m/s', _too_fast(reading)))
    if reading.throttle is not None:
        lines.append((f'throttle {reading.throttle:+z.2f}', _INK))
    if reading.commanded_rad is not None:
        lines.append((f'steering {reading.commanded_rad:+z.3f} rad', PATH_COLOUR))
    if reading.recorded_rad is not None:
        lines.append((f'recorded {reading.recorded_rad:+z.3f} rad', RECORDED_COLOUR))
    if reading.latency_ms is not None:
        lines.append((f'latency {reading.latency_ms:.1f} ms', _INK))
    if not lines:
        return
    box = canvas[8 : 16 + 18 * len(lines), 8:178]
    box[:] = (0.45 * box + 0.55 * np.array(_SHADE)).astype(np.uint8)
    for number, (text, colour) in enumerate(lines):
        at = (16, 26 + 18 * number)
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


def _too_fast(reading: Reading) -> tuple[int, int, int]:
    if reading.speed_mps is None or reading.limit_mps is None:
        return _INK
    return _LIMIT if reading.speed_mps > 1.05 * reading.limit_mps else _INK
