# SPDX-License-Identifier: Apache-2.0
"""Frames per second of the embedded tracks, of two ways to render hills, and of weather.

    python benchmarks/worlds.py [--rounds 5]

`rays` is the built-in way: rays against a height field (relief_camera.py). `painter` draws the
same terrain and road as quadrilaterals from far to near with cv2.fillConvexPoly, one colour each,
without markings, textures and trees: cells of 4 m within 150 m, and the road in parts of 2 m.
`fog:3` and so on are the built-in ways with the strongest weather of each kind.
All take turns in one run, on one thread, so that other load on the machine affects all alike. The
rates are those of the best of several rounds, by processor time; `start` is the time to build a
track and its camera.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import cv2
import numpy as np
from options import at_least

from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.terrain import CELL_M, make_terrain
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.weather import KINDS, Weather
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA

TRACKS: tuple[TrackName, ...] = (0, 'lake', 'jungle', 'hills:0')
FRAMES = 40
SIGHT_M = 150.0
COARSE = 8
"""Cells of the height grid in one of the painter's."""
BANDS_M = (-5.0, -4.69, -4.54, -0.1, 0.1, 4.54, 4.69, 5.0)
_SHIFT = 4

Render = Callable[[Pose, float], object]


class Painter:
    """Renders hills with projected quadrilaterals, the farthest first."""

    def __init__(self, track: Track) -> None:
        assert track.surface is not None
        terrain = make_terrain(track, track.surface.world)
        height = terrain.height[::COARSE, ::COARSE]
        rows, columns = np.indices(height.shape)
        step_m = COARSE * CELL_M
        points = np.stack(
            [terrain.x0_m + columns * step_m, terrain.y0_m + rows * step_m, height], axis=2
        )
        cells = [points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]]
        ground = np.stack(cells, axis=2).reshape(-1, 4, 3)
        colours = terrain.colour[::COARSE, ::COARSE, :3][:-1, :-1].reshape(-1, 3)
        edges = np.stack(
            [np.column_stack([track.edge_m(m), track.height_m])[::8] for m in BANDS_M]
        )
        ahead = np.roll(edges, -1, axis=1)
        road = np.stack([edges[:-1], ahead[:-1], ahead[1:], edges[1:]], axis=2).reshape(-1, 4, 3)
        tones = np.full((len(road), 3), track.surface.world.asphalt)
        self._quads = np.concatenate([ground, road])
        self._colours = np.concatenate([colours, tones]).tolist()
        self._nearer_m = np.repeat((0.0, 3.0), (len(ground), len(road)))
        self._track = track

    def render(self, pose: Pose, near_s_m: float) -> object:
        """Return the image seen by a car at `pose`."""
        camera = AUTONOMOUS_CAMERA
        place = self._track.project(pose.x_m, pose.y_m, near_s_m)
        posture = self._track.posture(place, pose.yaw_rad)
        cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
        image = np.full((camera.height_px, camera.width_px, 3), 160, np.uint8)
        rays = camera.ray_from_image() * np.array([[1.0], [1.0], [-1.0]])
        cos_p, sin_p = math.cos(posture.pitch_rad), math.sin(posture.pitch_rad)
        pitch = np.array([[cos_p, 0.0, -sin_p], [0.0, 1.0, 0.0], [sin_p, 0.0, cos_p]])
        eye = np.array([pose.x_m, pose.y_m, posture.height_m + camera.height_m])
        middle = self._quads[:, 0] - eye
        depth = middle[:, 0] * cos + middle[:, 1] * sin
        across = middle[:, 1] * cos - middle[:, 0] * sin
        seen = np.flatnonzero(
            (depth > 2.0) & (depth < SIGHT_M) & (np.abs(across) < 1.3 * depth + 6.0)
        )
        seen = seen[np.argsort(self._nearer_m[seen] - depth[seen])]
        corners = self._quads[seen] - eye
        level = np.stack(
            [
                corners[..., 0] * cos + corners[..., 1] * sin,
                corners[..., 1] * cos - corners[..., 0] * sin,
                corners[..., 2],
            ],
            axis=2,
        )
        pixels = level @ np.linalg.inv(pitch @ rays).T
        is_ahead = pixels[..., 2].min(axis=1) > 0.2
        points = np.rint(pixels[..., :2] / pixels[..., 2:] * (1 << _SHIFT)).astype(np.int32)
        for quad, k in zip(points[is_ahead], seen[is_ahead], strict=True):
            cv2.fillConvexPoly(image, quad, self._colours[k], cv2.LINE_8, _SHIFT)
        return image


def frame_s(track: Track, render: Render) -> float:
    """Return the processor time of one frame in one round, s."""
    places = [track.length_m * k / FRAMES for k in range(FRAMES)]
    poses = [track.pose(s_m, 0.5, 0.03) for s_m in places]
    started_s = time.thread_time()
    for pose, s_m in zip(poses, places, strict=True):
        render(pose, s_m)
    return (time.thread_time() - started_s) / FRAMES


def main() -> None:
    """Print one line for each track and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=at_least(1), default=5, help='rounds of 40 frames')
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    ways: dict[tuple[str, str], tuple[Track, Render]] = {}
    starts_s: dict[str, float] = {}
    for name in TRACKS:
        started_s = time.process_time()
        track = open_track(name)
        render = make_camera(track)
        starts_s[str(name)] = time.process_time() - started_s
        ways[str(name), 'homography' if track.surface is None else 'rays'] = track, render
    for kind in KINDS:
        for name in ('0', 'jungle'):
            track = next(track for (known, _), (track, _) in ways.items() if known == name)
            ways[name, f'{kind}:3'] = track, make_camera(track, weather=Weather(kind, 3))
    jungle = ways['jungle', 'rays'][0]
    ways['jungle', 'painter'] = jungle, Painter(jungle).render
    best_s = dict.fromkeys(ways, math.inf)
    for _ in range(rounds):
        for way, (track, render) in ways.items():
            best_s[way] = min(best_s[way], frame_s(track, render))
    flat_s = best_s['0', 'homography']
    print(f'{"track":10}{"way":12}{"frames/s":>10}{"times flat":>12}{"start (s)":>11}')
    for (name, way), seconds in best_s.items():
        start = f'{starts_s[name]:.2f}' if way in ('homography', 'rays') else ''
        print(f'{name:10}{way:12}{1.0 / seconds:10.0f}{seconds / flat_s:12.1f}{start:>11}')


if __name__ == '__main__':
    main()
