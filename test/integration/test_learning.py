# SPDX-License-Identifier: Apache-2.0
"""From a recorded drive to a network that drives: the whole way, in small."""

import argparse
import json

import pytest

from helpers.network import own_port
from helpers.processes import REPORT_FIELDS, run_verb
from helpers.tracks import TEST_SEEDS
from helpers.training import run_eagerly
from sim_bridge.cli import train as verb
from sim_bridge.evaluation.closed_loop import drive
from sim_bridge.recording.sources import open_bag, open_recording
from steering_net.data.driving_log import read_log
from steering_net.inference.predictor import load_predictor
from steering_net.vision.jpeg import decode_jpeg

TRACK = TEST_SEEDS[41]


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """A lap of an unseen track, driven and recorded by the graph: (bag, report)."""
    folder = tmp_path_factory.mktemp('learning')
    bag, report = folder / 'bag', folder / 'report.json'
    result = run_verb(
        'drive', '--port', own_port(), '--track', TRACK, '--laps', 1, '--fast',
        '--speed-limit', 13.4, '--record', bag, '--report', report,
        timeout=300.0,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return bag, json.loads(report.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def bag(recorded):
    return recorded[0]


def test_the_graph_drives_a_lap_of_an_unseen_track_without_leaving_the_lane(recorded):
    _, report = recorded
    assert set(report) >= REPORT_FIELDS
    assert report['laps'] == 1
    assert report['lane_departures'] == 0
    assert report['interventions'] == 0
    assert report['autonomy_percent'] == 100.0
    assert 10.0 < report['max_speed_mps'] <= 13.4
    assert report['frames'] > 1000
    assert 0 <= report['frames'] - report['answers'] <= 2


def test_a_bag_opens_as_frames_with_their_commands(bag):
    recording = open_recording(bag)
    assert len(recording) > 1000
    assert recording.frame(7).shape == (160, 320, 3)
    # The simulator that drives sent what is in a bag.
    assert recording.camera == 'autonomous'
    assert open_recording(bag, 'training').camera == 'training'
    assert (recording.target_rad == recording.steering_rad).all()
    assert 5.0 < recording.speed_mps.max() < 13.5


def train(*words):
    """`sim-bridge train` in this process, where TensorFlow may be loaded already; one epoch."""
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    words = (*words, '--epochs', 1)
    return verb.run(parser.parse_args([str(word) for word in words]))


def test_a_network_that_learnt_from_a_bag_drives_its_stretch(bag, tmp_path):
    words = ('--out', tmp_path, '--name', 'pupil', '--look-ahead', 8)
    assert train('--bag', bag, *words, '--steps-per-epoch', 100, '--batch-size', 32) == 0
    predictor = load_predictor(tmp_path / 'pupil.keras')

    def steer(jpeg):
        return predictor.predict(decode_jpeg(jpeg))

    driven = drive(TRACK, 1, 13.4, steer, longest_s=20.0).report
    assert (driven['lane_departures'], driven['interventions']) == (0, 0)
    assert driven['distance_m'] > 100.0


def test_an_exported_bag_trains(bag, tmp_path):
    assert run_verb('export', bag, '--csv', tmp_path / 'log').returncode == 0
    log = read_log(tmp_path / 'log' / 'driving_log.csv')
    frames = sum(1 for record in open_bag(bag) if record.is_of('camera/image_raw/compressed'))
    assert (len(log.rows), log.bad_rows) == (frames, [])
    words = ('--out', tmp_path / 'out', '--steps-per-epoch', 1, '--batch-size', 4)
    with run_eagerly():
        assert train('--log', tmp_path / 'log', *words) == 0
    assert (tmp_path / 'out' / 'pilotnet.tflite').is_file()
