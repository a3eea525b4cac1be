# SPDX-License-Identifier: Apache-2.0
"""What `sim-bridge data` says of every kind of source."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from helpers.processes import run_verb
from sim_bridge.cli.main import main
from sim_bridge.recording.summary import (
    figures,
    lines,
    open_source,
    open_track,
    stems_of,
    write_pictures,
)

NAME = r'C:\Users\me\IMG\center_2020_01_01_00_00_00_{:03}.jpg'


@pytest.fixture
def log(tmp_path):
    """Ten good rows of a German Windows machine, two bad ones, and one picture missing."""
    (tmp_path / 'IMG').mkdir()
    rows = [f'{NAME.format(100 * i)}; ; ;{"-0,2" if i == 9 else 0};0,5;0;{i},5' for i in range(10)]
    rows[3:3] = ['torn', f'{NAME.format(0)}; ; ;2;0;0;1']
    for i in range(9):
        file = tmp_path / 'IMG' / NAME.format(100 * i).rpartition('\\')[2]
        cv2.imwrite(str(file), np.full((160, 320, 3), 90, np.uint8))
    path = tmp_path / 'driving_log.csv'
    path.write_text('\n'.join(rows), encoding='utf-8')
    return path


def test_report_names_form_bad_rows_and_missing_images(log):
    report = figures(open_source(log.parent))
    assert "no header, ';' between fields, decimal commas, absolute Windows" in report['format']
    assert (report['rows'], report['missing_images'], report['cameras']) == (10, 1, ['center'])
    assert [bad['line'] for bad in report['bad_rows']] == [4, 5]
    assert report['zero_share'] == 0.9
    assert report['steering_rad'] == pytest.approx([0.0, 0.0873], abs=1e-4)
    assert report['speed_mps'] == pytest.approx([0.5 * 0.44704, 9.5 * 0.44704])
    assert report['hz'] == pytest.approx(10.0)
    text = '\n'.join(lines(report))
    assert '10 good, 2 bad' in text
    assert 'seen by   the camera training, assumed, because fewer than 40 frames' in text
    assert report['camera'] == 'training'
    assert 'line 5: steering is out of range: 2' in text
    json.dumps(report, allow_nan=False)


def test_a_given_camera_is_not_looked_for(log):
    report = figures(open_source(log.parent, recorded_with='autonomous'))
    assert (report['camera'], report['camera_reason']) == ('autonomous', 'as given')


def test_a_camera_of_later_rows_is_one_of_the_log(log):
    rows = log.read_text(encoding='utf-8').split('\n')
    rows[-1] = rows[-1].replace('; ; ;', f';{NAME.format(1)};{NAME.format(2)};', 1)
    log.write_text('\n'.join(rows), encoding='utf-8')
    report = figures(open_source(log))
    assert (report['cameras'], report['missing_images']) == (['center', 'left', 'right'], 3)


def test_pictures_show_what_there_is(log, tmp_path):
    histogram, frames = write_pictures(open_source(log), tmp_path / 'out', 'log')
    assert cv2.imread(str(histogram)) is not None
    # Every frame is shown at twice its size, three in a row.
    assert cv2.imread(str(frames)).shape[1] == 3 * 640
    for image in (log.parent / 'IMG').iterdir():
        image.unlink()
    assert len(write_pictures(open_source(log), tmp_path / 'out', 'log')) == 1


def test_recordings_in_folders_of_one_name_have_files_of_their_own(log):
    twice = open_source(log).recording
    stem = f'{log.parent.name}_driving_log'
    assert stems_of([twice, twice, twice]) == [stem, f'{stem}_2', f'{stem}_3']


def test_pictures_of_the_folder_that_one_is_in_are_not_hidden(log, monkeypatch):
    monkeypatch.chdir(log.parent)
    found = [replace(open_source(log).recording, name=name) for name in ('.', '..', './..')]
    here, above = log.parent, log.parent.parent
    stems = ['_'.join(path.parts[-2:]) for path in (here, above)]
    assert stems_of(found) == [*stems, f'{stems[1]}_2']


@pytest.mark.slow
@pytest.mark.parametrize('name', [1000, 'hills:1000'])
def test_embedded_track_is_a_source(name):
    report = figures(open_track(name, 5))
    assert report['source'] == f'track {name}'
    assert (report['rows'], report['bad_rows'], report['missing_images']) == (5, [], 0)
    assert report['zero_share'] == 0.0


@pytest.mark.slow
def test_data_shows_tracks_by_their_names(capsys):
    assert main(['data', '--tracks', 'lake,1000', '--samples-per-track', '2']) == 0
    told = capsys.readouterr().out
    assert ('track lake' in told, 'track 1000' in told) == (True, True)


def test_every_log_that_people_have_is_recognised(shared_data):
    folder = shared_data / 'raw_driving_logs'
    forms = {path.stem: open_source(path).form for path in folder.glob('*.csv')}
    assert 'bare file names' in forms['bare_names_comma']
    assert 'absolute Mac paths' in forms['mac_abs_space_in_path']
    assert "', ' between fields" in forms['relative_comma_space']
    assert 'a header' in forms['udacity_sample_with_header']
    assert all('absolute Windows' in forms[name] for name in forms if name.startswith('windows'))
    assert 'absolute Linux' in forms['linux_abs_comma_space']


@pytest.mark.slow
def test_the_verb_prints_and_says_what_is_wrong(log, tmp_path):
    target = tmp_path / 'report.json'
    result = run_verb('data', log, '--json', target)
    assert result.returncode == 0, result.stderr
    assert '10 good, 2 bad' in result.stdout
    assert json.loads(target.read_text(encoding='utf-8'))['sources'][0]['rows'] == 10
    for words, told in (([], 'name a log'), ([tmp_path / 'IMG'], 'neither driving_log.csv')):
        result = run_verb('data', *words)
        assert (result.returncode, result.stderr.count('\n')) == (2, 1)
        assert told in result.stderr
