# SPDX-License-Identifier: Apache-2.0
"""Re-projection of recorded frames over the surface of a known road.

The surface has the height and the bank of the nearest piece of the road ahead, also beside it. The
ray of each pixel is followed until it meets the surface, and the place that it meets is looked up
in the recorded frame. Rays that meet nothing within 110 m see what is infinitely far away.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.mapping.placement import Placement, open_placed
from sim_bridge.simulator.arrays import FloatArray
from sim_bridge.simulator.track import Track
from steering_net.evaluation.data_driven import Offset
from steering_net.vehicle import REAR_AXLE_M, Pose
from steering_net.vision.camera_model import UP_FROM_DOWN, Pinhole, Rgb, find_camera
from steering_net.vision.frame_size import as_frame

_CELL_M = 2.0
_AHEAD_M, _ASIDE_M = np.arange(-4.0, 112.1, _CELL_M), np.arange(-30.0, 30.1, _CELL_M)
_BEHIND_M, _SIGHT_M = 12.0, 130.0
_STRETCH_M = 2.0
_NODE_PX = 5
"""Rays are followed for every fifth pixel, and what lies between is interpolated."""
_FAR_M = 1e5


def _depths() -> NDArray[np.float32]:
    depths = [1.0]
    while depths[-1] < _AHEAD_M[-1]:
        depths.append(depths[-1] * 1.08 + 0.1)
    return np.array(depths, np.float32)


_DEPTHS_M = _depths()


class Stand(NamedTuple):
    """A car on the road: pose, height, and the rotation from its axes to those of the track."""

    pose: Pose
    height_m: float
    rotation: FloatArray

    def eye(self, camera: Pinhole) -> FloatArray:
        """Return the camera's place: x, y, z."""
        origin = np.array([self.pose.x_m, self.pose.y_m, self.height_m])
        return np.asarray(origin + self.rotation @ (camera.forward_m, 0.0, camera.height_m))

    def image_of(self, camera: Pinhole, points_m: FloatArray) -> FloatArray:
        """Return the image coordinates (2, n) of points (3, n), m; NaN for those behind it."""
        ahead, left, up = self.rotation.T @ (points_m - self.eye(camera)[:, None])
        image = np.linalg.inv(camera.ray_from_image()) @ np.stack([ahead, left, -up])
        scale = np.where(image[2] > 1e-3, image[2], np.nan)
        return np.asarray(image[:2] / scale)


def stand_on(track: Track, pose: Pose, near_s_m: float) -> Stand:
    """Return a car at a pose on the road; `near_s_m` says on which stretch of the lap."""
    place = track.project(pose.x_m, pose.y_m, near_s_m)
    posture = track.posture(place, pose.yaw_rad)
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return Stand(pose, posture.height_m, turn @ posture.rotation())


