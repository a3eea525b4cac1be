# SPDX-License-Identifier: Apache-2.0
"""Processor time that the monitor of the steering node adds to a frame.

    python benchmarks/monitor.py [--model FILE] [--rounds 20]

`predict` is the network with its preprocessing, `monitor` the second and third look at it and
its judgement. Both take turns on one thread; the figures are medians over rounds of 50 frames.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np
from options import at_least

from steering_net.inference.predictor import load_predictor
from steering_net.inference.self_check import Calibration, SelfCheck, World
from steering_net.model_io.litert_converter import probe_frames
from steering_net.vision.camera_names import AUTONOMOUS

FRAMES = 50


def main() -> None:
    """Print the two times in ms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='default', help='network')
    parser.add_argument('--rounds', type=at_least(1), default=20, help='rounds of 50 frames')
    options = parser.parse_args()
    cv2.setNumThreads(1)
    predictor = load_predictor(options.model, camera=AUTONOMOUS)
    worlds = tuple(World((rad,) * 3, (0.01,) * 3) for rad in np.linspace(0.01, 0.1, 10))
    check = SelfCheck(predictor, Calibration(worlds, 3.0, ''))
    frame, *_ = probe_frames()
    times_ms: dict[str, list[float]] = {'predict': [], 'monitor': []}
    for _ in range(options.rounds):
        spent_s = dict.fromkeys(times_ms, 0.0)
        for number in range(FRAMES):
            started_s = time.thread_time()
            steering_rad = predictor.predict(frame)
            between_s = time.thread_time()
            check.uncertainty(steering_rad, 0.05 * number)
            spent_s['predict'] += between_s - started_s
            spent_s['monitor'] += time.thread_time() - between_s
        for name, seconds in spent_s.items():
            times_ms[name].append(1e3 * seconds / FRAMES)
    for name, values in times_ms.items():
        print(f'{name:10}{np.median(values):7.3f} ms')


if __name__ == '__main__':
    main()
