# SPDX-License-Identifier: Apache-2.0
"""The car's bonnet at the bottom of its camera's image."""

from __future__ import annotations

import cv2
import numpy as np

from sim_bridge.simulator.arrays import FloatArray, Image
from steering_net.vision.camera_model import Pinhole

_ROWS = 24

BONNET_M = 0.5
"""Depth of the bonnet."""


def draw_bonnet(params: Pinhole, colour: FloatArray) -> tuple[Image, Image]:
    """Return the bonnet, (24, width, 3), in a lit colour, and its mask, 255 where it is."""
    image = np.zeros((_ROWS, params.width_px, 3), np.uint8)
    mask = np.zeros((_ROWS, params.width_px), np.uint8)
    centre, axes = (round(params.cx_px), _ROWS + 6), (108, _ROWS + 4)
    for shrink, tone in ((0, 0.72), (3, 1.0), (11, 0.55), (13, 0.92), (17, 0.6)):
        inner = (axes[0] - 2 * shrink, axes[1] - shrink)
        band = tuple(float(c) for c in colour * tone)
        cv2.ellipse(image, centre, inner, 0, 180, 360, band, -1, cv2.LINE_AA)
    cv2.ellipse(mask, centre, axes, 0, 180, 360, 255, -1)
    return image, mask
