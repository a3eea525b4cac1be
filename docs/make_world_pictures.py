# SPDX-License-Identifier: Apache-2.0
"""Draw the picture of the worlds in docs/simulators.md: frames of the lake, the jungle and hills.

python docs/make_world_pictures.py [--out docs/images]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track

ROWS: tuple[tuple[TrackName, tuple[float, ...]], ...] = (
    ('lake', (310.0, 560.0, 664.0, 990.0)),
    ('jungle', (20.0, 440.0, 1028.0, 1198.0)),
    ('hills:1', (50.0, 150.0, 300.0, 450.0)),
)
"""Tracks, and the places along the lap, m, that a row of the picture shows."""


def main() -> None:
    """Write worlds.jpg into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder')
    path = parser.parse_args().out / 'worlds.jpg'
    rows = []
    for name, places_m in ROWS:
        track = open_track(name)
        render = make_camera(track)
        rows.append(np.hstack([render(track.pose(s_m), s_m) for s_m in places_m]))
    picture = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(path)


if __name__ == '__main__':
    main()
