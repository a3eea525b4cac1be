# SPDX-License-Identifier: Apache-2.0
"""The nodes that `sim-bridge drive` starts to show a drive: annotate, odometry and foxglove."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from sim_bridge.cli.arguments import check_range
from sim_bridge.cli.ros_arguments import QUIET, parameters
from sim_bridge.errors import UsageError
from sim_bridge.foxglove import DEFAULT_PORT
from steering_net.cars import prefixes


def add_viewers(parser: argparse.ArgumentParser) -> None:
    """Add --annotate, --odometry and --foxglove."""
    add = parser.add_argument
    add('--annotate', action='store_true', help='also draw the predicted path on the frames')
    add('--odometry', action='store_true', help='also publish the path driven so far')
    add(
        '--foxglove',
        nargs='?',
        type=int,
        const=DEFAULT_PORT,
        metavar='PORT',
        help=f'show the drive to the Foxglove app or Lichtblick on this TCP port, {DEFAULT_PORT} '
        'without a number; includes --annotate and --odometry; needs foxglove-sdk',
    )


def check_viewers(args: argparse.Namespace) -> None:
    """Raise UsageError unless --foxglove can be served; it includes the other viewers."""
    if args.foxglove is None:
        return
    check_range('--foxglove', args.foxglove, 1, 65535)
    if args.foxglove == args.port:
        raise UsageError(f'--foxglove {args.foxglove} is the --port of the bridge; choose another')
    from sim_bridge.foxglove.server import foxglove_sdk

    foxglove_sdk()
    args.annotate = args.odometry = True


def viewer_words(
    args: argparse.Namespace, time: dict[str, Any]
) -> Iterator[tuple[str, list[str]]]:
    """Yield name and words of each viewer's process; `time` are its parameters of time."""
    for viewer in ('annotate', 'odometry'):
        for prefix in prefixes(args.cars):
            if getattr(args, viewer):
                namespace = ['-r', f'__ns:=/{prefix.rstrip("/")}']
                yield viewer, [viewer, *QUIET, *namespace, *parameters(time)]
    if args.foxglove is not None:
        values = {
            'host': args.host,
            'port': args.foxglove,
            'allowed_hosts': args.allowed_hosts,
            **time,
        }
        yield 'foxglove', ['foxglove', *QUIET, *parameters(values)]
