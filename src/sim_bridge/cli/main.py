# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge VERB`: the program of this package. Its verbs are also the ROS executables."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from sim_bridge.cli.node_words import check_words
from sim_bridge.cli.suggestions import did_you_mean, explained
from sim_bridge.limits import NETWORK_SUFFIXES

_DDS_PROFILES_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'
_DDS_PROFILES_FILE = Path(__file__).parents[1] / 'fastdds.xml'

NODES = {
    'bridge': ('sim_bridge.nodes.bridge', 'Node between the simulator and ROS.'),
    'guarded-bridge': (
        'sim_bridge.nodes.bridge_guard',
        'The bridge with a spare that replaces it when it crashes or freezes.',
    ),
    'steering': ('steering_net.ros.steering_node', 'Node that runs the network.'),
    'throttle': ('sim_bridge.nodes.throttle', 'Node that applies the speed limit.'),
    'together': (
        'sim_bridge.nodes.composed',
        'Bridge, steering and throttle nodes in one process.',
    ),
    'annotate': (
        'sim_bridge.nodes.annotate',
        'Node that draws the predicted path and figures on frames.',
    ),
    'odometry': (
        'sim_bridge.nodes.odometry',
        'Node that publishes the path driven so far, by dead reckoning.',
    ),
    'foxglove': (
        'sim_bridge.nodes.foxglove',
        'Node that shows the drive to the Foxglove app and to Lichtblick.',
    ),
}
VERBS = {
    'drive': ('sim_bridge.cli.drive', 'Start all nodes and a simulator, and drive.'),
    'simulate': ('sim_bridge.cli.simulate', 'Run the embedded simulator alone.'),
    'hold': ('sim_bridge.cli.hold', 'Emergency stop: brake the cars of a drive and hold them.'),
    'import-model': (
        'sim_bridge.cli.import_model',
        'Convert a Keras, ONNX, LiteRT or SavedModel network.',
    ),
    'data': ('sim_bridge.cli.data', 'Show what training data holds, with pictures.'),
    'train': ('sim_bridge.cli.train', 'Train a network.'),
    'improve': ('sim_bridge.cli.improve', 'Let a network learn from its own mistakes, in rounds.'),
    'mutate': ('sim_bridge.cli.mutate', 'Write faulty copies of a network, to test the monitor.'),
    'evaluate': ('sim_bridge.cli.evaluate', 'Measure how well a network steers.'),
    'record': ('sim_bridge.cli.record', 'Record topics to a bag (MCAP).'),
    'replay': ('sim_bridge.cli.replay', 'Publish a bag again, or check a network on it.'),
    'export': ('sim_bridge.cli.export', 'Export a recording: driving log, video, LeRobot.'),
    'view': ('sim_bridge.cli.view', 'Show a recording or a drive in the Rerun viewer.'),
    'doctor': ('sim_bridge.cli.doctor', 'Find out why a drive fails, and what to do.'),
}
INTERRUPTED = 128 + signal.SIGINT
_END_CLEANLY = {*NODES, 'simulate', 'record', 'replay', 'view'}
"""Programs whose exit code is 0 after SIGINT, because they run until they are interrupted."""


