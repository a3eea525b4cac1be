# SPDX-License-Identifier: Apache-2.0
"""Steps per second of the Gymnasium environment, on one core, with frames.

    python benchmarks/environment.py [--steps 500]

The expert steers, so the car drives as in a training. The rate is by processor time, because
other load on the machine then matters less.
"""

from __future__ import annotations

import argparse
import time

import cv2
import gymnasium
import numpy as np
from options import at_least

import sim_bridge.gym

CASES = (
    ('1000', 'clear'),
    ('1000', 'rain:2'),
    ('lake', 'clear'),
    ('jungle', 'clear'),
    ('hills:1000', 'clear'),
)


def steps_per_s(tracks: str, weather: str, steps: int) -> float:
    """Return the rate of `steps` steps, resets included."""
    env = gymnasium.make(
        sim_bridge.gym.TRACK_ID, tracks=tracks, weather=weather, speed_limit_mps=8.0
    )
    _, info = env.reset(seed=0)
    started_s = time.process_time()
    for _ in range(steps):
        action = np.array([info['expert_steering']], np.float32)
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
    return steps / (time.process_time() - started_s)


def main() -> None:
    """Print one line for each kind of track."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=at_least(1), default=500, help='steps of each case')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f'{"track":12} {"weather":8} steps/s')
    for tracks, weather in CASES:
        print(f'{tracks:12} {weather:8} {steps_per_s(tracks, weather, args.steps):7.0f}')


if __name__ == '__main__':
    main()
