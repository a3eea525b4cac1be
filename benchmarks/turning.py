# SPDX-License-Identifier: Apache-2.0
"""Cost of turning a frame to the network's camera: preprocessing without it and with it.

    python benchmarks/turning.py [--rounds 200]

Both take turns in one run, so that other load on the machine affects both alike. A frame of an
embedded track is preprocessed as in the steering node, on one thread. The times are microseconds
of processor time per frame, medians over rounds of 20 frames. `apart` is the mean difference of
the result from that of turning the whole frame first and preprocessing it then, in levels of 0 to
255, over all pixels that count.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np
from options import at_least

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA, turned
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import find_profile
from steering_net.vision.view import View

# Profiles, and the rows of the picture that count for a network that crops its input itself.
VIEWS = (
    ('course', None),
    ('course_noblur', None),
    ('naoki', None),
    ('ksakmann', None),
    ('naoki:rows=70-136,interpolation=area', None),
    ('ksakmann:interpolation=area', None),
    ('carnd_raw_rgb', (70, 135)),
    ('carnd_raw_rgb', (50, 140)),
    ('carnd_raw_rgb', None),
)
FRAMES = 20


def time_us(view: View, frames: list[np.ndarray], out: np.ndarray) -> float:
    """Return the microseconds of processor time per frame of one round."""
    started_s = time.thread_time()
    for frame in frames:
        view(frame, out)
    return (time.thread_time() - started_s) / len(frames) * 1e6


def main() -> None:
    """Print one line for each profile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=at_least(1), default=200, help='rounds of 20 frames')
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    track = make_track(0)
    camera = Camera(track, AUTONOMOUS_CAMERA)
    frames = [camera.render(track.pose(15.0 * i)) for i in range(FRAMES)]
    print(f'{"profile":36}  without   with   more (us)   apart (levels)')
    for name, rows in VIEWS:
        profile = find_profile(name)
        views = (View(profile, rows=rows), View(profile, AUTONOMOUS, rows))
        out = np.empty(profile.output_shape(), np.float32)
        counted = slice(*rows) if rows else slice(None)
        times = [[time_us(view, frames, out) for view in views] for _ in range(rounds)]
        without, with_it = (statistics.median(column) for column in zip(*times, strict=True))
        apart = [
            np.abs(
                views[1](frame)
                - preprocess(turned(frame, AUTONOMOUS_CAMERA, TRAINING_CAMERA), profile)
            )[counted].mean()
            / (profile.scale or 1.0)
            for frame in frames
        ]
        title = f'{name}, rows {rows[0]}-{rows[1]} count' if rows else name
        print(
            f'{title:36}  {without:7.0f} {with_it:6.0f}   {with_it - without:9.0f}   '
            f'{np.mean(apart):14.2f}'
        )


if __name__ == '__main__':
    main()