class _Parser(argparse.ArgumentParser):
    """Parser that reports a mistake in one line, without the usage text."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Keep the words for `error`."""
        self._words = tuple(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        told = explained(message, self, self._words)
        self.exit(2, f'{self.prog}: {told}; see {self.prog} --help\n')


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Formatter that leaves out empty defaults and does not break long words."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = action.default
        is_empty = default is None or default is False or default in ('', [])
        return action.help if is_empty else super()._get_help_string(action)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(
            ' '.join(text.split()), width, break_long_words=False, break_on_hyphens=False
        )


def main(argv: list[str] | None = None) -> int:
    """Run the verb named by the first argument or by the program's own name; the exit code."""
    os.environ.setdefault(_DDS_PROFILES_VARIABLE, str(_DDS_PROFILES_FILE))
    # NumPy's threads cost 70 ms of each start, and no program here multiplies large matrices.
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
    _prepare_streams()
    interrupts = _counted_interrupts()
    # A program that has not started yet ends as cleanly as one that has.
    interrupted = 0 if set(_arguments(argv)[:1]) & _END_CLEANLY else INTERRUPTED
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return interrupted
    except BrokenPipeError:
        # The reader of stdout is gone; the interpreter's last flush must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        # A library that is interrupted while it is imported turns this into an error of its own.
        if interrupts:
            return interrupted
        raise
    finally:
        # A process group may get SIGINT twice: the second must not hit the interpreter's exit.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _prepare_streams() -> None:
    """Open standard streams that are closed, and let every text be printed.

    Otherwise the next file that is opened would take the place of a closed stream, and get what
    libraries print. Characters that an encoding lacks, as in names of files, are escaped.
    """
    for number, (name, mode) in enumerate((('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - until the end.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')


def _end_on_signals() -> None:
    """Let SIGTERM end a verb by SystemExit, so that it removes incomplete files.

    A terminal that is closed, SIGHUP, does what SIGTERM does, unless the verb runs under `nohup`.
    Verbs that run until they are interrupted, such as `record`, have their own SIGTERM.
    """

    def end(number: int, _frame: object) -> NoReturn:
        # A second one must not hit the cleaning.
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def _counted_interrupts() -> list[int]:
    """Let SIGINT raise KeyboardInterrupt; return a list that gets a number for each.

    Also where SIGINT was ignored, as for programs that a script starts in the background: the
    verbs end on it anyway.
    """
    counted: list[int] = []

    def interrupt(number: int, _frame: object) -> NoReturn:
        counted.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    return counted


def _run(argv: list[str] | None) -> int:
    arguments = _arguments(argv)
    if len(arguments) == 2 and arguments[0] == 'help':
        arguments = [arguments[1], '--help']
    if arguments and arguments[0] in NODES:
        return _run_node(arguments[0], arguments[1:])
    if arguments and arguments[0] in VERBS:
        return _run_verb(arguments[0], arguments[1:])
    return _print_overview(arguments)


def _arguments(argv: list[str] | None) -> list[str]:
    """Return the arguments with the verb first, which may be the name of the program."""
    if argv is None:
        called_as = Path(sys.argv[0]).name
        argv = [called_as] * (called_as in NODES | VERBS) + sys.argv[1:]
    return [_at_home(word) for word in argv]


def _at_home(word: str) -> str:
    """Put the home folder in `--option=~/file`, which shells leave as it is."""
    option, equals, value = word.partition('=')
    is_option = option.startswith('--') and value.startswith('~')
    return option + equals + os.path.expanduser(value) if is_option else word


def _run_node(node: str, words: list[str]) -> int:
    name, summary = NODES[node]
    code = check_words(node, name, words, summary)
    return int(_import(name).main([sys.argv[0], *words])) if code is None else code


def _run_verb(verb: str, arguments: list[str]) -> int:
    name, summary = VERBS[verb]
    _end_on_signals()
    # A verb finds the drive of this machine, and no other machine finds the verb.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    module = _import(name)
    parser = _Parser(
        prog=f'sim-bridge {verb}',
        description=module.__doc__ or summary,
        formatter_class=_HelpFormatter,
    )
    module.configure(parser)
    # Intermixed: options may stand between the words of a verb, as in `drive M --laps 1 DIR`.
    has_kinds = any(isinstance(one, argparse._SubParsersAction) for one in parser._actions)
    parse = parser.parse_args if has_kinds else parser.parse_intermixed_args
    args = parse(arguments)
    try:
        return int(module.run(args))
    except MemoryError as error:
        print(f'{parser.prog}: there is not enough memory: {error}', file=sys.stderr)
        return 2


def _import(name: str) -> ModuleType:
    """Import a module; a Ctrl-C meanwhile takes effect after the import."""
    # Imported here, because `main` ends cleanly on a Ctrl-C during this import.
    from steering_net.process import interrupts_blocked

    with interrupts_blocked():
        return importlib.import_module(name)


def _print_overview(arguments: list[str]) -> int:
    lines = ['usage: sim-bridge VERB [options], or sim-bridge VERB --help', '']
    for title, table in (('verbs', VERBS), ('ROS 2 nodes', NODES)):
        lines += [f'{title}:', *(f'  {verb:14} {what}' for verb, (_, what) in table.items())]
    if arguments in ([], ['-h'], ['--help'], ['help']):
        print('\n'.join(lines))
        return 0
    word = arguments[0]
    is_network = Path(word).suffix in NETWORK_SUFFIXES
    known = [f'drive {word}'] if is_network else [*VERBS, *NODES]
    hint = did_you_mean(f'drive {word}' if is_network else word, known)
    print(f'sim-bridge: there is no verb {word!r}{hint}; see sim-bridge --help', file=sys.stderr)
    return 2
