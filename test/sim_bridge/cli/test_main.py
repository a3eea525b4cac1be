# SPDX-License-Identifier: Apache-2.0
"""The program `sim-bridge`: its verbs, their help, and the ROS executables of the same names."""

import argparse
import importlib
import os

import pytest

from helpers.paths import ROOT
from helpers.processes import run_verb
from sim_bridge.cli.main import NODES, VERBS, main

SCRIPTS = ROOT / 'scripts'


def test_every_verb_and_node_is_a_ros_executable_and_no_other():
    assert {path.name for path in SCRIPTS.iterdir()} == {*VERBS, *NODES, 'sim-bridge'}


@pytest.mark.parametrize('script', sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_ros_executables_are_one_program_under_many_names(script):
    assert script.read_bytes() == (SCRIPTS / 'sim-bridge').read_bytes()
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize('node', NODES)
def test_every_node_has_a_program(node):
    assert callable(importlib.import_module(NODES[node][0]).main)


def parsers():
    """The parser of each verb, and of each kind of a verb that has several: (words, parser)."""
    for verb, (module, _) in VERBS.items():
        parser = argparse.ArgumentParser()
        importlib.import_module(module).configure(parser)
        kinds = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        if not kinds:
            yield [verb], parser
        for kind, inner in kinds[0].choices.items() if kinds else ():
            yield [verb, kind], inner


@pytest.mark.parametrize(
    ('words', 'parser'), [pytest.param(*one, id=' '.join(one[0])) for one in parsers()]
)
def test_help_of_a_verb_names_each_option_with_what_it_does(words, parser, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*words, '--help'])
    told = capsys.readouterr().out
    assert caught.value.code == 0
    assert told.startswith(f'usage: sim-bridge {" ".join(words)}')
    for action in parser._actions:
        assert action.help, f'{action.dest} has no help'
        for option in action.option_strings:
            assert option in told


@pytest.mark.slow
def test_listing_names_every_verb_and_node_with_what_it_does():
    result = run_verb('--help')
    lines = [line.split(None, 1) for line in result.stdout.splitlines() if line.startswith('  ')]
    assert dict(lines) == {name: what for name, (_, what) in (VERBS | NODES).items()}
    assert result.returncode == 0


@pytest.mark.slow
def test_unknown_verb_is_told():
    result = run_verb('dirve')
    assert result.returncode == 2
    assert "no verb 'dirve'" in result.stderr
