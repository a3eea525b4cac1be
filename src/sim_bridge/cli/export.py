# SPDX-License-Identifier: Apache-2.0
"""Export a bag as the simulator's driving log, which training reads, or as a video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim_bridge.cli.arguments import check_range
from sim_bridge.errors import UsageError
from sim_bridge.topics import MAX_CARS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('bag', type=Path, help='folder of a bag, or its .mcap file')
    add('--car', type=int, default=0, help='car of a bag with several cars; 0: the only car')
    add('--csv', type=Path, metavar='DIR', help='write driving_log.csv and IMG/ into this folder')
    add('--mp4', type=Path, metavar='FILE', help='write a video with the overlay')
    add('--speed-limit', type=float, metavar='M/S', help='--mp4: speed limit to show, m/s')


def run(args: argparse.Namespace) -> int:
    """Export; 0 on success, 2 with one line on stderr for bad input."""
    from sim_bridge.recording.bag import Bag
    from sim_bridge.recording.export import export_log, export_video

    try:
        if not (args.csv or args.mp4):
            raise UsageError('there is no output; name --csv DIR, --mp4 FILE, or both')
        check_range('--car', args.car, 0, MAX_CARS)
        bag = Bag(args.bag, args.car)
        if args.csv:
            print(f'{args.csv}: {export_log(bag, args.csv)} rows')
        if args.mp4:
            print(f'{args.mp4}: {export_video(bag, args.mp4, args.speed_limit)} frames')
    except (UsageError, OSError) as error:
        print(f'sim-bridge export: {error}', file=sys.stderr)
        return 2
    if bag.trouble:
        print(f'sim-bridge export: {bag.trouble}', file=sys.stderr)
    return 0
