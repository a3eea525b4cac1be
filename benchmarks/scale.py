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
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from options import at_least
from quietness import Quietness

from helpers.processes import TIMINGS
from helpers.ray_nodes import two_nodes
from sim_bridge.cli.arguments import track_names
from sim_bridge.evaluation.track_drives import TrackDrives
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import CLEAR
from sim_bridge.workers.spread import Workers
from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor
from steering_net.vision.camera_names import AUTONOMOUS

ONE, RAY = '1 worker', 'Ray, 2 nodes'


def turn(
    drives: TrackDrives, tracks: Sequence[TrackName], workers: Workers
) -> tuple[tuple[float, float], list[Any]]:
    """Return times to drive all tracks, s, and their reports without measured times.

    The times are the elapsed one and the processor time of this process and of its workers.
    """
    started_s, before_s = time.perf_counter(), cpu_s()
    found = dict(workers.each(drives, tracks))
    spent_s = time.perf_counter() - started_s, cpu_s() - before_s
    reports = [found[index] for index in range(len(tracks))]
    return spent_s, [{k: v for k, v in one.items() if k not in TIMINGS} for one in reports]


def cpu_s() -> float:
    """Return the processor time of this process and of those that it started and that ended, s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> int:
    """Print one line for each kind of workers; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tracks', type=track_names, default='0-7', help='tracks of a turn')
    parser.add_argument(
        '--seconds', type=at_least(0.1), default=20.0, help='length of each drive, s'
    )
    parser.add_argument('--rounds', type=at_least(1), default=2, help='turns of each')
    parser.add_argument('--ray', action='store_true', help='also start a Ray cluster')
    args = parser.parse_args()
    network = pack(load_predictor(camera=AUTONOMOUS))
    drives = TrackDrives(network, 1, 6.7, CLEAR, args.seconds)
    quietness = Quietness()
    spent_s: dict[str, list[tuple[float, float]]] = {}
    results: dict[str, list[Any]] = {}
    with ExitStack() as stack:
        ways = {ONE: Workers(1), '2 workers': Workers(2)}
        if args.ray:
            address, _ = stack.enter_context(two_nodes())
            ways[RAY] = Workers(ray_address=address)
        for _ in range(args.rounds):
            for name, workers in ways.items():
                times_s, results[name] = turn(drives, args.tracks, workers)
                spent_s.setdefault(name, []).append(times_s)
                quietness.look()
    medians = {
        name: [statistics.median(column) for column in zip(*times, strict=True)]
        for name, times in spent_s.items()
    }
    print(f'{"":16}{"tracks/s":>10}{"ratio":>8}{"CPU s/track":>13}  results')
    for name, (elapsed_s, used_s) in medians.items():
        rate, ratio = len(args.tracks) / elapsed_s, medians[ONE][0] / elapsed_s
        # The processes of a cluster are not children of this one.
        used = '' if name == RAY else f'{used_s / len(args.tracks):.2f}'
        same = 'equal' if results[name] == results[ONE] else 'DIFFERENT'
        print(f'{name:16}{rate:10.3f}{ratio:8.2f}{used:>13}  {same}')
    print(quietness.line())
    return 0 if all(found == results[ONE] for found in results.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
