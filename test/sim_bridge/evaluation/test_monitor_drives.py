# SPDX-License-Identifier: Apache-2.0
"""Drives with a monitor that stops the car, and the verb `evaluate monitor`."""

import argparse
from dataclasses import replace

import pytest

from helpers.training import drawn_log
from sim_bridge.cli import evaluate, evaluate_monitor
from sim_bridge.cli.main import main
from sim_bridge.evaluation import monitor_drives
from sim_bridge.evaluation.monitor_drives import (
    Conditions,
    Plan,
    Watch,
    known_drive,
    known_recording,
)
from steering_net.data.recording import read_folder
from steering_net.inference.self_check import (
    Answers,
    Calibration,
    World,
    calibrate,
    check_length,
)
from steering_net.vision.profile import find_profile

PROFILE = find_profile('course')
CALIBRATION = Calibration((World((0.0,) * 3, (0.01,) * 3),), 2.0, '')


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

    def predict_changed(self, changes):
        answer_rad = -self.steering_rad if self.is_sound else 0.2 - self.steering_rad
        return [answer_rad] * len(changes)


@pytest.mark.slow
def test_the_monitor_stops_a_car_before_it_leaves_the_road_and_only_in_mode_hold():
    plan = Plan(8.0, 13.4, CALIBRATION)
    conditions = Conditions('stubborn', Stubborn(0.2, is_sound=False), 3)
    free, stopped = (Watch(plan, mode)(conditions) for mode in ('warn', 'hold'))
    assert len(free.departures_s) >= 1
    assert not free.is_held
    assert len(stopped.departures_s) == 0
    assert stopped.is_held
    assert free.uncertainty[20:].min() > 0.5
    assert not Watch(replace(plan, seconds=2.0), 'hold')(
        Conditions('stubborn', Stubborn(), 3)
    ).is_held


class Failing(Stubborn):
    """A network that is sound and steers straight on for 2 s, then neither."""

    frames = 0

    def predict(self, rgb):
        self.frames += 1
        if self.frames > 40:
            self.steering_rad, self.is_sound = 0.16, False
        return self.steering_rad


@pytest.mark.slow
def test_a_departure_of_a_held_car_that_still_brakes_counts():
    drive = Watch(Plan(8.0, 13.4, CALIBRATION), 'hold')(Conditions('failing', Failing(), 3))
    assert drive.is_held
    (departure_s,) = drive.departures_s
    assert departure_s > drive.times_s[-1] + 0.5, 'the monitor judges until it holds the car'


def test_known_drives_calibrate_up_to_the_first_departure():
    drive = known_drive(Stubborn(0.1), 3, 20.0, 13.4)
    assert 30 < len(drive) < 390
    assert calibrate([drive * 8], 'abc').worlds[0].mean_rad == pytest.approx((0.0,) * 3)


def test_the_shortest_drive_is_long_enough_to_calibrate():
    check_length(known_drive(Stubborn(), 500, 10.0, 1.0))


def test_frames_of_a_recording_that_cannot_be_used_are_left_out(tmp_path, logged):
    path = drawn_log(tmp_path)
    images = sorted((tmp_path / 'IMG').glob('center*'))
    images[3].write_bytes(b'torn')
    images[7].unlink()
    recording = read_folder(path)
    assert len(known_recording(Stubborn(), recording)) == 38
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
        return [(Answers(k % 2, 0.0, 0.0), k / 20) for k in range(101)]

    monkeypatch.setattr(monitor_drives, 'known_drive', known_drive)
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
        (['--calibrate', '--tracks', '3'], '--tracks cannot be used with --calibrate'),
        (['--calibrate', '--require', 'known_stops=0'], '--require cannot be used with'),
        (['--recorded-with', 'training'], '--recorded-with needs --calibrate'),
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
