# SPDX-License-Identifier: Apache-2.0
"""The figures of `evaluate monitor`, and drives with a monitor that stops the car."""

import argparse
from dataclasses import replace

import numpy as np
import pytest

from helpers.training import drawn_log
from sim_bridge.cli import evaluate, evaluate_monitor
from sim_bridge.cli.main import main
from sim_bridge.evaluation import monitor
from sim_bridge.evaluation.monitor import (
    Course,
    Plan,
    Watch,
    Watched,
    judge,
    known_drive,
    known_recording,
)
from steering_net.data.recording import read_folder
from steering_net.inference.self_check import Calibration, World, calibrate, check_length
from steering_net.vision.preprocessing import find_profile

PROFILE = find_profile('course')
CALIBRATION = Calibration((World((0.0, 0.0), (0.01, 0.01)),), 2.0, '')


class Stubborn:
    """A network that steers by a constant and answers a changed frame as it should, or not."""

    profile, sha256 = PROFILE, ''

    def __init__(self, steering_rad=0.0, is_sound=True):
        self.steering_rad = steering_rad
        self.is_sound = is_sound

    def load(self):
        """Be the packed network too."""
        return self

    def predict(self, rgb):
        return self.steering_rad

    def predict_changed(self, maps):
        return -self.steering_rad if self.is_sound else 0.2 - self.steering_rad


def watched(unsure_s=(), departures_s=(), seconds=20.0, put_back_s=None, is_held=False):
    """A drive at 20 frames/s that is unsure in spans of time."""
    times_s = np.arange(0.05, seconds, 0.05)
    unsure = np.zeros(len(times_s), bool)
    for first_s, last_s in unsure_s:
        unsure |= (times_s >= first_s) & (times_s <= last_s)
    judged = times_s >= 1.0
    if put_back_s is not None:
        judged &= (times_s < put_back_s) | (times_s > put_back_s + 1.0)
    values = np.where(unsure, 0.8, 0.2)
    return Watched('a course', times_s, values, judged, np.array(departures_s), is_held)


def test_a_failure_is_foreseen_in_the_second_that_ends_before_it():
    drives = [watched([(8.2, 8.5)], [10.0]), watched([(7.2, 7.5)], [10.0]), watched([], [10.0])]
    report = judge([watched()], drives, [replace(drive, departures_s=[]) for drive in drives])
    assert report['failures_1s'] == report['failures_3s'] == 3
    assert report['recall_1s_percent'] == pytest.approx(100 / 3)
    assert report['recall_2s_percent'] == pytest.approx(100 / 3)
    assert report['recall_3s_percent'] == 0.0
    assert report['precision_1s_percent'] == 100.0
    assert (report['departures_without_hold'], report['departures_with_hold']) == (3, 0)
    assert (report['failed_drives'], report['failed_drives_with_hold']) == (3, 0)


def test_failures_too_soon_after_the_start_or_another_failure_do_not_count():
    drive = watched([], [2.5, 10.0, 12.0], put_back_s=10.5)
    report = judge([watched()], [drive], [drive])
    assert [report[f'failures_{s}s'] for s in (1, 2, 3)] == [1, 1, 1]
    assert report['departures_without_hold'] == 3


def test_false_positives_are_seconds_of_known_worlds():
    known = [watched([(5.1, 5.2), (9.2, 10.4)]), watched()]
    failed = watched([(8.0, 9.0)], [10.0])
    report = judge(known, [failed], [failed])
    assert report['false_positive_percent'] == pytest.approx(100 * 3 / 36, rel=0.06)
    assert report['precision_1s_percent'] == pytest.approx(25.0)
    assert report['known_stops'] == 1
    assert 0.5 < report['frame_auc'] < 1.0


def test_a_drive_that_the_monitor_need_not_have_stopped_is_counted():
    calm = watched()
    report = judge([calm], [calm, calm], [calm, replace(calm, is_held=True)])
    assert (report['sound_unknown_drives'], report['sound_drives_held']) == (2, 1)
    assert np.isnan(report['recall_1s_percent'])


