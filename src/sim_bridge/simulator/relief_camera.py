# SPDX-License-Identifier: Apache-2.0
"""The camera of tracks with terrain: rays against a height field, column by column, in NumPy.

All image columns of a level camera lie in vertical planes. In each plane the ground is sampled at
growing distances, and the running maximum of its elevation angle hides what lies behind a crest.
The ray of each pixel of the real, tilted camera then meets the ground between two samples of its
plane. Bridges are level plates above this ground. Colours come from the road's texture along the
lap and from the terrain's; trees and posts are polygons, cut where nearer ground hides them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.arrays import Floats, Image
from sim_bridge.simulator.bonnet import BONNET_M, draw_bonnet
from sim_bridge.simulator.bridges import Bridge, bridges_of
from sim_bridge.simulator.camera import FAR_M
from sim_bridge.simulator.sprites import Sprites, View
from sim_bridge.simulator.strip import ALONG_M, ASPHALT, LEVELS, PAD_M, REACH_M, paint_strip
from sim_bridge.simulator.terrain import CELL_M, make_terrain, sun_colours
from sim_bridge.simulator.track import Posture, Track
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, UP_FROM_DOWN, Pinhole

_COLUMNS = 224
_BINS = 256
_ROW = _BINS + 2
"""Bins of one column, and one more at each end."""
_NEAREST_M = 1.2
_FARTHEST_M = 480.0
_GROWTH = 1.04
_GAP_M = 0.08
"""Each sample of a plane lies this far behind `_GROWTH` times the depth of the one before."""
_BRIDGE_SIGHT_M = 160.0
_UNDERSIDE = (62, 62, 66)
_LEVEL_STEPS_M = [2.8 * ALONG_M * 4**level for level in range(LEVELS - 1)]
"""Distance along the lap between two rows of a frame from which the next level is used."""
_BONNET = (186.0, 184.0, 176.0)
_GRAIN_PX = 64
_FLUSH_M = np.float32(0.3)
"""A bridge also hides ground that is this much nearer, because its ends lie on the ground."""
_LEAST_AHEAD = 0.1
"""A strongly tilted camera sees beyond the zenith or below itself, where tangents change sign."""
_SKY_TOP = 0.8
"""Tangent of the elevation at which the sky has its upper colour."""


class _Hits(NamedTuple):
    """Where the rays of the pixels meet the world, (rows, columns) each."""

    depth: Floats
    x: Floats
    y: Floats
    along: Floats
    lateral: Floats
    sky: NDArray[np.bool_]
    bridge: NDArray[np.bool_] | None
    is_below: bool


class ReliefCamera:
    """Renders the frames of the car's camera on one track with terrain. Not thread-safe."""

    def __init__(self, track: Track, params: Pinhole | None = None) -> None:
        """Build terrain and textures, which takes about 0.6 s; `params`: Autonomous mode's."""
        if track.surface is None:
            raise ValueError('the track is flat')
        self.params = params or AUTONOMOUS_CAMERA
        self._track = track
        self._world = world = track.surface.world
        self._terrain = make_terrain(track, world)
        self._strip = paint_strip(track, world)
        self._plain_m = float(self._terrain.height.min())
        self._plain = self._terrain.colour.mean(axis=(0, 1)).tolist()
        self._sun = sun_colours(world.light)[None]
        self._fog = np.empty((self.params.height_px, self.params.width_px, 3), np.uint8)
        self._fog[:] = np.array(world.light.fog, np.uint8)
        self._bonnet, self._bonnet_mask = draw_bonnet(self.params, np.array(_BONNET))
        self._rays = _pixel_rays(self.params)
        self._depths = _sample_depths()
        self._nearest = self._terrain.nearest.astype(np.intp)
        self._frames = _road_frames(track)
        self._bridges = bridges_of(track)
        self._sky = _sky_colours(world.light.sky)
        self._grain = _grain(world.grain, self.params)
        self._sprites = Sprites(track, world, self._terrain)

    def render(
        self, pose: Pose, near_s_m: float | None = None, depth_m: Floats | None = None
    ) -> Image:
        """Return the (height, width, 3) uint8 RGB image seen by a car at `pose` on the road.

        `near_s_m` says which stretch of road the car is on where two are near each other. For
        `depth_m` see `render_from`.
        """
        place = self._track.project(pose.x_m, pose.y_m, near_s_m)
        return self.render_from(pose, self._track.posture(place, pose.yaw_rad), depth_m)

    def render_from(self, pose: Pose, posture: Posture, depth_m: Floats | None = None) -> Image:
        """Return the image seen by a car in this posture.

        If `depth_m` (height, width) is given, it gets how far ahead each pixel is, FAR_M for the
        sky.
        """
        rotation = posture.rotation()
        eye = self._eye(pose, posture, rotation)
        rays = rotation.astype(np.float32) @ self._rays
        np.maximum(rays[0], _LEAST_AHEAD, out=rays[0])
        shape = (self.params.height_px, self.params.width_px)
        across = (rays[1] / rays[0]).reshape(shape)
        rise = (rays[2] / rays[0]).reshape(shape)
        view = self._look_around(eye, pose.yaw_rad, across, rise)
        image = np.empty((*shape, 3), np.uint8)
        top = self._rows_of_sky(view, rise)
        image[:top] = self._sky_at(rise[:top])
        rise = rise[top:]
        hits = self._meet(view, across[top:], rise)
        image[top:] = self._colours(hits, rise)
        if depth_m is not None:
            depth_m[:top] = FAR_M
            depth_m[top:] = np.where(hits.sky, FAR_M, hits.depth)
        self._sprites.draw(image, view, self._image_from_level(rotation), depth_m)
        cv2.copyTo(self._bonnet, self._bonnet_mask, image[-len(self._bonnet) :])
        if depth_m is not None:
            depth_m[-len(self._bonnet) :][self._bonnet_mask > 0] = BONNET_M
        return image

    def _eye(self, pose: Pose, posture: Posture, rotation: NDArray[Any]) -> NDArray[np.float64]:
        ahead, left, up = rotation @ (self.params.forward_m, 0.0, self.params.height_m)
        cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
        return np.array(
            [
                pose.x_m + ahead * cos - left * sin,
                pose.y_m + ahead * sin + left * cos,
                posture.height_m + up,
            ]
        )

    def _image_from_level(self, rotation: NDArray[Any]) -> NDArray[np.float64]:
        """Return the (3, 3) map from ahead, left, up of the level camera to image coordinates."""
        rays = self.params.ray_from_image() * UP_FROM_DOWN
        return np.asarray(np.linalg.inv(rotation @ rays), np.float64)

    def _look_around(
        self, eye: NDArray[np.float64], yaw_rad: float, across: Floats, rise: Floats
    ) -> View:
        """Sample the ground in vertical planes; return what each plane shows at each elevation."""
        low, high = float(across.min()), float(across.max())
        columns = np.linspace(low, high, _COLUMNS, dtype=np.float32)
        cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
        dx, dy = (cos - columns * sin) / CELL_M, (sin + columns * cos) / CELL_M
        x0, y0 = (eye[0] - self._terrain.x0_m) / CELL_M, (eye[1] - self._terrain.y0_m) / CELL_M
        depths = self._depths[:, None]
        grid_x = depths * dx.astype(np.float32) + np.float32(x0)
        grid_y = depths * dy.astype(np.float32) + np.float32(y0)
        height = cv2.remap(
            self._terrain.height, grid_x, grid_y, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=self._plain_m,
        )  # fmt: skip
        height = np.asarray(height, np.float32) - np.float32(eye[2])
        elevation = np.maximum.accumulate(height / depths, axis=0)
        bottom, top = float(rise.min()), float(rise.max())
        per_bin = (top - bottom) / (_BINS - 1)
        bins = np.clip((elevation - np.float32(bottom)) * np.float32(1.0 / per_bin), -1.0, _BINS)
        index = _index(bins) + np.arange(1, _COLUMNS * _ROW, _ROW)
        counts = np.bincount(index.ravel(), minlength=_COLUMNS * _ROW)
        hidden = np.cumsum(counts.reshape(_COLUMNS, _ROW), axis=1)
        return View(
            eye, cos, sin, low, (high - low) / (_COLUMNS - 1), bottom, per_bin,
            self._depths, height, elevation, hidden,
        )  # fmt: skip

    def _rows_of_sky(self, view: View, rise: Floats) -> int:
        """Return how many rows at the top of the image show nothing but sky."""
        if any(bridge.z_m > view.eye[2] for bridge in self._bridges):
            return 0
        is_sky = rise.min(axis=1) > view.elevation[-1].max()
        return int(np.argmin(is_sky)) if not is_sky.all() else len(is_sky)

    def _sky_at(self, rise: Floats) -> Image:
        """Return the colours of the sky at these tangents of the elevation."""
        return self._sky.take(_index(rise * np.float32(255.0 / _SKY_TOP)), axis=0, mode='clip')

    def _meet(self, view: View, across: Floats, rise: Floats) -> _Hits:
        """Return where the pixels' rays meet the ground or a bridge."""
        last = len(view.depths) - 1
        column = _index((across - view.first_column) * np.float32(1.0 / view.per_column) + 0.5)
        row = _index((rise - view.lowest) * np.float32(1.0 / view.per_bin))
        row += column * _ROW
        first = _pick(view.hidden, row)
        np.minimum(first, last, out=first)
        flat = first * _COLUMNS + column
        # The table counts samples below the lower end of a bin.
        first += _pick(view.elevation, flat) < rise
        np.minimum(first, last, out=first)
        np.multiply(first, _COLUMNS, out=flat)
        flat += column
        far = _pick(view.depths, first)
        above = _pick(view.height, flat) - rise * far
        sky = (first == last) & (above < 0.0)
        flat -= _COLUMNS
        near = (far - np.float32(_GAP_M)) * np.float32(1.0 / _GROWTH)
        below = _pick(view.height, flat) - rise * near
        share = below / np.minimum(below - above, np.float32(-1e-6))
        np.clip(share, 0.0, 1.0, out=share)
        depth = near + share * (far - near)
        cos, sin = np.float32(view.cos), np.float32(view.sin)
        x = depth * (cos - across * sin) + np.float32(view.eye[0])
        y = depth * (sin + across * cos) + np.float32(view.eye[1])
        along, lateral = self._on_road(x, y)
        hits = _Hits(depth, x, y, along, lateral, sky, None, False)
        for bridge in self._bridges:
            hits = self._meet_bridge(bridge, view, hits, across, rise)
        return hits

    def _on_road(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return s and offset of places on the ground, from the nearest road.

        The road's tangent stands for its curve; half a cell away that is right within 2 cm.
        """
        rows, columns = self._terrain.nearest.shape
        to_cell = np.float32(1.0 / CELL_M)
        column = _index((x - np.float32(self._terrain.x0_m)) * to_cell + np.float32(0.5))
        row = _index((y - np.float32(self._terrain.y0_m)) * to_cell + np.float32(0.5))
        np.clip(column, 0, columns - 1, out=column)
        np.clip(row, 0, rows - 1, out=row)
        row *= columns
        row += column
        sample = _pick(self._nearest, row)
        cos, sin, along_m, lateral_m = (_pick(values, sample) for values in self._frames)
        along_m += x * cos
        along_m += y * sin
        lateral_m += y * cos
        lateral_m -= x * sin
        return along_m, lateral_m

    def _meet_bridge(
        self, bridge: Bridge, view: View, hits: _Hits, across: Floats, rise: Floats
    ) -> _Hits:
        start_m, end_m = (
            (bridge.x_m + far * bridge.cos - view.eye[0]) * view.cos
            + (bridge.y_m + far * bridge.sin - view.eye[1]) * view.sin
            for far in (0.0, bridge.length_m)
        )
        if max(start_m, end_m) < -8.0 or min(start_m, end_m) > _BRIDGE_SIGHT_M:
            return hits
        above_m = np.float32(bridge.z_m - view.eye[2])
        with np.errstate(divide='ignore', invalid='ignore'):
            depth = above_m / rise
        cos, sin = np.float32(view.cos), np.float32(view.sin)
        with np.errstate(over='ignore', invalid='ignore'):
            dx = depth * (cos - across * sin) + np.float32(view.eye[0] - bridge.x_m)
            dy = depth * (sin + across * cos) + np.float32(view.eye[1] - bridge.y_m)
            along = dx * np.float32(bridge.cos) + dy * np.float32(bridge.sin)
            lateral = dy * np.float32(bridge.cos) - dx * np.float32(bridge.sin)
            seen = (depth > 0.2) & ((depth < hits.depth + _FLUSH_M) | hits.sky)
            seen &= bridge.covers(along, lateral)
        if not seen.any():
            return hits
        return _Hits(
            np.where(seen, depth, hits.depth),
            np.where(seen, dx + np.float32(bridge.x_m), hits.x),
            np.where(seen, dy + np.float32(bridge.y_m), hits.y),
            np.where(seen, along + np.float32(bridge.first_m), hits.along),
            np.where(seen, lateral, hits.lateral),
            hits.sky & ~seen,
            seen,
            bool(above_m > 0.0),
        )

    def _colours(self, hits: _Hits, rise: Floats) -> Image:
        terrain = self._terrain
        to_cell = np.float32(1.0 / CELL_M)
        x = (hits.x - np.float32(terrain.x0_m)) * to_cell
        y = (hits.y - np.float32(terrain.y0_m)) * to_cell
        image = cv2.remap(
            terrain.colour, x, y, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=self._plain,
        )  # fmt: skip
        road = self._road(hits)
        share = cv2.extractChannel(image, 3)
        if hits.bridge is not None:
            share[hits.bridge] = 128  # The grid has the sunlight below the bridge.
        sun = cv2.LUT(cv2.cvtColor(share, cv2.COLOR_GRAY2RGB), self._sun)
        lit = cv2.multiply(cv2.cvtColor(road, cv2.COLOR_RGBA2RGB), sun, None, 1.0 / 128.0)
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
        kind = cv2.extractChannel(road, 3)
        cv2.copyTo(lit, kind, image)
        cv2.multiply(lit, self._grain_at(hits), lit, 1.0 / 128.0)
        cv2.copyTo(lit, cv2.threshold(kind, ASPHALT - 9, 255, cv2.THRESH_BINARY)[1], image)
        light = self._world.light
        if hits.bridge is not None and hits.is_below:
            image[hits.bridge] = _UNDERSIDE
        if light.fog_m is not None:
            first_m, last_m = light.fog_m
            share = (hits.depth - np.float32(first_m)) * np.float32(1.0 / (last_m - first_m))
            np.clip(share, 0.0, 1.0, out=share)
            fog = self._fog[: len(image)]
            image = cv2.blendLinear(image, fog, 1.0 - share, share)
        sky = self._sky_at(rise)
        cv2.copyTo(sky, hits.sky.astype(np.uint8), image)
        return np.asarray(image, np.uint8)

    def _grain_at(self, hits: _Hits) -> Image:
        """Return the grain of the asphalt in this frame; it moves with the road."""
        row, column = (int(values[-1, 0] * 37.0) % _GRAIN_PX for values in (hits.x, hits.y))
        rows, columns = hits.x.shape
        return self._grain[row : row + rows, column : column + columns]

    def _road(self, hits: _Hits) -> Image:
        """Return the (rows, columns, 4) texture of the road at the pixels, 0 beside it."""
        strip = self._strip
        step = np.empty_like(hits.along)
        np.subtract(hits.along[1:], hits.along[:-1], out=step[:-1])
        step[-1] = step[-2]
        np.abs(step, out=step)
        index = np.zeros(step.shape, np.intp)
        for longest_m in _LEVEL_STEPS_M:
            index += step > longest_m
        column = (hits.along + np.float32(PAD_M)) * _pick(strip.per_m_along, index)
        column -= np.float32(0.5)
        lateral = np.clip(hits.lateral, -REACH_M + 0.3, REACH_M - 0.3)
        row = (np.float32(REACH_M) - lateral) * _pick(strip.per_m_across, index)
        row += _pick(strip.first_row, index) - np.float32(0.5)
        return np.asarray(cv2.remap(strip.image, column, row, cv2.INTER_LINEAR), np.uint8)


def _pixel_rays(params: Pinhole) -> Floats:
    """Return (3, n) rays ahead, left, up of the pixels."""
    return np.asarray(params.rays().reshape(3, -1) * UP_FROM_DOWN, np.float32)


def _road_frames(track: Track) -> list[Floats]:
    """Return cosine and sine of the road's heading at each sample, and what to add there.

    s is x * cos + y * sin plus the third, the offset y * cos - x * sin plus the fourth.
    """
    cos, sin = np.cos(track.yaw_rad), np.sin(track.yaw_rad)
    x, y = track.centre_m.T
    s_m = np.arange(len(x)) * track.step_m
    frames = (cos, sin, s_m - x * cos - y * sin, x * sin - y * cos)
    return [np.ascontiguousarray(values, np.float32) for values in frames]


def _index(values: Floats) -> NDArray[np.intp]:
    return values.astype(np.intp)


def _pick(values: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
    """Return elements of the flattened array; an index outside is clipped."""
    return values.take(index, mode='clip')


def _sample_depths() -> Floats:
    depths = [_NEAREST_M]
    while depths[-1] < _FARTHEST_M:
        depths.append(depths[-1] * _GROWTH + _GAP_M)
    return np.array(depths, np.float32)


def _sky_colours(sky: tuple[Any, Any]) -> Image:
    """Return (256, 3) colours from the horizon up."""
    share = np.sqrt(np.linspace(0.0, 1.0, 256))[:, None]
    top, bottom = np.array(sky[0]), np.array(sky[1])
    return np.asarray(np.rint(bottom + (top - bottom) * share), np.uint8)


def _grain(strength: float, params: Pinhole) -> Image:
    """Return factors of the asphalt's brightness in pixels, 128 for 1, larger than a frame."""
    rng = np.random.default_rng(7)
    shape = (params.height_px + _GRAIN_PX, params.width_px + _GRAIN_PX)
    noise = cv2.GaussianBlur(rng.normal(0.0, 1.0, shape), (0, 0), 0.75)
    gain = np.clip(128.0 * (1.0 + 0.3 * strength * noise), 0, 255).astype(np.uint8)
    return np.asarray(cv2.merge([gain, gain, gain]), np.uint8)
