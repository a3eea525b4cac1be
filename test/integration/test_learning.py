# SPDX-License-Identifier: Apache-2.0
"""From a recorded drive to a network that drives: the whole way, in small."""

import argparse

import pytest

from helpers.network import own_port
from helpers.processes import run_verb
from sim_bridge.cli import train as verb
from sim_bridge.evaluation.closed_loop import drive
from sim_bridge.recording.bag import Bag
from sim_bridge.recording.sources import open_recording
from steering_net.data.driving_log import read_log
from steering_net.inference.predictor import load_predictor
from steering_net.vision.preprocessing import decode_jpeg

TRACK = 5


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A lap of the shipped network on a short track, recorded by the graph."""
    path = tmp_path_factory.mktemp('learning') / 'bag'
    result = run_verb(
        'drive', '--port', own_port(), '--track', TRACK, '--laps', 1, '--fast',
        '--speed-limit', 13.4, '--record', path,
        timeout=240.0,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return path


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
    """`sim-bridge train` in this process, where TensorFlow may be loaded already; a short one."""
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    words = (*words, '--epochs', 1, '--batch-size', 48)
    return verb.run(parser.parse_args([str(word) for word in words]))


def test_a_network_that_learnt_from_a_bag_drives_its_track(bag, tmp_path):
    words = ('--out', tmp_path, '--name', 'pupil', '--steps-per-epoch', 160, '--look-ahead', 8)
    assert train('--bag', bag, *words) == 0
    predictor = load_predictor(tmp_path / 'pupil.keras')
    driven = drive(TRACK, 1, 13.4, lambda jpeg: predictor.predict(decode_jpeg(jpeg))).report
    assert (driven['laps'], driven['lane_departures'], driven['interventions']) == (1, 0, 0)


def test_an_exported_bag_trains(bag, tmp_path):
    assert run_verb('export', bag, '--csv', tmp_path / 'log').returncode == 0
    log = read_log(tmp_path / 'log' / 'driving_log.csv')
    frames = sum(1 for record in Bag(bag) if record.is_of('camera/image_raw/compressed'))
    assert (len(log.rows), log.bad_rows) == (frames, [])
    words = ('--out', tmp_path / 'out', '--steps-per-epoch', 3)
    assert train('--log', tmp_path / 'log', *words) == 0
    assert (tmp_path / 'out' / 'pilotnet.tflite').is_file()
