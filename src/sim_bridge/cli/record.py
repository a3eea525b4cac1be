"""Record a drive: topics into an MCAP bag that ros2 bag plays, without ever holding up the drive.

Start it beside a drive that runs; Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path

from sim_bridge.errors import UsageError
from sim_bridge.topics import MAX_CARS, RECORDED_TOPICS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('bag', nargs='?', type=Path, help='folder to create; left out: named after the time')
    add('--topics', nargs='+', metavar='NAME', help='left out: those of a drive')
    add('--all', action='store_true', help='record every topic that there is')
    add('--cars', type=int, default=1, help='be there from the first frame of so many cars on')
    add('--seconds', type=float, default=0.0, help='end after so many seconds; 0: never')


def run(args: argparse.Namespace) -> int:
    """Record until the end; 2 with one line on stderr if it cannot be, 1 if the bag broke off."""
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    from sim_bridge.nodes.bag_recorder import record

    if not args.seconds >= 0.0:
        print(f'sim-bridge record: --seconds is {args.seconds}', file=sys.stderr)
        return 2
    if not 1 <= args.cars <= MAX_CARS:
        told = f'--cars is {args.cars}, it must be in 1 .. {MAX_CARS}'
        print(f'sim-bridge record: {told}', file=sys.stderr)
        return 2
    _let_the_drive_go_first()
    path = args.bag or Path(f'drive_{datetime.now():%Y_%m_%d_%H_%M_%S}')
    topics = () if args.all else tuple(args.topics or RECORDED_TOPICS)
    try:
        node = record(path, topics, args.seconds, args.cars)
    except UsageError as error:
        print(f'sim-bridge record: {error}', file=sys.stderr)
        return 2
    if node.trouble:
        told = f'{path} broke off after {node.messages} messages: {node.trouble}'
        print(f'sim-bridge record: {told}', file=sys.stderr)
        return 1
    print(f'{path}: {node.messages} messages, {_losses(node.dropped)}')
    return 0


def _let_the_drive_go_first() -> None:
    """Where processors are short the recorder waits, and its queue takes what comes meanwhile.

    Done before there is any thread of the middleware, for threads inherit it.
    """
    os.nice(10)
    # A batch process does not interrupt others when a message wakes it up.
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _losses(dropped: dict[str, int]) -> str:
    if not dropped:
        return 'none dropped'
    told = ', '.join(f'{count} of {topic}' for topic, count in sorted(dropped.items()))
    return f'{sum(dropped.values())} dropped: {told}'
