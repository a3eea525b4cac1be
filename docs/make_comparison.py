# SPDX-License-Identifier: Apache-2.0
"""Compare recorded frames with frames of the embedded simulator at the same places.

    python docs/make_comparison.py [--data ../shared/data] [--build build] [--out docs/images]

Each recording is placed on its track. At ten places the offset and the heading are fitted to the
lines on the road, within the uncertainty of the placement, and the frame is rendered from there.
A sheet shows both frames side by side. Sheets of recordings whose licence allows it are for the
documentation, the others go to the build folder. The figures, in pixels, are the differences along
the image's rows between the lines in both frames, medians of their absolute values.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sim_bridge.mapping.placement import Placement, locate, open_placed
from sim_bridge.mapping.surface import RoadHeights, stand_on
from sim_bridge.recording.sources import open_recording
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.track import Track
from steering_net.data.centerline import edges_in
from steering_net.data.recording import Recording
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import Pinhole, find_camera

PLACES = 10
HISTOGRAM_PLACES = 80
ROWS = slice(60, 136)
"""Rows of a frame that networks use."""
AHEAD_M = np.arange(2.5, 40.0, 0.5)
REACH_PX = 7
LEAST_CONTRAST = 9.0
BOTTOM_ROW, NEAR_HORIZON_PX = 107, 14
OFFSET_SIGMA_M, HEADING_SIGMA_RAD = 0.4, 0.03


class Sheet(NamedTuple):
    """A recording to compare, and whether its licence allows to show its frames."""

    folder: str
    may_be_shown: bool


SHEETS = (
    Sheet('lake_lap_a', may_be_shown=True),
    Sheet('jungle_mit', may_be_shown=True),
    Sheet('jungle_lap_d', may_be_shown=False),
)


class Line(NamedTuple):
    """A line on the road near a place: its name, and points (3, n), m."""

    name: str
    points_m: np.ndarray


def lines_near(track: Track, name: str, s_m: float) -> list[Line]:
    """Return the painted lines ahead of a place, without those on bridges and beside dirt."""
    index = track.index(s_m + AHEAD_M)
    if name == 'jungle':
        painted = {'left edge': 4.615, 'centre': 0.0, 'right edge': -4.615}
    else:
        place_m = index * track.step_m
        left_m = np.where((place_m > 680) & (place_m < 800), np.nan, track.left_m[index])
        dirt = ((place_m > 70) & (place_m < 120)) | ((place_m > 852) & (place_m < 878))
        right_m = np.where(dirt | np.isnan(left_m), np.nan, track.right_m[index])
        painted = {
            'left edge': left_m - 1.2,
            'left edge, outer': left_m - 0.75,
            'right edge': 1.2 - right_m,
            'right edge, outer': 0.75 - right_m,
        }
    yaw_rad, height_m = track.yaw_rad[index], track.height_m[index]
    x_m, y_m = track.centre_m[index].T
    return [
        Line(
            line,
            np.stack([x_m - left_m * np.sin(yaw_rad), y_m + left_m * np.cos(yaw_rad), height_m]),
        )
        for line, left_m in painted.items()
    ]


def contrast(rgb: np.ndarray, is_yellow: bool) -> np.ndarray:
    """Return how much each pixel is brighter, or yellower, than what lies left and right of it."""
    pixels = rgb.astype(np.float32)
    shown = pixels.min(axis=2)
    if is_yellow:
        shown = (pixels[..., 0] + pixels[..., 1]) / 2 - pixels[..., 2]
    shown = cv2.GaussianBlur(shown, (0, 0), 0.6)
    ridges = [
        shown - np.maximum(np.roll(shown, reach, 1), np.roll(shown, -reach, 1))
        for reach in (2, 4, 7)
    ]
    return np.clip(np.max(ridges, axis=0), 0.0, 40.0)


def visible(track: Track, pose: Pose, s_m: float, camera: Pinhole, line: Line) -> np.ndarray:
    """Return image coordinates (2, n) of a line's points; NaN where a crest hides them."""
    stand = stand_on(track, pose, s_m)
    rays = line.points_m - stand.eye(camera)[:, None]
    image = stand.image_of(camera, line.points_m)
    known = np.isfinite(rays).all(axis=0)
    met = np.full(rays.shape[1], np.nan)
    met[known] = RoadHeights(track, pose, s_m, 1.0).met_at(stand.eye(camera), rays[:, known])
    with np.errstate(invalid='ignore'):
        u, v = image
        seen = (met > 0.9) & (u > REACH_PX + 2) & (u < 318 - REACH_PX) & (v > 60) & (v < 136)
    return np.where(seen, image, np.nan)


