# SPDX-License-Identifier: Apache-2.0
"""Make the film of the README: the shipped network drives, beside a map with the car.

python docs/make_film.py [--out docs/images]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from sim_bridge.evaluation.closed_loop import drive
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from sim_bridge.visualization import overlay
from steering_net.inference.predictor import load_predictor
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.jpeg import decode_jpeg

DRIVES: tuple[tuple[TrackName, float, float], ...] = (
    ('lake', 14.0, 26.0),
    ('jungle', 5.0, 23.0),
    ('hills:1', 5.0, 19.0),
)
"""Tracks, and the part of each drive that is shown: from and to, s."""

SPEED_LIMIT_MPS = 6.7
FRAMES_HZ = 60
SHOWN_HZ = 4
SPEED_UP = 2
QUALITY = 25
_MAP_PX = 320
_SIZE_PX = (480, 160)
_ROAD, _DRIVEN, _GROUND = (255, 255, 255), (235, 75, 60), (70, 84, 74)


class Map:
    """The road from above, north up, with the way that was driven so far."""

    def __init__(self, track: TrackName) -> None:
        centre_m = open_track(track).centre_m[:, :2]
        low, high = centre_m.min(axis=0), centre_m.max(axis=0)
        self._scale = (_MAP_PX - 40) / (high - low).max()
        self._middle = (low + high) / 2
        self._canvas = np.full((_MAP_PX, _MAP_PX, 3), _GROUND, np.uint8)
        road = self._pixels(centre_m)
        cv2.polylines(self._canvas, [road], True, _ROAD, 5, cv2.LINE_AA)

    def _pixels(self, points_m: np.ndarray) -> np.ndarray:
        offset = (points_m - self._middle) * self._scale * (1, -1) + _MAP_PX / 2
        return np.round(offset).astype(np.int32)

    def drawn(self, path_m: np.ndarray) -> np.ndarray:
        """Return the map with the path (N, 2), m, whose last point is the car."""
        canvas = self._canvas.copy()
        path = self._pixels(path_m)
        cv2.polylines(canvas, [path], False, _DRIVEN, 4, cv2.LINE_AA)
        cv2.circle(canvas, path[-1].tolist(), 10, _DRIVEN, -1, cv2.LINE_AA)
        return canvas


def pictures(track: TrackName, from_s: float, to_s: float) -> list[np.ndarray]:
    """Drive; return the pictures, each (160, 480, 3), BGR."""
    predictor = load_predictor(camera=AUTONOMOUS)
    driven: list[tuple[bytes, float]] = []

    def steer(jpeg: bytes) -> float:
        driven.append((jpeg, predictor.predict(decode_jpeg(jpeg))))
        return driven[-1][1]

    path_m = drive(track, 1, SPEED_LIMIT_MPS, steer, longest_s=to_s).path_m
    seen = Map(track)
    shown = []
    step = FRAMES_HZ // SHOWN_HZ
    for index in range(int(from_s * FRAMES_HZ), len(driven), step):
        jpeg, steering_rad = driven[index]
        speed_mps = float(np.hypot(*(path_m[index] - path_m[index - step]))) * SHOWN_HZ
        reading = overlay.Reading(
            commanded_rad=steering_rad, speed_mps=speed_mps, limit_mps=SPEED_LIMIT_MPS
        )
        frame = overlay.draw(decode_jpeg(jpeg), reading)
        picture = np.hstack([frame, seen.drawn(path_m[: index + 1])])
        small = cv2.resize(picture, _SIZE_PX, interpolation=cv2.INTER_AREA)
        shown.append(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    return shown


def main() -> None:
    """Write drive.webp into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder')
    path = parser.parse_args().out / 'drive.webp'
    film = cv2.Animation()
    film.frames = [picture for part in DRIVES for picture in pictures(*part)]
    film.durations = [1000 // (SHOWN_HZ * SPEED_UP)] * len(film.frames)
    cv2.imwriteanimation(str(path), film, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    print(path, f'{path.stat().st_size / 1e3:.0f} kB, {len(film.frames)} pictures')


if __name__ == '__main__':
    main()
