# SPDX-License-Identifier: Apache-2.0
"""Hold the cars of a running drive: brake them and keep them standing until they are released.

A held car stays held when nodes or simulators are restarted. It drives on after --release, with
the first fresh commands of the network.
"""

from __future__ import annotations

import argparse
import sys

from sim_bridge.cli.arguments import check_range
from sim_bridge.errors import UsageError
from steering_net.cars import MAX_CARS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument('--release', action='store_true', help='let the cars drive on')
    parser.add_argument(
        '--car', type=int, default=0, metavar='N', help='number of the car; 0: all cars'
    )


def run(args: argparse.Namespace) -> int:
    """Hold or release; 0 on success, 1 without a car or if one does not react, 2 for bad input."""
    from sim_bridge.nodes.hold_client import SEARCH_S, set_held

    try:
        check_range('--car', args.car, 0, MAX_CARS)
    except UsageError as error:
        print(f'sim-bridge hold: {error}', file=sys.stderr)
        return 2
    outcomes = []
    for service, succeeded, message in set_held(not args.release, args.car):
        print(f'{service}: {message}', file=sys.stdout if succeeded else sys.stderr)
        outcomes.append(succeeded)
    if not outcomes:
        name = f'car {args.car}' if args.car else 'car'
        print(
            f'sim-bridge hold: no {name} was found in {SEARCH_S:g} s; a bridge must run, with the '
            'same ROS_DOMAIN_ID',
            file=sys.stderr,
        )
    return 0 if outcomes and all(outcomes) else 1