def fitted(track: Track, pose: Pose, s_m: float, camera: Pinhole, shown: list, ridges) -> Pose:
    """Return the pose near `pose` at which the lines lie on the ridges of the frame best."""
    best = 0.0, 0.0
    for blur, step_m, step_rad in ((2.5, 0.16, 0.012), (1.2, 0.05, 0.004), (0.8, 0.02, 0.002)):
        smooth = cv2.GaussianBlur(ridges, (0, 0), blur)
        candidates = []
        for i, j in itertools.product(range(-3, 4), repeat=2):
            aside_m, turned_rad = best[0] + i * step_m, best[1] + j * step_rad
            moved = beside(pose, aside_m, turned_rad)
            stand = stand_on(track, moved, s_m)
            points = np.concatenate([line.points_m for line in shown], axis=1)
            u, v = stand.image_of(camera, points)
            with np.errstate(invalid='ignore'):
                inside = (u > 1) & (u < 318) & (v > 60) & (v < 136)
            where = ((u[inside] - 0.5).astype(np.float32), (v[inside] - 0.5).astype(np.float32))
            if not len(where[0]):
                continue
            mean = float(cv2.remap(smooth, *(w[None] for w in where), cv2.INTER_LINEAR).mean())
            usual = (aside_m / OFFSET_SIGMA_M) ** 2 + (turned_rad / HEADING_SIGMA_RAD) ** 2
            candidates.append((mean - 0.15 * usual, aside_m, turned_rad))
        best = max(candidates)[1:] if candidates else best
    return beside(pose, *best)


def beside(pose: Pose, left_m: float, turned_rad: float) -> Pose:
    """Return a pose moved to the left and turned left."""
    cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    return Pose(pose.x_m - left_m * sin, pose.y_m + left_m * cos, pose.yaw_rad + turned_rad)


