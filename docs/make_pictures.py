# SPDX-License-Identifier: Apache-2.0
"""Draw the picture of a lap that the shipped network drove, for the README."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sim_bridge.evaluation.closed_loop import drive
from sim_bridge.simulator.track import Track, make_track
from steering_net.inference.predictor import load_predictor
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.jpeg import decode_jpeg

MAP_SEED = 4
SPEED_LIMIT_MPS = 6.7


def edge(track: Track, side: float) -> np.ndarray:
    """Return one edge of the road, (N, 2), m; side 1.0 is the left edge."""
    normal = np.column_stack([-np.sin(track.yaw_rad), np.cos(track.yaw_rad)])
    return track.centre_m + side * track.half_width_m[:, None] * normal


def lap(path: Path) -> None:
    """Draw the road and the path of the car from above."""
    predictor = load_predictor(camera=AUTONOMOUS)
    done = drive(MAP_SEED, 1, SPEED_LIMIT_MPS, lambda jpeg: predictor.predict(decode_jpeg(jpeg)))
    track = make_track(MAP_SEED)
    figure, axes = plt.subplots(figsize=(8, 5), layout='constrained')
    road = np.vstack([edge(track, 1.0), edge(track, -1.0)[::-1]])
    axes.fill(*road.T, color='0.82', label='road')
    axes.plot(*track.centre_m.T, color='white', linewidth=1.0, linestyle=(0, (6, 6)))
    axes.plot(*done.path_m.T, color='tab:red', linewidth=1.4, label='driven by the network')
    axes.plot(*done.path_m[0], 'o', color='tab:red', markersize=6, label='start')
    figures = done.report
    axes.set_title(
        f'track {MAP_SEED}: {figures["distance_m"]:.0f} m, '
        f'{figures["rms_cross_track_m"]:.2f} m RMS off the middle, '
        f'{figures["lane_departures"]} lane departures',
        fontsize=11,
    )
    axes.set_aspect('equal')
    axes.set_xlabel('x (m)')
    axes.set_ylabel('y (m)')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'images')
    folder = parser.parse_args().out
    lap(folder / 'drive.png')