class RoadView:
    """Shows frames of a placed recording as seen from another place on the road."""

    def __init__(self, placement: Placement, camera: str) -> None:
        """`camera` took the frames, in the notation of `find_camera`."""
        self._placement, self._track = placement, open_placed(placement)
        self._camera = find_camera(camera)
        self._sign = -1.0 if placement.is_reversed else 1.0
        width, height = self._camera.width_px, self._camera.height_px
        u, v = np.meshgrid(
            np.arange(0.0, width + 1, _NODE_PX), np.arange(0.0, height + 1, _NODE_PX)
        )
        pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
        self._rays = self._camera.ray_from_image() @ pixels * UP_FROM_DOWN
        self._nodes = u.shape
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        self._at_node = (
            (columns / _NODE_PX).astype(np.float32),
            (rows / _NODE_PX).astype(np.float32),
        )

    def __call__(self, row: int, rgb: Rgb, offset: Offset) -> Rgb:
        """Return the frame of a row of the recording as seen from a car at an offset from it.

        Raises ImageError for a frame that `as_frame` rejects.
        """
        index = row - self._placement.rows.start
        taken = self._placement.pose(index)
        s_m = float(self._placement.s_m[index])
        back_m = REAR_AXLE_M * (math.cos(offset.yaw_rad) - 1.0)
        cos, sin = math.cos(taken.yaw_rad), math.sin(taken.yaw_rad)
        seen = Pose(
            taken.x_m + back_m * cos - offset.origin_m * sin,
            taken.y_m + back_m * sin + offset.origin_m * cos,
            taken.yaw_rad + offset.yaw_rad,
        )
        where = self._looked_up(
            stand_on(self._track, taken, s_m), stand_on(self._track, seen, s_m), s_m
        )
        return np.asarray(
            cv2.remap(as_frame(rgb), *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    def _looked_up(
        self, taken: Stand, seen: Stand, s_m: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the pixel indices in the recorded frame for each pixel of the result."""
        surface = RoadHeights(self._track, taken.pose, s_m, self._sign)
        rays = seen.rotation @ self._rays
        eye = seen.eye(self._camera)
        depth = surface.met_at(eye, rays)
        u, v = taken.image_of(self._camera, eye[:, None] + depth * rays) - 0.5
        return self._between(u), self._between(v)

    def _between(self, values: FloatArray) -> NDArray[np.float32]:
        """Return the values at all pixels, from those at the nodes."""
        nodes = np.nan_to_num(values, nan=-1.0).astype(np.float32).reshape(self._nodes)
        return np.asarray(cv2.remap(nodes, *self._at_node, cv2.INTER_LINEAR), np.float32)


class RoadHeights:
    """Heights of the road around a car, on a grid along the car's own axes."""

    def __init__(self, track: Track, pose: Pose, s_m: float, sign: float) -> None:
        self._pose = pose
        s = s_m + sign * np.arange(-_BEHIND_M, _SIGHT_M, _STRETCH_M)
        index = track.index(s)
        cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
        dx, dy = (track.centre_m[index] - (pose.x_m, pose.y_m)).T
        road = np.stack([dx * cos + dy * sin, dy * cos - dx * sin], axis=1).astype(np.float32)
        ahead, left = np.meshgrid(_AHEAD_M, _ASIDE_M, indexing='ij')
        cells = np.stack([ahead.ravel(), left.ravel()], axis=1).astype(np.float32)
        squares = (road**2).sum(axis=1) - 2.0 * cells @ road.T
        nearest = squares.argmin(axis=1)
        heights = track.height_m[index]
        if track.surface is not None:
            away = cells - road[nearest]
            yaw_rad = track.yaw_rad[index][nearest] - pose.yaw_rad
            left_m = away[:, 1] * np.cos(yaw_rad) - away[:, 0] * np.sin(yaw_rad)
            banked = track.surface.bank_rad[index][nearest] * np.clip(left_m, -6.0, 6.0)
            slope = track.surface.slope[index][nearest]
            along_m = away[:, 0] * np.cos(yaw_rad) + away[:, 1] * np.sin(yaw_rad)
            banked += slope * np.clip(along_m, -_STRETCH_M, _STRETCH_M)
            heights = heights[nearest] + banked
        else:
            heights = heights[nearest]
        grid = cv2.GaussianBlur(heights.reshape(ahead.shape).astype(np.float32), (3, 3), 0.5)
        self._heights = np.asarray(grid, np.float32)

    def met_at(self, eye: FloatArray, rays: FloatArray) -> FloatArray:
        """Return how often each ray (3, n) fits between the eye and the surface; far if never."""
        cos, sin = math.cos(self._pose.yaw_rad), math.sin(self._pose.yaw_rad)
        level = np.maximum(np.hypot(rays[0], rays[1]), 1e-6)
        unit = (rays / level).astype(np.float32)
        depths = _DEPTHS_M[:, None]
        dx = depths * unit[0] + np.float32(eye[0] - self._pose.x_m)
        dy = depths * unit[1] + np.float32(eye[1] - self._pose.y_m)
        row = ((dx * cos + dy * sin) - _AHEAD_M[0]) / _CELL_M
        column = ((dy * cos - dx * sin) - _ASIDE_M[0]) / _CELL_M
        ground = cv2.remap(
            self._heights, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        above = np.float32(eye[2]) + depths * unit[2] - ground
        below = above <= 0.0
        first = below.argmax(axis=0)
        lines = np.arange(rays.shape[1])
        before = np.maximum(first - 1, 0)
        high, low = above[before, lines], above[first, lines]
        share = np.where(first > 0, high / np.maximum(high - low, 1e-6), 0.0)
        depth = _DEPTHS_M[before] + share * (_DEPTHS_M[first] - _DEPTHS_M[before])
        return np.asarray(np.where(below.any(axis=0), depth, _FAR_M) / level, np.float64)
