# SPDX-License-Identifier: Apache-2.0
"""Parameters of the nodes that `drive` has no option for: -p NODE:NAME:=VALUE, as in ROS."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from sim_bridge.cli.node_words import parameters
from sim_bridge.cli.suggestions import did_you_mean
from sim_bridge.errors import UsageError


def add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add -p."""
    parser.add_argument(
        *('-p', '--parameter'),
        action='append',
        default=[],
        metavar='NODE:NAME:=VALUE',
        help='parameter of a node, as in throttle:law:=pi; may be given several times. '
        'docs/reference.md lists all',
    )


def words_of(args: argparse.Namespace, node: str) -> list[str]:
    """Return the ROS arguments with the parameters of a node."""
    given = [one for one in args.parameter if one.startswith(f'{node}:')]
    return [word for one in given for word in ('-p', one)]


def check_parameters(args: argparse.Namespace, own: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UsageError unless each -p sets a parameter that a node has.

    `own` has the parameters that other options set, by the node's name.
    """
    if not args.parameter:
        return
    known = {
        node: [parameter.name for parameter in of_node]
        for node, of_node in parameters('together', '').items()
    }
    for given in args.parameter:
        target, sign, _ = given.partition(':=')
        node, colon, name = target.partition(':')
        if not (sign and colon):
            raise UsageError(f'-p {given}: write NODE:NAME:=VALUE, as in throttle:law:=pi')
        if node not in known:
            raise UsageError(f'-p {given}: there is no node {node}{did_you_mean(node, known)}')
        if name not in known[node]:
            hint = did_you_mean(name, known[node])
            raise UsageError(f'-p {given}: the {node} node has no parameter {name}{hint}')
        if name in own[node]:
            option = '--' + name.replace('_', '-')
            raise UsageError(f'-p {given}: the option {option} sets this parameter')
