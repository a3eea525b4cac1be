# SPDX-License-Identifier: Apache-2.0
"""Shadows of trees on the ground: a stem and a crown, stretched away from the sun."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray, Image
from sim_bridge.simulator.terrain import CELL_M, Terrain, sun_colours
from sim_bridge.simulator.worlds.world import Light

_SHIFT = 4
_STEM_SHARE = 0.02
_CROWN_M = {'palm': (0.75, 0.40, 11), 'conifer': (0.68, 0.20, 7)}
"""Height and reach of a tree's crown, in units of its height, and the crown's points."""


def cast_shadows(
    terrain: Terrain, trees: FloatArray, kind: str, light: Light, rng: np.random.Generator
) -> None:
    """Darken the terrain where trees, (n, 4) x, y, z of feet and heights, shade it."""
    sunny = np.full(terrain.height.shape, 255, np.uint8)
    away = -np.array([math.cos(light.azimuth_rad), math.sin(light.azimuth_rad)])
    reach = away / math.tan(light.elevation_rad)
    across = np.array([-away[1], away[0]])
    crown_m, radius_m, points = _CROWN_M[kind]
    angle = np.linspace(0.0, math.tau, 2 * points, endpoint=False)
    for x, y, _, height_m in trees:
        foot = np.array([x, y])
        crown = foot + reach * height_m * crown_m
        side = across * height_m * _STEM_SHARE
        _darken(sunny, terrain, np.array([foot - side, foot + side, crown + side, crown - side]))
        radius = radius_m * height_m * np.where(np.arange(2 * points) % 2, 0.3, 1.0)
        radius = radius * rng.uniform(0.7, 1.1, 2 * points)
        # A crown is as deep as it is wide; its shadow is stretched along the rays.
        outline = np.outer(radius * np.cos(angle), away) / math.sin(light.elevation_rad)
        outline = outline + np.outer(radius * np.sin(angle), across)
        _darken(sunny, terrain, crown + outline)
    before = terrain.colour[..., 3]
    after = cv2.multiply(before, sunny, None, 1.0 / 255.0)
    factors = sun_colours(light).astype(np.float32)
    shaded = np.flatnonzero(sunny.ravel() < 255)
    flat = terrain.colour.reshape(-1, 4)
    old, new = factors[before.ravel()[shaded]], factors[np.asarray(after).ravel()[shaded]]
    flat[shaded, :3] = (flat[shaded, :3] * (new / np.maximum(old, 1.0))).astype(np.uint8)
    flat[shaded, 3] = np.asarray(after).ravel()[shaded]


def _darken(sunny: Image, terrain: Terrain, outline_m: NDArray[np.float64]) -> None:
    cells = (outline_m - np.array([terrain.x0_m, terrain.y0_m])) / CELL_M
    points = np.rint(cells * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(sunny, [points], 30, cv2.LINE_AA, _SHIFT)
