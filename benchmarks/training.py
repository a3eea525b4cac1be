# SPDX-License-Identifier: Apache-2.0
"""Training speed of several programs, images/s: each trains two epochs on the same rows.

    .venv/bin/python benchmarks/training.py [--data ../shared/data]

`ours` is `sim-bridge train`: all processors read and crop the images once, and augment them from
memory during the training. `plain` is the usual model.py: a Keras Sequence that reads each file
with cv2.imread when its batch is due, and flips, shifts, shades, brightens and preprocesses it in
Python. `plain, our augmentation` is this Sequence with our functions. Rows, network, optimizer and
loss are the same.

`first` is the first epoch from reading the first file, including the tracing of the graph. `epoch`
is each later epoch. `CPU ms` is the time of all processors per image; other load changes it less
than the elapsed time. `data` is the speed of the data alone, for which a GPU would wait. On a few
processors the network takes most of the time, and the same time in all programs. The programs run
one after the other, each in its own process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SHARED = Path(__file__).parents[2] / 'shared' / 'data'
WAYS = ('ours', 'plain', 'plain, our augmentation')
SOURCES = ('vdesmond/simulation', 'ethanvillalovoz/self-driving-car-simulation')
LOGS = ('train/train.csv', 'train_more/train_more.csv')
PLAIN_BATCH = 32
EPOCHS = 2
PREPARED = 2560
LEARNING_RATE = 1e-3
TOP, BOTTOM = 60, 135
"""Rows of a frame that the course's preprocessing keeps."""
STORED_TOP = 50
"""First row of a frame of which only a crop is stored."""


