# SPDX-License-Identifier: Apache-2.0
"""The words behind the name of a node: ROS arguments, or --help. Others are refused."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from sim_bridge.cli.suggestions import did_you_mean

_BRIDGE = 'sim_bridge.nodes.bridge'
_NODES_OF = {
    'guarded-bridge': {'bridge': _BRIDGE},
    'together': {
        'bridge': _BRIDGE,
        'steering': 'steering_net.ros.steering_node',
        'throttle': 'sim_bridge.nodes.throttle',
    },
}
"""Modules of the nodes in programs that are not one node, by the nodes' names."""

_WITH_VALUE = (
    '-r', '--remap', '-p', '--param', '--params-file', '--log-level', '--log-config-file', '-e',
    '--enclave', '--log-file-name',
)  # fmt: skip
_SWITCHES = tuple(
    f'--{verb}-{what}-logs'
    for verb in ('enable', 'disable')
    for what in ('rosout', 'stdout', 'external-lib')
)
# Parameters that every node of rclpy has, or may have.
_OF_ROS = ('use_sim_time', 'start_type_description_service', 'qos_overrides')


class WordError(ValueError):
    """A word that a node does not understand; the message is one line."""


def check_words(program: str, module: str, words: Sequence[str], summary: str) -> int | None:
    """Check the words of a node's program; return None to start it, or an exit code.

    `module` is the name of the program's module, and `summary` what the program is. Prints the
    help for --help, or one line on stderr for a word that is not understood.
    """
    own = list(words[: words.index('--ros-args')]) if '--ros-args' in words else list(words)
    if {'-h', '--help'} & set(own):
        print(_help(program, module, summary))
        return 0
    try:
        _check(program, module, words)
    except WordError as error:
        print(f'sim-bridge {program}: {error}; see sim-bridge {program} --help', file=sys.stderr)
        return 2
    return None


def parameters(program: str, module: str) -> dict[str, tuple[Any, ...]]:
    """Return the parameters of the nodes in a program, by the nodes' names."""
    return {
        node: importlib.import_module(name).PARAMETERS
        for node, name in _NODES_OF.get(program, {program: module}).items()
    }


def _check(program: str, module: str, words: Sequence[str]) -> None:
    is_ros = False
    rest = iter(words)
    for word in rest:
        if word in ('--ros-args', '--'):
            is_ros = word == '--ros-args'
        elif not is_ros:
            hint = did_you_mean(word, ['--help', '--ros-args'])
            raise WordError(
                f'{word!r} is not understood{hint}; parameters are set with '
                '--ros-args -p NAME:=VALUE'
            )
        elif word in _WITH_VALUE:
            value = next(rest, None)
            if value is None:
                raise WordError(f'{word} needs a value')
            if word in ('-p', '--param'):
                _check_parameter(program, module, value)
        elif word not in _SWITCHES:
            hint = did_you_mean(word, [*_WITH_VALUE, *_SWITCHES])
            raise WordError(f'{word!r} is not a ROS argument{hint}')


def _check_parameter(program: str, module: str, assignment: str) -> None:
    """Raise WordError unless this assigns one of the parameters, because ROS would ignore it.

    A name that is like none of them, and is not given to a node, only gets a warning: it may come
    from a launch file whose SetParameter sets it for all nodes.
    """
    target, sign, _ = assignment.partition(':=')
    if not sign:
        raise WordError(f'-p {assignment} assigns nothing; write -p NAME:=VALUE')
    if program == 'guarded-bridge':
        return  # The bridge checks it, and this process stays small.
    node, _, name = target.rpartition(':')
    known = parameters(program, module)
    if node and node not in known:
        return  # For another node: programs may share their arguments.
    chosen = known.get(node) or [one for of_node in known.values() for one in of_node]
    names = [parameter.name for parameter in chosen]
    if name in names or name.partition('.')[0] in _OF_ROS:
        return
    hint = did_you_mean(name, names)
    if node or hint:
        raise WordError(f'there is no parameter {name}{hint}')
    told = f'sim-bridge {program}: there is no parameter {name}; {assignment} has no effect'
    print(told, file=sys.stderr)


def _help(program: str, module: str, summary: str) -> str:
    lines = [
        f'usage: sim-bridge {program} [--ros-args -p NAME:=VALUE ...]',
        '',
        summary,
        '',
        'parameters:',
    ]
    known = parameters(program, module)
    for node, of_node in known.items():
        prefix = f'{node}:' if len(known) > 1 else ''
        for parameter in of_node:
            lines.append(f'  {prefix}{parameter.name}{_shown(parameter)}')
            lines += textwrap.wrap(
                parameter.description, 90, initial_indent='      ', subsequent_indent='      '
            )
    return '\n'.join(lines)


def _shown(parameter: Any) -> str:
    facts = [f'default: {parameter.default}'] if parameter.default != '' else []
    if parameter.choices:
        facts.append(f'one of {", ".join(parameter.choices)}')
    elif parameter.low is not None:
        facts.append(f'{parameter.low:g} to {parameter.high:g}')
    return f' ({"; ".join(facts)})' if facts else ''