def peaks(ridges: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the column of the strongest ridge near each point (2, n), px; NaN for none."""
    found = np.full(image.shape[1], np.nan)
    for number, (u, v) in enumerate(image.T):
        if np.isfinite(u):
            first = int(u) - REACH_PX
            near = ridges[int(v), first : first + 2 * REACH_PX + 1]
            top = int(near.argmax())
            if near[top] > LEAST_CONTRAST and 0 < top < 2 * REACH_PX:
                before, here, after = near[top - 1 : top + 2]
                bend = before - 2 * here + after
                found[number] = first + top + 0.5 + (before - after) / (2 * bend or 1.0)
    return found


def compare(recording: Recording, placed: Placement) -> tuple[np.ndarray, list[str]]:
    """Return the sheet of a recording, and its figures as lines of text."""
    track, camera = open_placed(placed), find_camera(recording.camera)
    render = make_camera(track, camera)
    apart: list[tuple[bool, float, float]] = []
    tiles = []
    for row in np.linspace(0, len(placed) - 1, PLACES + 2).astype(int)[1:-1]:
        s_m, real = float(placed.s_m[row]), recording.frame(placed.rows.start + int(row))
        is_yellow = placed.track == 'lake'
        shown, ridges = lines_near(track, placed.track, s_m), contrast(real, is_yellow)
        pose = fitted(track, placed.pose(row), s_m, camera, shown, ridges)
        ours = render(pose, s_m)
        own_ridges = contrast(ours, is_yellow)
        horizon = stand_on(track, pose, s_m).image_of(camera, far_ahead(track, pose, s_m))[1, 0]
        for line in shown:
            image = visible(track, pose, s_m, camera, line)
            difference = peaks(ridges, image) - peaks(own_ridges, image)
            apart += [
                ('edge' in line.name, float(v - horizon if v < BOTTOM_ROW else -v), float(px))
                for v, px in zip(image[1], difference, strict=True)
                if np.isfinite(px)
            ]
        label = f'{placed.track} {s_m:.0f} m'
        cv2.putText(real, label, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
        tiles.append(np.hstack([real, ours]))
    sheet = np.vstack([np.hstack(tiles[i : i + 2]) for i in range(0, PLACES, 2)])
    return sheet, [*figures(apart), *histograms(recording, placed, render)]


def far_ahead(track: Track, pose: Pose, s_m: float) -> np.ndarray:
    """Return a point far ahead of a car in the plane of the road below it, (3, 1)."""
    stand = stand_on(track, pose, s_m)
    origin = np.array([pose.x_m, pose.y_m, stand.height_m])
    return (origin + stand.rotation @ (1e5, 0.0, 0.0))[:, None]


def figures(apart: list[tuple[bool, float, float]]) -> Iterator[str]:
    """Yield the differences of edges and centre lines, at the bottom and near the horizon."""
    for name, is_edge in (('edges', True), ('centre line', False)):
        px = np.array([(where, value) for edge, where, value in apart if edge is is_edge])
        if not len(px):
            continue
        for part, chosen in (
            ('bottom third', px[:, 0] < -60),
            ('between', px[:, 0] > NEAR_HORIZON_PX),
            ('near the vanishing point', np.abs(px[:, 0]) <= NEAR_HORIZON_PX),
        ):
            if chosen.sum() > 4:
                off = np.abs(px[chosen, 1])
                yield (
                    f'{name}, {part}: {np.median(off):.1f} px, nine of ten within '
                    f'{np.percentile(off, 90):.1f} px, {chosen.sum()} points'
                )


def histograms(recording: Recording, placed: Placement, render) -> Iterator[str]:
    """Yield the common share of the colour histograms of both, over the whole lap."""
    both = ([], [])
    for row in np.linspace(0, len(placed) - 1, HISTOGRAM_PLACES).astype(int):
        both[0].append(recording.frame(placed.rows.start + int(row))[ROWS])
        both[1].append(render(placed.pose(row), float(placed.s_m[row]))[ROWS])
    shares = []
    for frames in (*both, both[0][::2], both[0][1::2]):
        counts = cv2.calcHist([np.vstack(frames)], [0, 1, 2], None, [8] * 3, [0, 256] * 3)
        shares.append(counts / counts.sum())
    yield f'colours in common: {np.minimum(*shares[:2]).sum():.2f}'
    yield f'colours in common of two halves of the recording: {np.minimum(*shares[2:]).sum():.2f}'


def main() -> int:
    """Write the sheets and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, default=Path('../shared/data'), help='recordings')
    parser.add_argument('--build', type=Path, default=Path('build'), help='folder')
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder')
    args = parser.parse_args()
    for folder, may_be_shown in SHEETS:
        if not (args.data / folder).is_dir():
            print(f'there is no recording {args.data / folder}; set --data', file=sys.stderr)
            return 2
        recording = open_recording(args.data / folder)
        placed = next(
            p for p in locate(recording, edges_in(recording)) if isinstance(p, Placement)
        )
        sheet, text = compare(recording, placed)
        target = args.out if may_be_shown else args.build
        target.mkdir(parents=True, exist_ok=True)
        path = target / f'compared_{folder}.jpg'
        quality = [cv2.IMWRITE_JPEG_QUALITY, 75]
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), quality)
        print(f'{folder}: {path}')
        print('\n'.join(f'  {line}' for line in text))
    return 0


if __name__ == '__main__':
    sys.exit(main())
