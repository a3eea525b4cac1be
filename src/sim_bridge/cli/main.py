"""`sim-bridge VERB`: one program whose verbs are also the package's ROS executables."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

NODES = {
    'bridge': ('sim_bridge.nodes.bridge', 'the node between the simulator and ROS'),
    'guarded-bridge': ('sim_bridge.nodes.bridge_guard', 'the bridge, with a spare and a watchdog'),
    'steering': ('steering_net.ros.steering_node', 'the node that runs the network'),
    'annotate': (
        'sim_bridge.nodes.annotate',
        'frames with the predicted path and figures on them',
    ),
    'odometry': ('sim_bridge.nodes.odometry', 'the path driven so far, by dead reckoning'),
    'throttle': ('sim_bridge.nodes.throttle', 'the node that keeps the speed limit'),
    'together': ('sim_bridge.nodes.composed', 'bridge, steering and throttle in one process'),
}
INTERRUPTED = 128 + signal.SIGINT
VERBS = {
    'drive': ('sim_bridge.cli.drive', 'the whole graph with a simulator'),
    'simulate': ('sim_bridge.cli.simulate', 'the embedded simulator alone'),
    'import-model': ('sim_bridge.cli.import_model', 'any network people have, made clean'),
    'data': ('sim_bridge.cli.data', 'what is in recorded data, with pictures'),
    'train': ('sim_bridge.cli.train', 'fit a network'),
    'evaluate': ('sim_bridge.cli.evaluate', 'judge a network'),
    'record': ('sim_bridge.cli.record', 'write a bag (MCAP)'),
    'replay': ('sim_bridge.cli.replay', 'publish a bag again, or check a network on it'),
    'export': ('sim_bridge.cli.export', 'a bag to driving_log.csv and images, or to a video'),
    'doctor': ('sim_bridge.cli.doctor', 'why it does not work, and what to do'),
}


def main(argv: list[str] | None = None) -> int:
    """Run the verb that the first argument, or the program's own name, says; the exit code."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads what we print; the interpreter's own last flush must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        # A process group may get SIGINT twice: the second must not hit the interpreter's own end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(argv: list[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    called_as = Path(sys.argv[0]).name
    if argv is None and called_as in NODES | VERBS:
        words = [called_as, *words]
    if words and words[0] in NODES:
        module = _import(NODES[words[0]][0])
        return int(module.main([sys.argv[0], *words[1:]]))
    if words and words[0] in VERBS:
        return _run_verb(words[0], words[1:])
    return _explain(words)


def _run_verb(verb: str, words: list[str]) -> int:
    name, summary = VERBS[verb]
    module = _import(name)
    parser = argparse.ArgumentParser(
        prog=f'sim-bridge {verb}',
        description=module.__doc__ or summary,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    module.configure(parser)
    return int(module.run(parser.parse_args(words)))


def _import(name: str) -> ModuleType:
    """Import a module without being torn out of it by Ctrl-C, which then acts afterwards."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return importlib.import_module(name)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _explain(words: list[str]) -> int:
    lines = ['usage: sim-bridge VERB [options], sim-bridge VERB --help', '']
    for title, table in (('verbs', VERBS), ('ROS 2 nodes', NODES)):
        lines += [f'{title}:', *(f'  {verb:14} {what}' for verb, (_, what) in table.items())]
    text = '\n'.join(lines)
    if words in ([], ['-h'], ['--help']):
        print(text)
        return 0
    print(f'sim-bridge: there is no verb {words[0]!r}\n{text}', file=sys.stderr)
    return 2
