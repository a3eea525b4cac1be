# SPDX-License-Identifier: Apache-2.0
"""Makes the package's labelled frames: `python benchmarks/labelled_frames.py [FOLDER]`.

32 frames of each look, lake, flat tracks and jungle, at random poses, taken by the camera of
Training mode. `frames.jpg` has them in rows of 12, `labels.csv` the steering of the expert.
"""

import sys
from pathlib import Path

import numpy as np

from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from steering_net.vision.camera_model import TRAINING_CAMERA
from steering_net.vision.jpeg import JPEG_QUALITY, encode_jpeg

LOOKS: dict[str, list[TrackName]] = {
    'lake': ['lake'],
    'flat': [1000, 1001, 1002, 1003],
    'jungle': ['jungle'],
}
FRAMES_PER_LOOK = 32
COLUMNS = 12
OFFSET_M = 1.8
HEADING_RAD = 0.2
FOLDER = Path(__file__).parents[1] / 'src' / 'steering_net' / 'labelled_frames'


def main() -> None:
    """Write both files into the folder of the package, or into the one that is given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    rng = np.random.default_rng(2026)
    frames, lines = [], ['look,steering_rad']
    for look, names in LOOKS.items():
        count = FRAMES_PER_LOOK // len(names)
        for name in names:
            track = open_track(name)
            render = make_camera(track, TRAINING_CAMERA)
            # At equal distances along the lap, in random order, so that a part is fair as well.
            for place in rng.permutation(count):
                s_m = float((place + rng.random()) * track.length_m / count)
                offset_m = float(rng.uniform(-OFFSET_M, OFFSET_M))
                heading_rad = float(rng.uniform(-HEADING_RAD, HEADING_RAD))
                pose = track.pose(s_m, offset_m, heading_rad)
                frames.append(render(pose, s_m))
                lines.append(f'{look},{pursuit_steering_rad(track, pose, s_m):.5f}')
    rows = [np.hstack(frames[at : at + COLUMNS]) for at in range(0, len(frames), COLUMNS)]
    (folder / 'frames.jpg').write_bytes(encode_jpeg(np.vstack(rows), JPEG_QUALITY))
    (folder / 'labels.csv').write_text('\n'.join(lines) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
