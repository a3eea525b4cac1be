# SPDX-License-Identifier: Apache-2.0
"""The program `sim-bridge`: its verbs, their help, and the ROS executables of the same names."""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys

import pytest

from helpers.paths import DOCS, ROOT
from helpers.processes import PROGRAM, run_verb
from helpers.recordings import FRAMES, write_bag
from sim_bridge.cli.main import NODES, VERBS, main
from sim_bridge.cli.node_words import check_words, parameters

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


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['dirve'], "there is no verb 'dirve' (did you mean drive?)"),
        (['brigde'], "there is no verb 'brigde' (did you mean bridge?)"),
        (['my.h5', 'run1'], "there is no verb 'my.h5' (did you mean drive my.h5?)"),
        (['xyzzy'], "there is no verb 'xyzzy'"),
        (['drive', '--sedes', '3'], 'there is no option --sedes (did you mean --seconds?)'),
        (['drive', '--simulator', 'exteral'], "'exteral' (did you mean external?)"),
        (['drive', 'a', 'b', 'c'], 'unrecognized arguments: c'),
        (['evaluate', 'open-lop'], "'open-lop' (did you mean open-loop?)"),
        (['evaluate', 'open-loop', '--recroding', 'x'], '(did you mean --recording?)'),
        (['data', 'x', '--steering-unit', 'degree'], "'degree' (did you mean degrees?)"),
        (['data', 'x', '--car', '77'], 'argument --car: it is 77; it must be 0..32, or a name'),
        (['drive', '--laps', 'two'], "--laps is 'two'; it must be a whole number"),
        (['drive', '--speed-limit', '8m/s'], "--speed-limit is '8m/s'; it must be a number"),
    ],
)
def test_unknown_words_get_a_suggestion_in_one_line(words, told, capsys):
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    out, text = capsys.readouterr()
    assert (code, out, text.count('\n')) == (2, '', 1)
    assert told in text
    assert text.startswith('sim-bridge')
    assert text.rstrip().endswith('--help')


def documented_parameters(node):
    """The names in the node's table of docs/reference.md, which running nodes declare."""
    text = (DOCS / 'reference.md').read_text(encoding='utf-8')
    table = text.partition(f'## Parameters of {node}\n')[2].partition('\n## ')[0]
    return re.findall(r'^\| (\w+) \|', table, re.M)[1:]


@pytest.mark.parametrize('node', NODES)
def test_nodes_know_help_and_name_every_parameter_there(node, capsys):
    assert main([node, '--help']) == 0
    told = capsys.readouterr().out
    assert told.startswith(f'usage: sim-bridge {node} ')
    assert NODES[node][1] in told
    for name, of_node in parameters(node, NODES[node][0]).items():
        names = [parameter.name for parameter in of_node]
        assert sorted(names) == sorted(documented_parameters(name))
        assert all(f'{parameter}' in told for parameter in names)


def test_help_of_a_node_has_the_allowed_values(capsys):
    assert main(['throttle', '--help']) == 0
    told = capsys.readouterr().out
    assert 'law (default: proportional; one of proportional, pi)' in told
    assert 'kp (default: 0.5; 0 to 10)' in told


@pytest.mark.parametrize('node', NODES)
@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['start'], "'start' is not understood; parameters are set with --ros-args"),
        (['--hlep'], "'--hlep' is not understood (did you mean --help?)"),
        (['--ros-args', '--log-levl', 'warn'], '(did you mean --log-level?)'),
        (['--ros-args', '-p', 'port'], '-p port assigns nothing; write -p NAME:=VALUE'),
        (['--ros-args', '-p'], '-p needs a value'),
        (['--ros-args', '-r', 'a:=b', '--', 'more'], "'more' is not understood"),
    ],
)
def test_nodes_refuse_words_that_they_do_not_understand(node, words, told, capsys):
    assert main([node, *words]) == 2
    out, text = capsys.readouterr()
    assert (out, text.count('\n')) == ('', 1)
    assert text.startswith(f'sim-bridge {node}: ')
    assert told in text


@pytest.mark.parametrize(
    ('node', 'assigned', 'told'),
    [
        ('bridge', 'prot:=1', 'there is no parameter prot (did you mean port?)'),
        ('bridge', 'bridge:prot:=1', 'there is no parameter prot (did you mean port?)'),
        ('together', 'throttle:port:=1', 'there is no parameter port'),
        ('throttle', 'sped_limit:=1', '(did you mean speed_limit?)'),
    ],
)
def test_unknown_parameters_are_refused(node, assigned, told, capsys):
    assert main([node, '--ros-args', '-p', assigned]) == 2
    assert told in capsys.readouterr().err


