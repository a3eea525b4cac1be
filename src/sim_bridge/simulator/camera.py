# SPDX-License-Identifier: Apache-2.0
"""The camera: a pinhole above flat ground, which renders frames from the painted scenery.

Below the horizon a frame is a homography of the ground. It is drawn in bands of rows. Each band
uses the texture whose texels are about as large as its pixels, and far bands take several samples
per row, so that the picture is anti-aliased. Above the horizon a frame is a part of the panorama.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import FloatArray, Image
from sim_bridge.simulator.bonnet import BONNET_M, draw_bonnet
from sim_bridge.simulator.look import Look, make_look
from sim_bridge.simulator.scenery import (
    GRAIN_M_PER_TEXEL,
    GRAIN_TEXELS,
    PANORAMA_COLUMNS,
    PANORAMA_ROWS,
    GroundMap,
    paint,
)
from sim_bridge.simulator.track import Track
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, Pinhole, above_horizon

FAR_M = 1e4
"""Depth of the sky."""


class _Band(NamedTuple):
    """Rows first..last of the image, drawn from one texture with `samples` samples per row."""

    first: int
    last: int
    ground: GroundMap
    samples: int


class Camera:
    """Renders the frames of the car's camera on one track. Not thread-safe."""

    def __init__(
        self, track: Track, params: Pinhole | None = None, look: Look | None = None
    ) -> None:
        """Paint the scenery, which takes about 0.5 s.

        `params` defaults to the camera of Autonomous mode, `look` to that of the track's seed.
        """
        self.params = params or AUTONOMOUS_CAMERA
        self.look = look or make_look(track.seed)
        # The horizon is rolled: it lies between these rows.
        rise = abs(self.params.horizon_slope) * self.params.width_px / 2
        self._first_row = self._in_image(math.floor(self.params.horizon_px - rise))
        self._sky_rows = self._in_image(math.ceil(self.params.horizon_px + rise))
        scenery = paint(track, self.look)
        self._grain = scenery.grain
        self._panorama = np.concatenate([scenery.panorama, scenery.panorama], axis=1)
        self._sky_mask = above_horizon(self.params)[: self._sky_rows]
        if self._sky_rows:
            self._first_column, self._sky_span, self._sky_map = self._place_sky()
        fine, middle = (self._row_at(m_per_px) for m_per_px in (0.05, 0.15))
        bands = (
            _Band(self._first_row, middle, scenery.far, 4),
            _Band(middle, fine, scenery.middle, 2),
            _Band(fine, self.params.height_px, scenery.near, 1),
        )
        self._bands = [band for band in bands if band.first < band.last]
        self._grain_row = fine
        self._haze = self._haze_shares()
        bonnet = np.clip(np.array(self.look.bonnet) * self.look.light, 0, 255)
        self._bonnet, self._bonnet_mask = draw_bonnet(self.params, bonnet)

    def render(self, pose: Pose) -> Image:
        """Return the (height, width, 3) uint8 RGB image seen by a car at `pose`."""
        params = self.params
        image = np.empty((params.height_px, params.width_px, 3), np.uint8)
        to_world = _world_from_car(pose) @ self.params.ground_from_image()
        for band in self._bands:
            image[band.first : band.last] = self._draw(band, to_world)
        if self._grain_row < params.height_px:
            self._apply_grain(image[self._grain_row :], to_world)
        if self._sky_rows:
            cv2.copyTo(self._sky(pose.yaw_rad), self._sky_mask, image[: self._sky_rows])
        self._apply_haze(image)
        cv2.copyTo(self._bonnet, self._bonnet_mask, image[-len(self._bonnet) :])
        return image

    def depth_m(self) -> NDArray[np.float32]:
        """Return (height, width) how far ahead each pixel is, 0..FAR_M m; FAR_M above the horizon.

        It is the same in all frames, because the ground is flat.
        """
        params = self.params
        ahead, _, down = params.rays()
        depth = params.height_m * ahead / np.maximum(down, params.height_m / FAR_M)
        depth[down <= 0.0] = FAR_M
        depth[-len(self._bonnet) :][self._bonnet_mask > 0] = BONNET_M
        return np.asarray(np.clip(depth, 0.0, FAR_M), np.float32)

    def _row_at(self, m_per_px: float) -> int:
        """Return the first row in which a pixel is less than `m_per_px` of ground wide."""
        return self._in_image(math.ceil(self.params.horizon_px + self.params.height_m / m_per_px))

    def _in_image(self, row: int) -> int:
        """Return the row, or the nearest edge of the image, 0 or its height."""
        return min(max(row, 0), self.params.height_px)

    def _place_sky(self) -> tuple[int, int, tuple[NDArray[Any], NDArray[Any]]]:
        """Return first column and width of the visible part of the panorama, and a map into it.

        They are for a car that looks along +x. The map is that of `cv2.remap` for the sky's rows.
        """
        ahead, left, down = self.params.rays(self._sky_rows)
        columns_per_rad = PANORAMA_COLUMNS / math.tau
        columns = PANORAMA_COLUMNS // 2 - np.arctan2(left, ahead) * columns_per_rad
        rows = PANORAMA_ROWS + down / np.hypot(ahead, left) * self.params.focal_px - 0.5
        first = math.floor(columns.min())
        span = math.ceil(columns.max()) - first + 1
        where = cv2.convertMaps(
            (columns - first).astype(np.float32), rows.astype(np.float32), cv2.CV_16SC2
        )
        return first, span, where

    def _sky(self, yaw_rad: float) -> Image:
        turn = round(yaw_rad * PANORAMA_COLUMNS / math.tau)
        first = (self._first_column - turn) % PANORAMA_COLUMNS
        seen = self._panorama[:, first : first + self._sky_span]
        sky = cv2.remap(seen, *self._sky_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sky, np.uint8)

    def _draw(self, band: _Band, to_world: FloatArray) -> Image:
        rows = band.last - band.first
        size = (self.params.width_px, rows * band.samples)
        matrix = _texel_from_world(band.ground) @ to_world @ _rows_of(band.first, band.samples)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpPerspective(
            band.ground.image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        if band.samples > 1:
            drawn = cv2.resize(drawn, (size[0], rows), interpolation=cv2.INTER_AREA)
        return np.asarray(drawn, np.uint8)

    def _apply_grain(self, rows: Image, to_world: FloatArray) -> None:
        corner_m = to_world @ np.array([self.params.cx_px, self.params.height_px, 1.0])
        tile_m = GRAIN_TEXELS * GRAIN_M_PER_TEXEL
        x0_m, y0_m = np.floor(corner_m[:2] / corner_m[2] / tile_m) * tile_m
        tile = GroundMap(self._grain, float(x0_m), float(y0_m), GRAIN_M_PER_TEXEL)
        matrix = _texel_from_world(tile) @ to_world @ _rows_of(self._grain_row, 1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (rows.shape[1], rows.shape[0])
        gain = cv2.warpPerspective(
            self._grain, matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP
        )
        cv2.multiply(rows, cv2.merge([gain, gain, gain]), rows, 1.0 / 128.0)

    def _haze_shares(self) -> FloatArray:
        """Return the share of haze in each pixel near the horizon, (rows, columns, 1), 0..1."""
        rows = np.arange(self._first_row, self._in_image(self._sky_rows + 12))[:, None] + 0.5
        columns = np.arange(self.params.width_px) + 0.5 - self.params.cx_px
        below_px = rows - self.params.horizon_px - self.params.horizon_slope * columns
        share = 1.0 - np.exp(-0.8 / np.maximum(below_px, 0.1))
        share[(below_px < 0.0) | (below_px > 12.0)] = 0.0
        return np.asarray(share[:, :, None], np.float32)

    def _apply_haze(self, image: Image) -> None:
        rows = image[self._first_row : self._first_row + len(self._haze)]
        colour = np.array(self.look.sky[1], np.float32) * np.array(self.look.light, np.float32)
        rows[:] = rows + (np.minimum(colour, 255.0) - rows) * self._haze


def _world_from_car(pose: Pose) -> FloatArray:
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    return np.array([[cos, -sin, pose.x_m], [sin, cos, pose.y_m], [0.0, 0.0, 1.0]])


def _texel_from_world(ground: GroundMap) -> FloatArray:
    """Return world metres -> texel indices; a texel's index is that of its centre."""
    scale = 1.0 / ground.m_per_texel
    return np.array(
        [
            [scale, 0.0, -ground.x0_m * scale - 0.5],
            [0.0, scale, -ground.y0_m * scale - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )


def _rows_of(first: int, samples: int) -> FloatArray:
    """Return pixel indices of a band with `samples` per row -> image coordinates."""
    return np.array(
        [[1.0, 0.0, 0.5], [0.0, 1.0 / samples, first + 0.5 / samples], [0.0, 0.0, 1.0]]
    )
