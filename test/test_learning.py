"""From a recorded drive to a network that drives: the whole way, in small."""

import json

import pytest

from sim_bridge.bags import Bag
from sim_bridge.recordings import open_recording
from steering_net.dataset import read_log
from support import free_port, run_verb

TRACK = 5
BATCHES = ('--epochs', 1, '--batch-size', 48)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A lap of the shipped network on a short track, recorded by the graph."""
    path = tmp_path_factory.mktemp('learning') / 'bag'
    result = run_verb(
        'drive', '--port', free_port(), '--track', TRACK, '--laps', 1, '--fast',
        '--speed-limit', 13.4, '--record', path,
        timeout=240.0,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return path


def test_a_bag_opens_as_frames_with_their_commands(bag):
    recording = open_recording(bag)
    assert len(recording) > 1000
    assert recording.frame(7).shape == (160, 320, 3)
    assert (recording.target_rad == recording.steering_rad).all()
    assert 5.0 < recording.speed_mps.max() < 13.5


def test_a_network_that_learnt_from_a_bag_drives_its_track(bag, tmp_path):
    result = run_verb(
        'train', '--bag', bag, '--out', tmp_path, '--name', 'pupil', *BATCHES,
        '--steps-per-epoch', 120, '--look-ahead', 8,
        timeout=400.0,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = tmp_path / 'report.json'
    result = run_verb(
        'evaluate', 'closed-loop', '--model', tmp_path / 'pupil.keras', '--tracks', TRACK,
        '--speed-limit', 13.4, '--json', report, '--require', 'interventions=0',
        timeout=240.0,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    driven = json.loads(report.read_text(encoding='utf-8'))
    assert (driven['laps'], driven['lane_departures']) == (1, 0)


def test_an_exported_bag_trains(bag, tmp_path):
    assert run_verb('export', bag, '--csv', tmp_path / 'log').returncode == 0
    log = read_log(tmp_path / 'log' / 'driving_log.csv')
    frames = sum(1 for record in Bag(bag) if record.is_of('camera/image_raw/compressed'))
    assert (len(log.rows), log.bad_rows) == (frames, [])
    words = (*BATCHES, '--steps-per-epoch', 3)
    result = run_verb('train', '--log', tmp_path / 'log', '--out', tmp_path / 'out', *words)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'out' / 'pilotnet.tflite').is_file()
