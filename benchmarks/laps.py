# SPDX-License-Identifier: Apache-2.0
"""Drives of the shipped network on tracks that it was not trained on, with all nodes.

    .venv/bin/python benchmarks/laps.py [--tracks 0-9] [--laps 2] [--real-time]

Each drive is one `sim-bridge drive`. The exit code is 1 if a drive left the lane, missed a command
or did not complete its laps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from options import at_least

from sim_bridge.cli.arguments import track_names
from sim_bridge.simulator.track_names import TrackName

SPEED_LIMITS_MPS = (6.7, 13.4)
COLUMNS = '{:>5} {:>6} {:>5} {:>7} {:>10} {:>8} {:>7} {:>7} {:>8} {:>8}'
HEADINGS = (
    'track', 'limit', 'laps', 'top m/s', 'departures', 'timeouts', 'rms m', 'max m', 'p50 ms',
    'p99 ms',
)  # fmt: skip


def drive(track: TrackName, limit_mps: float, args: argparse.Namespace) -> dict[str, Any]:
    """Run one drive; return its report, which is empty if the drive failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, 'report.json')
        arguments = ['--track', track, '--laps', args.laps, '--speed-limit', limit_mps]
        arguments += ['--port', args.port, '--report', report]
        arguments += [] if args.real_time else ['--fast']
        done = subprocess.run(
            [sys.executable, '-m', 'sim_bridge.cli', 'drive', *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode or not report.exists():
            return {}
        result: dict[str, Any] = json.loads(report.read_text(encoding='utf-8'))
        return result


def passed(report: dict[str, Any], laps: int) -> bool:
    """Return whether the drive completed its laps without departures and timeouts."""
    return (
        report.get('laps') == laps and report['lane_departures'] == 0 and report['timeouts'] == 0
    )


def row(track: TrackName, limit_mps: float, report: dict[str, Any]) -> str:
    """Return one line of the table."""
    if not report:
        return f'{track!s:>5} {limit_mps:6} failed'
    latency = report['latency_ms']
    return COLUMNS.format(
        track,
        limit_mps,
        report['laps'],
        f'{report["max_speed_mps"]:.2f}',
        report['lane_departures'],
        report['timeouts'],
        f'{report["rms_cross_track_m"]:.3f}',
        f'{report["max_cross_track_m"]:.3f}',
        f'{latency["p50"]:.2f}',
        f'{latency["p99"]:.2f}',
    )


def main() -> int:
    """Run all drives; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--tracks', type=track_names, default='0-9', help='as in 0-9,lake')
    parser.add_argument('--laps', type=at_least(1), default=2)
    parser.add_argument('--port', type=at_least(1, 65535), default=4571)
    parser.add_argument('--real-time', action='store_true', help='60 frames/s, not --fast')
    args = parser.parse_args()
    os.environ.setdefault('ROS_DOMAIN_ID', '71')
    started = time.monotonic()
    print(COLUMNS.format(*HEADINGS))
    good: dict[float, int] = {}
    for limit_mps in SPEED_LIMITS_MPS:
        for track in args.tracks:
            report = drive(track, limit_mps, args)
            good[limit_mps] = good.get(limit_mps, 0) + passed(report, args.laps)
            print(row(track, limit_mps, report), flush=True)
    wanted = len(args.tracks)
    for limit_mps, count in good.items():
        print(f'{count} of {wanted} clean at {limit_mps} m/s')
    print(f'load average {os.getloadavg()[0]:.1f}, {time.monotonic() - started:.0f} s')
    return 0 if all(count == wanted for count in good.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
