# SPDX-License-Identifier: Apache-2.0
"""Embedded tracks driven per second by one worker, by two, and by a Ray cluster of two nodes.

    python benchmarks/scale.py [--tracks 0-7] [--seconds 20] [--rounds 2] [--ray]

All take turns in one run, so that other load on the machine affects them alike. A turn drives
every track, and contains the start of the workers. Each node of the cluster is on this machine and
has one processor; the start of the cluster itself is not counted. The exit code is 1 if a result
differs in any digit from that of one worker.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from quietness import Quietness

from helpers.processes import TIMINGS
from helpers.ray_nodes import two_nodes
from sim_bridge.cli.arguments import track_names
from sim_bridge.evaluation.track_drives import TrackDrives
from sim_bridge.simulator.tracks import TrackName
from sim_bridge.simulator.weather import CLEAR
from sim_bridge.workers.spread import Workers
from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor
from steering_net.vision.camera_model import AUTONOMOUS

ONE = '1 worker'


def turn(
    drives: TrackDrives, tracks: Sequence[TrackName], workers: Workers
) -> tuple[float, list[Any]]:
    """Return the time to drive all tracks, s, and their reports without measured times."""
    started_s = time.perf_counter()
    found = dict(workers.each(drives, tracks))
    spent_s = time.perf_counter() - started_s
    reports = [found[index] for index in range(len(tracks))]
    return spent_s, [{k: v for k, v in one.items() if k not in TIMINGS} for one in reports]


def main() -> int:
    """Print one line for each kind of workers; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tracks', type=track_names, default='0-7', help='tracks of a turn')
    parser.add_argument('--seconds', type=float, default=20.0, help='length of each drive, s')
    parser.add_argument('--rounds', type=int, default=2, help='turns of each')
    parser.add_argument('--ray', action='store_true', help='also start a Ray cluster')
    args = parser.parse_args()
    network = pack(load_predictor(camera=AUTONOMOUS))
    drives = TrackDrives(network, 1, 6.7, CLEAR, args.seconds)
    quietness = Quietness()
    spent_s: dict[str, list[float]] = {}
    results: dict[str, list[Any]] = {}
    with ExitStack() as stack:
        ways = {ONE: Workers(1), '2 workers': Workers(2)}
        if args.ray:
            address, _ = stack.enter_context(two_nodes())
            ways['Ray, 2 nodes'] = Workers(ray_address=address)
        for _ in range(args.rounds):
            for name, workers in ways.items():
                seconds, results[name] = turn(drives, args.tracks, workers)
                spent_s.setdefault(name, []).append(seconds)
                quietness.look()
    base_s = statistics.median(spent_s[ONE])
    print(f'{"":16}{"tracks/s":>10}{"ratio":>8}  results')
    for name, times_s in spent_s.items():
        median_s = statistics.median(times_s)
        rate = len(args.tracks) / median_s
        same = 'equal' if results[name] == results[ONE] else 'DIFFERENT'
        print(f'{name:16}{rate:10.3f}{base_s / median_s:8.2f}  {same}')
    print(quietness.line())
    return 0 if all(found == results[ONE] for found in results.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
