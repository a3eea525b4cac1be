# SPDX-License-Identifier: Apache-2.0
"""Draw the picture of the weather in docs/simulators.md: each kind at strengths 1, 2 and 3.

python docs/make_weather_pictures.py [--out docs/images]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.weather import KINDS, STRENGTHS, Weather

PLACES: tuple[tuple[TrackName, float], ...] = (('lake', 560.0), ('jungle', 20.0))
"""Tracks, and the place along the lap, m; each kind of weather has a row with both."""
WARM_UP = 5
"""Frames that are not shown, so that drops and flakes differ between the pictures."""


def main() -> None:
    """Write weather.jpg into the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('docs/images'), help='folder')
    path = parser.parse_args().out / 'weather.jpg'
    columns = []
    for name, s_m in PLACES:
        track = open_track(name)
        for strength in STRENGTHS:
            frames = []
            for number, kind in enumerate(KINDS):
                render = make_camera(track, weather=Weather(kind, strength))
                for _ in range(WARM_UP + number):
                    frame = render(track.pose(s_m), s_m)
                frames.append(
                    cv2.resize(frame, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
                )
            columns.append(np.vstack(frames))
    picture = cv2.cvtColor(np.hstack(columns), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 82])
    print(path)


if __name__ == '__main__':
    main()