def time_ours(data: Path) -> dict[str, float]:
    """Measure `sim-bridge train` without validation and without writing files."""
    from steering_net.training.batches import BatchMaker
    from steering_net.training.config import TrainConfig
    from steering_net.training.frames import Frames
    from steering_net.training.recorded_frames import LogSource, recorded_frames
    from steering_net.training.trainer import fit, use_threads
    from steering_net.vision.crop import CROP_TOP
    from steering_net.vision.profile import find_profile

    labels = tuple(sorted((data / 'train' / 'logs').glob('*.csv')))
    sources = [LogSource(data / name, labels, SOURCES) for name in LOGS]
    importlib.import_module('keras')  # Loading it is no part of an epoch.
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(out=Path(folder), epochs=EPOCHS)
        use_threads(config.threads)
        watch = Watch()
        profile = find_profile(config.profile).below(CROP_TOP)
        frames = recorded_frames(sources, config.augmentation, profile)
        frames.held_out[:] = False
        none = Frames(frames.crops[:0], frames.steering_rad[:0], frames.held_out[:0])
        pools = [frames, none]
        fit(config, profile, pools, Path(folder, 'backup'), [watch.callback()])
        batches = BatchMaker(config, profile, pools).batches(0)
        started_s = time.perf_counter()
        for _ in range(PREPARED // config.batch_size):
            next(batches)
        prepared_s = time.perf_counter() - started_s
    return {
        'images': len(frames),
        **watch.figures(),
        'prepared': PREPARED / prepared_s,
    }


def time_plain(data: Path, is_ours: bool) -> dict[str, float]:
    """Measure the Sequence."""
    import keras

    from steering_net.training.devices import compile_for
    from steering_net.training.pilotnet import build_pilotnet

    rows = plain_rows(data)
    prepare = our_augmentation() if is_ours else plain_augmentation
    rng = np.random.default_rng(0)
    rng.shuffle(rows)

    class Rows(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(rows) // PLAIN_BATCH)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            batch = rows[index * PLAIN_BATCH : (index + 1) * PLAIN_BATCH]
            x = np.empty((len(batch), 66, 200, 3), np.float32)
            y = np.empty((len(batch), 1), np.float32)
            for i, (path, steering) in enumerate(batch):
                rgb = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
                x[i], y[i] = prepare(rgb, float(steering), rng)
            return x, y

    model = build_pilotnet()
    compile_for(model, LEARNING_RATE)
    watch = Watch()
    model.fit(Rows(), epochs=EPOCHS, verbose=0, callbacks=[watch.callback()])
    started_s = time.perf_counter()
    for index in range(PREPARED // PLAIN_BATCH):
        Rows()[index]
    prepared_s = time.perf_counter() - started_s
    return {
        'images': len(rows),
        **watch.figures(),
        'prepared': PREPARED / prepared_s,
    }


class Watch:
    """Times of the epochs; the first epoch counts from the creation of this object."""

    def __init__(self) -> None:
        self._seen = [(time.perf_counter(), cpu_s())]

    def callback(self) -> Any:
        """Return the Keras callback that stores the time at the end of each epoch."""
        import keras

        look = lambda *_: self._seen.append((time.perf_counter(), cpu_s()))  # noqa: E731
        return keras.callbacks.LambdaCallback(on_epoch_end=look)

    def figures(self) -> dict[str, float]:
        """Return the duration of both epochs and the CPU time of the second, s."""
        (start_s, _), (first_s, before_s), (second_s, after_s) = self._seen
        return {
            'first_s': first_s - start_s,
            'epoch_s': second_s - first_s,
            'cpu_s': after_s - before_s,
        }


def cpu_s() -> float:
    """Return the CPU time of this process so far, s."""
    times = os.times()
    return times.user + times.system


def plain_rows(data: Path) -> list[tuple[str, float]]:
    """Return path and steering of every image; side cameras get the usual correction of 0.2."""
    from steering_net.data.driving_log import read_log
    from steering_net.data.frame_files import find_image
    from steering_net.training.frames import is_held_out
    from steering_net.vehicle import RECORDER_STEERING_RAD

    rows = []
    for name in LOGS:
        log = read_log(data / name)
        for index, row in enumerate(row for row in log.rows if row.source in SOURCES):
            cameras = ((row.center, 0.0), (row.left, 0.2), (row.right, -0.2))
            steering = row.steering_rad / RECORDER_STEERING_RAD
            rows += [
                (str(find_image(camera, log.path.parent)), steering + side)
                for camera, side in cameras[: 1 if is_held_out(index) else 3]
                if camera
            ]
    return rows


def plain_augmentation(rgb: Any, steering: float, rng: np.random.Generator) -> tuple[Any, float]:
    """Augment and preprocess one image as the usual model.py does."""
    if rng.random() < 0.5:
        rgb, steering = cv2.flip(rgb, 1), -steering
    shift_x, shift_y = 100 * (rng.random() - 0.5), 10 * (rng.random() - 0.5)
    height, width = rgb.shape[:2]
    matrix = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
    rgb = cv2.warpAffine(rgb, matrix, (width, height))
    rgb = brightened(shaded(rgb, rng), rng)
    top = 0 if height == 160 else STORED_TOP
    rgb = cv2.cvtColor(rgb[TOP - top : BOTTOM - top], cv2.COLOR_RGB2YUV)
    rgb = cv2.resize(cv2.GaussianBlur(rgb, (3, 3), 0), (200, 66))
    return rgb / 255, steering + 0.002 * shift_x


def shaded(rgb: Any, rng: np.random.Generator) -> Any:
    """Darken one side of a random line from the upper to the lower edge."""
    height, width = rgb.shape[:2]
    upper, lower = width * rng.random(2)
    y, x = np.mgrid[0:height, 0:width]
    side = (y * (lower - upper) - height * (x - upper) > 0) == (rng.random() < 0.5)
    hls = cv2.cvtColor(rgb, cv2.COLOR_RGB2HLS)
    hls[:, :, 1][side] = hls[:, :, 1][side] * rng.uniform(0.2, 0.5)
    return cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)


def brightened(rgb: Any, rng: np.random.Generator) -> Any:
    """Change the brightness by up to 20 %."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] * (1 + 0.4 * (rng.random() - 0.5)), 0, 255)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def our_augmentation() -> Any:
    """Return our augmentation as a function with the signature of `plain_augmentation`."""
    from steering_net.training.augmentation import Augmentation, augment
    from steering_net.vision.crop import crop_of
    from steering_net.vision.preprocessing import preprocess
    from steering_net.vision.profile import COURSE

    settings, profile = Augmentation(), COURSE.below(STORED_TOP)
    rest = replace(COURSE, rows=None, blur=0, size=None)

    def prepare(rgb: Any, steering: float, rng: np.random.Generator) -> tuple[Any, float]:
        blurred = cv2.GaussianBlur(crop_of(rgb), (3, 3), 0)
        picture, steering = augment(blurred, steering, settings, profile, rng, move=True)
        return preprocess(picture, rest), steering

    return prepare


def measured(way: str, data: Path) -> dict[str, float]:
    """Run one program in its own process."""
    arguments = [sys.executable, __file__, '--data', str(data), '--way', way]
    environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, default=SHARED, help='holds train and train_more')
    parser.add_argument('--way', choices=WAYS, help='measure only this program and print JSON')
    args = parser.parse_args()
    if not args.data.is_dir():
        raise SystemExit(f'--data: there is no folder {args.data}; name a folder of recordings')
    if args.way:
        is_plain = args.way != 'ours'
        result = time_plain(args.data, args.way != 'plain') if is_plain else time_ours(args.data)
        print(json.dumps(result))
        return 0
    headings = ('images', 'first s', 'images/s', 'epoch s', 'images/s', 'CPU ms', 'data')
    print(f'{"way":24}' + ''.join(f'{heading:>10}' for heading in headings))
    first, later, data = {}, {}, {}
    for way in WAYS:
        got = measured(way, args.data)
        images, data[way] = got['images'], got['prepared']
        first[way], later[way] = images / got['first_s'], images / got['epoch_s']
        line = f'{way:24}{images:10.0f}{got["first_s"]:10.1f}{first[way]:10.0f}'
        line += f'{got["epoch_s"]:10.1f}{later[way]:10.0f}{1e3 * got["cpu_s"] / images:10.2f}'
        print(f'{line}{data[way]:10.0f}', flush=True)
    for way in WAYS[1:]:
        ratios = [rates['ours'] / rates[way] for rates in (later, first, data)]
        line = 'ours is {:.1f} times as fast as {}; first epoch {:.1f}, data alone {:.1f} times'
        print(line.format(ratios[0], way, *ratios[1:]))
    print(f'{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
