# SPDX-License-Identifier: Apache-2.0
"""Drives on many tracks: the same numbers from any number of workers, and nothing done twice."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from helpers.paths import ROOT
from helpers.processes import TIMINGS
from helpers.tasks import Killing
from sim_bridge.cli import evaluate as verb
from sim_bridge.evaluation import track_drives
from sim_bridge.evaluation.partial_results import PartialResults
from sim_bridge.evaluation.track_drives import TrackDrives, drive_tracks
from sim_bridge.simulator.weather import CLEAR, parse_weather
from sim_bridge.workers.spread import ONE_PROCESS, Workers
from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor

pytestmark = pytest.mark.slow

TRACKS = [3, 'nowhere:1', 4]
NOWHERE = {
    'track': 'nowhere:1',
    'weather': 'clear',
    'error': 'ValueError: track is nowhere:1; it must be one of: a seed such as 7, lake, jungle, '
    'hills:SEED',
}


@pytest.fixture(scope='module')
def drives():
    network = pack(load_predictor(camera='autonomous'))
    return TrackDrives(network, laps=1, speed_limit_mps=6.7, weather=CLEAR, longest_s=1.0)


@pytest.fixture(scope='module')
def expected(drives):
    """The summary that one process makes."""
    return drive_tracks(drives, TRACKS, ONE_PROCESS, None, 'driving')


def timeless(report):
    """A report without the fields that are measured by a clock."""
    tracks = [timeless(track) for track in report.get('tracks', ())]
    return {name: value for name, value in report.items() if name not in TIMINGS} | {
        'tracks': tracks
    }


def test_a_track_that_fails_is_in_the_report_and_in_no_sum(expected):
    assert expected['failed_tracks'] == 1
    good, failed, other = expected['tracks']
    assert failed == NOWHERE
    assert expected['distance_m'] == good['distance_m'] + other['distance_m'] > 0.0


def test_two_workers_one_of_them_killed_give_the_same_numbers(drives, expected, tmp_path):
    function = Killing(drives, 4, 1, tmp_path)
    found = dict(Workers(2).each(function, [3, 4]))
    assert len(list(tmp_path.iterdir())) == 1
    wanted = [report for report in expected['tracks'] if report != NOWHERE]
    assert [timeless(found[index]) for index in (0, 1)] == [timeless(one) for one in wanted]


def test_an_interrupted_evaluation_goes_on_with_the_tracks_that_are_missing(
    drives, expected, tmp_path, monkeypatch, capsys
):
    kept = tmp_path / 'report.json.partial'
    first = drive_tracks(drives, [3], ONE_PROCESS, kept, 'driving')
    with kept.open('a', encoding='utf-8') as file:
        file.write('{"key": "cut o')
    driven = []
    drive = track_drives.drive
    monkeypatch.setattr(
        track_drives, 'drive', lambda track, *rest: driven.append(track) or drive(track, *rest)
    )
    for tracks in (['nowhere:1', 4], ['nowhere:1']):
        whole = drive_tracks(drives, TRACKS, ONE_PROCESS, kept, 'driving')
        assert driven == tracks
        driven.clear()
        assert whole['tracks'][0] == first['tracks'][0]
        assert timeless(whole) == timeless(expected)
    assert f'{kept}: 1 of 3 tracks have a result' in capsys.readouterr().err


@pytest.mark.parametrize(
    'change',
    [
        {'laps': 2},
        {'speed_limit_mps': 6.8},
        {'weather': parse_weather('fog:1')},
        {'longest_s': 1.1},
    ],
)
def test_results_of_other_conditions_are_not_taken(drives, change, tmp_path):
    kept = tmp_path / 'kept'
    results = PartialResults(kept, drives.key())
    with results:
        results.add(3, {'track': 3})
    assert PartialResults(kept, drives.key()).found == {3: {'track': 3}}
    assert PartialResults(kept, replace(drives, **change).key()).found == {}


def test_results_of_another_network_are_not_taken(drives):
    network = drives.network
    changed = [replace(network, sha256='0'), replace(network, camera='training')]
    keys = {drives.key(), *(replace(drives, network=one).key() for one in changed)}
    assert len(keys) == 3


def test_if_every_track_fails_there_is_no_report(drives):
    with pytest.raises(
        RuntimeError, match='no track could be driven: ValueError: track is nowhere:1'
    ):
        drive_tracks(drives, ['nowhere:1'], ONE_PROCESS, None, 'driving')


def test_the_verb_keeps_partial_results_only_until_the_report_is_whole(tmp_path):
    file = tmp_path / 'report.json'
    # The executable of ROS, because worker processes import the file of their program.
    words = [ROOT / 'scripts' / 'evaluate', 'closed-loop', '--tracks', '3-4', '--seconds', 1]
    done = subprocess.run(
        [sys.executable, *map(str, [*words, '--workers', 2, '--json', file])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [file]
    report = json.loads(file.read_text(encoding='utf-8'))
    assert [track['track'] for track in report['tracks']] == [3, 4]
    assert 'track 4' in done.stdout


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--workers', 0], '--workers is 0; it must be 1..1024'),
        (['--workers', 2, '--ray', 'auto'], '--workers cannot be used with --ray'),
        (['--seconds', 0], '--seconds is 0.0; it must be 1 s or greater'),
    ],
)
def test_a_bad_option_is_one_line(words, told, capsys):
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    assert verb.run(parser.parse_args(['closed-loop', *map(str, words)])) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count('\n') == 1
