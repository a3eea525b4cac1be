# SPDX-License-Identifier: Apache-2.0
"""The server of a drive: its address, and whether its pages control the drive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sim_bridge.cli.arguments import check_output_folder, check_port, refuse_given
from sim_bridge.errors import UsageError
from sim_bridge.limits import USUAL_PORT

_OF_CONTROL = {'networks': None, 'recordings': Path('recordings')}
"""Options that need --control, with their defaults."""


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the options of the server."""
    add = parser.add_argument
    add('--host', default='127.0.0.1', help='address to listen on')
    add(
        '--port',
        type=int,
        default=USUAL_PORT,
        help=f'TCP port to listen on; the Udacity simulator connects only to {USUAL_PORT}',
    )
    add(
        '--allowed-hosts',
        default='',
        metavar='NAMES',
        help='further host names of the page for browsers, as in a.lan,b.lan',
    )
    add(
        '--control',
        action='store_true',
        help='let the page drive, hold, reset, set the speed limit, choose the network and '
        'record; with another --host than loopback the page needs the token that is printed',
    )
    add(
        '--networks',
        type=Path,
        metavar='DIR',
        help='with --control: folder of the networks that the page can choose',
    )
    add(
        '--recordings',
        type=Path,
        metavar='DIR',
        help='with --control: folder of the bags that the page records',
    )
    parser.set_defaults(**_OF_CONTROL)


def check_server(args: argparse.Namespace) -> None:
    """Raise UsageError for options that are not allowed."""
    check_port(args.port)
    if not args.control:
        refuse_given(args, _OF_CONTROL, 'needs --control')
    if args.networks and not args.networks.is_dir():
        raise UsageError(f'--networks: there is no folder {args.networks}; name an existing one')
    if args.control:
        check_output_folder('--recordings', args.recordings)


def server_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of the bridge that these options set."""
    return {
        'host': args.host,
        'port': args.port,
        'allowed_hosts': args.allowed_hosts,
        'control': args.control,
        'networks': args.networks.absolute() if args.networks else '',
        'recordings': args.recordings.absolute(),
    }