@pytest.mark.slow
def test_the_monitor_stops_a_car_before_it_leaves_the_road_and_only_in_mode_hold():
    plan = Plan(8.0, 13.4, CALIBRATION)
    course = Course('stubborn', Stubborn(0.2, is_sound=False), 3)
    free, stopped = (Watch(plan, mode)(course) for mode in ('warn', 'hold'))
    assert len(free.departures_s) >= 1
    assert not free.is_held
    assert len(stopped.departures_s) == 0
    assert stopped.is_held
    assert free.uncertainty[20:].min() > 0.5
    assert not Watch(replace(plan, seconds=2.0), 'hold')(Course('stubborn', Stubborn(), 3)).is_held


def test_known_drives_calibrate_up_to_the_first_departure():
    drive = known_drive(Stubborn(0.1), 3, 20.0, 13.4)
    assert 30 < len(drive[0]) < 390
    long = tuple(np.tile(column, 8) for column in drive)
    assert calibrate([long], 'abc').worlds[0].mean_rad == pytest.approx((0.0, 0.0))


def test_the_shortest_drive_is_long_enough_to_calibrate():
    check_length(known_drive(Stubborn(), 500, 10.0, 1.0))


def test_frames_of_a_recording_that_cannot_be_used_are_left_out(tmp_path, logged):
    path = drawn_log(tmp_path)
    images = sorted((tmp_path / 'IMG').glob('center*'))
    images[3].write_bytes(b'torn')
    images[7].unlink()
    recording = read_folder(path)
    assert [len(column) for column in known_recording(Stubborn(), recording)] == [38] * 3
    assert 'left out' in logged.text
    for image in images:
        image.unlink(missing_ok=True)
    with pytest.raises(ValueError, match='a drive of 0 frames is too short'):
        check_length(known_recording(Stubborn(), recording))


@pytest.mark.slow
def test_a_drive_that_is_too_short_is_named_at_once(monkeypatch, capsys):
    driven = []

    def known_drive(*words):
        driven.append(words)
        return np.arange(101) % 2, np.zeros(101), np.arange(101) / 20

    monkeypatch.setattr(monitor, 'known_drive', known_drive)
    assert main(['evaluate', 'monitor', '--calibrate', '--known', '3,4']) == 2
    assert 'track 3: a drive of 101 frames is too short to calibrate' in capsys.readouterr().err
    assert len(driven) == 1


@pytest.mark.parametrize(
    ('words', 'named'),
    [
        (['--seconds', '1'], '--seconds'),
        (['--calibrate', '--seconds', '9.9'], '--seconds is 9.9; it must be 10..600'),
        (['--weather', 'fog:2,hail:1'], '--weather'),
        (['--mutants', '.'], '--mutants'),
        (['--recording', 'x'], '--recording needs --calibrate'),
        (['--compare', 'x.keras'], '--compare'),
        (['--calibrate', '--workers', '2'], '--workers cannot be used with --calibrate'),
        (['--require', 'x'], '--require'),
    ],
)
def test_bad_input_ends_with_one_line(words, named, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['evaluate', 'monitor', *words]) == 2
    line = capfd.readouterr().err
    assert line.count('\n') == 1
    assert named in line


@pytest.mark.parametrize('words', [[], ['--known', '3,lake']])
def test_a_network_is_judged_on_other_tracks_than_those_of_its_calibration(words, monkeypatch):
    known = []
    monkeypatch.setattr(evaluate_monitor, '_calibrate', lambda _, tracks: known.append(tracks))
    monkeypatch.setattr(evaluate_monitor, '_judge', lambda _, tracks, *__: known.append(tracks))
    parser = argparse.ArgumentParser()
    evaluate._configure_monitor(parser)
    for more in (['--calibrate'], []):
        evaluate_monitor.run(parser.parse_args([*words, *more]))
    assert set(known[0]).isdisjoint(known[1]) is not bool(words)


@pytest.mark.slow
def test_two_workers_find_what_one_finds(tmp_path, capfd):
    words = ('--known', 3, '--tracks', 3, '--weather', 'fog:3,night:1', '--seconds', 5)
    told = []
    for count in (1, 2):
        file = tmp_path / 'report.json'
        more = ('--workers', count, '--json', file)
        assert main(['evaluate', 'monitor', *map(str, (*words, *more))]) == 0
        told.append((file.read_text(encoding='utf-8'), capfd.readouterr().out))
    assert told[0] == told[1]
    assert 'pilotnet.keras 3 fog:3' in told[0][1]