def test_parameter_of_all_nodes_of_a_launch_file_gets_a_warning(capsys):
    words = ['--ros-args', '-r', '__node:=throttle', '-p', 'robot_name:=ego']
    assert check_words('throttle', NODES['throttle'][0], words, '') is None
    told = 'sim-bridge throttle: there is no parameter robot_name; robot_name:=ego has no effect\n'
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    'words',
    [
        [],
        ['--ros-args'],
        [
            '--ros-args',
            '-r',
            '__ns:=/car_1',
            '--params-file',
            'x.yaml',
            '-p',
            'use_sim_time:=true',
        ],
        ['--ros-args', '--log-level', 'warn', '-p', 'bridge:port:=4567', '--disable-rosout-logs'],
        ['--ros-args', '-p', 'throttle:speed_limit:=5.0'],
        ['--ros-args', '-p', 'qos_overrides./clock.subscription.depth:=1', '--'],
    ],
)
def test_words_of_launch_files_are_understood(words):
    assert check_words('bridge', NODES['bridge'][0], words, '') is None


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['{file}', '{full}'], '{full} is not empty; name a new folder, or an empty one, for'),
        (['{file}', '{file}'], '{file} is a file; name a new folder'),
        (['{file}', '{new}', '--record', 'b'], 'either {new} or --record b can be recorded'),
        (['{file}', '--cars', '2', '{new}'], '{new}: frames of one car are recorded'),
        (['{file}', '--model', '{full}'], 'there are two networks, {file} and {full}; name one'),
        (['{new}'], 'MODEL: there is no file {new}'),
        (['--model', '{new}'], '--model: there is no file {new}'),
    ],
)
def test_drive_with_the_words_of_drive_py_replaces_nothing(tmp_path, words, told, capsys):
    full, file, new = tmp_path / 'full', tmp_path / 'model.h5', tmp_path / 'new'
    full.mkdir()
    for path in (full / 'mine.jpg', file):
        path.write_text('mine', encoding='utf-8')
    places = {'file': file, 'full': full, 'new': new}
    assert main(['drive', *(word.format(**places) for word in words)]) == 2
    assert told.format(**places) in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['full', 'mine.jpg', 'model.h5']


INTERRUPTED_IMPORT = """
import os, signal, sys
from sim_bridge.cli import main as program, record

def run(args):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt as interrupt:
        raise ImportError('initialization failed') from interrupt

record.run = run
sys.exit(program.main(['record']))
"""


def test_interrupt_that_an_import_turns_into_an_error_ends_cleanly():
    command = [sys.executable, '-c', INTERRUPTED_IMPORT]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, '')


def test_home_folder_is_found_behind_an_equals_sign_as_shells_leave_it(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert main(['drive', '--model=~/no.keras']) == 2
    assert f'there is no file {tmp_path}/no.keras' in capsys.readouterr().err


ENDED_WHILE_WRITING = """
import os, signal, sys
from sim_bridge.cli import export, main as program
from sim_bridge.recording.whole_output import whole_file

def run(args):
    with whole_file(args.recording) as part:
        part.touch()
        os.kill(os.getpid(), signal.{name})
    return 0

export.run = run
sys.exit(program.main(['export', 'out.mp4']))
"""


@pytest.mark.parametrize(('name', 'code'), [('SIGTERM', 143), ('SIGHUP', 143), ('SIGINT', 130)])
def test_verb_that_a_signal_ends_leaves_no_incomplete_file(tmp_path, name, code):
    command = [sys.executable, '-c', ENDED_WHILE_WRITING.format(name=name)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, '')
    assert list(tmp_path.iterdir()) == []


def test_verb_under_nohup_does_not_end_with_its_terminal(tmp_path):
    command = ['nohup', sys.executable, '-c', ENDED_WHILE_WRITING.format(name='SIGHUP')]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4']


HUNG_UP = """
import os, signal, sys
from sim_bridge.cli import main as program, record
from sim_bridge.nodes.runner import interruptible

def run(args):
    with interruptible() as keep_going:
        os.kill(os.getpid(), signal.SIGHUP)
        print('still running:', keep_going())
    return 0

record.run = run
sys.exit(program.main(['record']))
"""


def test_closed_terminal_ends_a_recording_as_an_interrupt_does():
    """Otherwise the bag would have no index."""
    command = [sys.executable, '-c', HUNG_UP]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, 'still running: False\n')


def test_verb_without_standard_streams_writes_its_files(tmp_path):
    bag = write_bag(tmp_path / 'bag')
    words = f'evaluate open-loop --recording {bag} --json {tmp_path}/report.json'
    closed = ['sh', '-c', f'{" ".join(PROGRAM)} {words} <&- >&- 2>&-']
    assert subprocess.run(closed, check=False).returncode == 0
    assert json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))['frames'] == FRAMES


def test_name_that_standard_output_cannot_have_is_escaped(tmp_path):
    bag = write_bag(tmp_path / os.fsdecode(b'f\xe4hrt'))
    told = run_verb('data', bag)
    assert (told.returncode, told.stderr) == (0, '')
    assert told.stdout.startswith(f'{tmp_path}/f\\udce4hrt\n')


def test_work_that_needs_too_much_memory_ends_in_one_line(tmp_path, capsys):
    words = ['--tracks', '0', '--samples-per-track', f'{10**11}']
    assert main(['train', *words, '--out', str(tmp_path / 'out')]) == 2
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith('sim-bridge train: there is not enough memory: ')
    assert not (tmp_path / 'out').exists()
