# SPDX-License-Identifier: Apache-2.0
"""Values of options that several verbs have: what is accepted, and what the message says."""

import argparse
import errno
import os
from pathlib import Path

import pytest

from sim_bridge.cli.arguments import (
    BACKENDS,
    check_cars,
    check_model,
    check_output_file,
    check_output_folder,
    check_port,
    check_range,
    check_speed_limit,
    track_names,
)
from sim_bridge.cli.main import main
from sim_bridge.errors import UsageError
from steering_net.inference import predictor


@pytest.mark.parametrize(
    ('text', 'names'),
    [('7', [7]), ('0-2', [0, 1, 2]), ('lake,hills:3-4,9', ['lake', 'hills:3', 'hills:4', 9])],
)
def test_tracks_are_seeds_and_names(text, names):
    assert track_names(text) == names


def test_backends_are_those_of_the_predictor():
    assert BACKENDS == predictor.BACKENDS


@pytest.mark.parametrize('text', ['', '-1', '9-1', '1-', 'a', '1-b', '1-2-3', '1.5', 'hills:'])
def test_other_texts_are_no_tracks(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r'^track is '):
        track_names(text)


@pytest.mark.parametrize(
    ('check', 'value', 'message'),
    [
        (check_port, 0, '--port is 0; it must be 1..65535'),
        (check_port, 65536, '--port is 65536; it must be 1..65535'),
        (check_cars, 0, '--cars is 0; it must be 1..32'),
        (check_cars, 33, '--cars is 33; it must be 1..32'),
        (
            check_speed_limit,
            0.0,
            '--speed-limit is 0.0; it must be greater than 0 and at most 60 m/s',
        ),
        (
            check_speed_limit,
            float('nan'),
            '--speed-limit is nan; it must be greater than 0 and at most 60 m/s',
        ),
    ],
)
def test_message_names_the_option_the_value_and_what_is_allowed(check, value, message):
    with pytest.raises(UsageError) as caught:
        check(value)
    assert str(caught.value) == message


def test_values_at_the_bounds_are_accepted():
    for port in (1, 65535):
        check_port(port)
    for cars in (1, 32):
        check_cars(cars)
    check_speed_limit(60.0)


def test_range_without_an_upper_bound_has_a_unit():
    check_range('--seconds', 0.0, 0.0, unit='s')
    with pytest.raises(UsageError, match=r'^--seconds is -1\.0; it must be 0 s or greater$'):
        check_range('--seconds', -1.0, 0.0, unit='s')


def test_file_that_cannot_be_written_is_named_with_the_fix(tmp_path):
    check_output_file('--json', None)
    check_output_file('--json', tmp_path / 'new.json')
    with pytest.raises(UsageError, match='is a folder; name a file in it'):
        check_output_file('--json', tmp_path)
    with pytest.raises(UsageError, match=r'there is no folder .*; create it'):
        check_output_file('--json', tmp_path / 'none' / 'new.json')


def test_folder_of_a_file_is_checked_too_because_the_file_is_replaced(tmp_path, monkeypatch):
    file, other, pipe = tmp_path / 'report.json', tmp_path / 'link', tmp_path / 'pipe'
    file.touch()
    other.symlink_to(file)
    os.mkfifo(pipe)
    monkeypatch.setattr(os, 'access', lambda path, _: path != tmp_path)
    for path in (file, other):
        with pytest.raises(UsageError, match=f'^--json: {tmp_path} cannot be written; change'):
            check_output_file('--json', path)
    check_output_file('--json', pipe)


@pytest.mark.parametrize('check', [check_output_file, check_output_folder])
def test_closed_folder_is_named(check, monkeypatch):
    def stat(path, **_):
        raise PermissionError(errno.EACCES, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'stat', stat)
    with pytest.raises(UsageError, match=r'^--out: /closed/a cannot be written: Permission den'):
        check('--out', Path('/closed/a'))


def test_network_is_the_shipped_one_or_exists(tmp_path):
    check_model('--model', 'default')
    check_model('--model', str(tmp_path))
    with pytest.raises(UsageError, match=r'^--model: there is no file .*none\.keras; name'):
        check_model('--model', str(tmp_path / 'none.keras'))


def test_output_folder_is_checked_before_the_work_begins(tmp_path):
    check_output_folder('--out', None)
    check_output_folder('--out', tmp_path)
    check_output_folder('--out', tmp_path / 'new' / 'inner')
    assert list(tmp_path.iterdir()) == []
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file', tmp_path / 'file' / 'inner'):
        with pytest.raises(UsageError, match=f'--out: {tmp_path}/file is a file; name a folder'):
            check_output_folder('--out', path)


@pytest.mark.parametrize(
    ('words', 'option'),
    [
        (['import-model', 'net.keras', '--out', 'new.keras'], '--out'),
        (['record', 'bag'], 'DIR'),
        (['record', 'frames', '--frames'], 'DIR'),
        (['drive', '--record', 'bag'], '--record'),
        (['drive', 'default', 'frames'], 'DIR'),
    ],
)
def test_folder_without_permission_is_named_before_the_work(
    words, option, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path('net.keras').touch()
    monkeypatch.setattr(os, 'access', lambda path, _: path != tmp_path)
    assert main(words) == 2
    assert (
        f'sim-bridge {words[0]}: {option}: {tmp_path} cannot be written' in capsys.readouterr().err
    )
