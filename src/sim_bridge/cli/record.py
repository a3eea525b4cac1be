# SPDX-License-Identifier: Apache-2.0
"""Record topics of a drive to an MCAP bag that `ros2 bag` plays, without slowing the drive down.

Start it beside a drive that runs. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

from sim_bridge.cli.arguments import (
    check_cars,
    check_namespace,
    check_output_folder,
    check_range,
    check_topic,
)
from sim_bridge.errors import UsageError
from sim_bridge.process import lower_priority
from sim_bridge.topics import RECORDED_TOPICS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add(
        'bag',
        nargs='?',
        type=Path,
        metavar='DIR',
        help='folder to create; if not given, named after the time',
    )
    add(
        '--frames',
        action='store_true',
        help='write no bag, but the frames of one car as JPEG files that are named by their time, '
        'and driving_log.csv with their commands',
    )
    add(
        '--topics',
        nargs='+',
        metavar='NAME',
        help='topics to record; if not given, those of a drive',
    )
    add('--all', action='store_true', help='record every topic')
    add(
        '--cars',
        type=int,
        default=1,
        metavar='N',
        help='cars to record from their first frame on; further cars are recorded once seen',
    )
    add(
        '--namespace',
        default='',
        metavar='NAME',
        help='record only the cars in this namespace, such as /ego; if not given, all cars',
    )
    add('--seconds', type=float, default=0.0, metavar='S', help='end after S seconds; 0: never')


def run(args: argparse.Namespace) -> int:
    """Record until the end; 0 on success, 1 if writing the bag failed, 2 for bad input."""
    from sim_bridge.nodes.bag_recorder import record
    from sim_bridge.recording.bag import BagWriter
    from sim_bridge.recording.frame_folder import FRAME_TOPICS, FrameFolder

    path = args.bag or Path(f'drive_{datetime.now():%Y_%m_%d_%H_%M_%S}')
    usual = FRAME_TOPICS if args.frames else RECORDED_TOPICS
    topics = () if args.all else tuple(args.topics or usual)
    try:
        if args.frames and (args.all or args.topics or args.cars > 1):
            raise UsageError('--frames is used without --all, --topics and --cars')
        check_range('--seconds', args.seconds, 0.0, unit='s')
        check_cars(args.cars)
        check_namespace('--namespace', args.namespace)
        for topic in args.topics or ():
            check_topic('--topics', topic)
        check_output_folder('DIR', path)
        lower_priority()
        make_writer = FrameFolder if args.frames else BagWriter
        node = record(path, topics, args.seconds, args.cars, make_writer, args.namespace)
    except UsageError as error:
        print(f'sim-bridge record: {error}', file=sys.stderr)
        return 2
    if node.trouble:
        # Without a number, because a bag loses the newest of its messages, up to a megabyte.
        message = f'{path} is incomplete: {node.trouble}; what was written before can be read'
        print(f'sim-bridge record: {message}', file=sys.stderr)
        return 1
    hint = '' if node.messages else '; a drive must run, with the same ROS_DOMAIN_ID'
    print(f'{path}: {node.messages} {node.unit}, {_losses(node.dropped)}{hint}')
    return 0


def _losses(dropped: dict[str, int]) -> str:
    if not dropped:
        return 'none dropped'
    counts = ', '.join(f'{count} of {topic}' for topic, count in sorted(dropped.items()))
    return f'{sum(dropped.values())} dropped: {counts}'
