# SPDX-License-Identifier: Apache-2.0
"""Short trainings, and frames for them: a line on grey that leads to where it leans."""

import tracemalloc
from contextlib import contextmanager

import cv2
import numpy as np

from steering_net.training.augmentation import Augmentation
from steering_net.vision.profile import COURSE, Profile

PLAIN = Augmentation(
    flip=False,
    max_shift_m=0,
    max_yaw_rad=0,
    max_pitch_rad=0,
    max_roll_rad=0,
    max_height_m=0,
    bonnet=0,
    shadow=0,
    blur=0,
    noise=0,
    max_gain_change=0,
    max_gamma_change=0,
    max_tint=0,
)

BELOW = COURSE.below(50)
WHOLE = Profile('whole', rows=None, colour='rgb', blur=0, size=None, scale=1.0)


def road(lean):
    """A grey frame with a white line from the horizon's middle down, `lean` px to the right."""
    rgb = np.full((160, 320, 3), 60, np.uint8)
    cv2.line(rgb, (160, 70), (160 + lean, 160), (255, 255, 255), 6)
    return rgb


def samples(count=160, seed=0):
    """A line that leans left is followed to the left."""
    for lean in np.random.default_rng(seed).integers(-120, 121, count):
        yield road(int(lean)), -0.3 * int(lean) / 120


def drawn_log(folder):
    """Write a log of forty rows, a tenth of a second apart, and return its path.

    Each row has three cameras and steers half right.
    """
    (folder / 'IMG').mkdir()
    lines = []
    for i in range(40):
        time = f'2020_01_01_00_00_{i // 10:02}_{i % 10}00'
        names = [f'{side}_{time}.jpg' for side in ('center', 'left', 'right')]
        for name in names:
            cv2.imwrite(str(folder / 'IMG' / name), road(i)[..., ::-1])
        lines.append(','.join((*(f'C:\\IMG\\{name}' for name in names), '0.5,1,0,30')))
    path = folder / 'driving_log.csv'
    path.write_text('\n'.join(lines), encoding='utf-8')
    return path


@contextmanager
def peak_bytes():
    """Yield a function that returns the most memory that was held inside the block, bytes."""
    peak = [0]
    tracemalloc.start()
    try:
        yield lambda: peak[0]
        peak[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def run_eagerly():
    """Run the few steps of a small training one by one: to compile them first takes seconds."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
