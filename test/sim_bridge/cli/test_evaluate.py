# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import math

import cv2
import numpy as np
import pytest

from helpers.paths import SHARED_DATA
from helpers.recordings import every
from sim_bridge.cli import evaluate as verb
from sim_bridge.recording.sources import open_recording, turned_down
from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.track import make_track
from steering_net.data.driving_log import LogError
from steering_net.data.recording import read_folder
from steering_net.evaluation.open_loop import open_loop
from steering_net.inference.predictor import load_predictor
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.camera_model import CAMERAS, find_camera
from steering_net.vision.jpeg import encode_jpeg
from steering_net.vision.profile import COURSE

FIELDS = {
    'frames',
    'mae',
    'rmse',
    'correlation',
    'correlation_smoothed',
    'output_std',
    'constant_output',
    'latency_ms',
}


class FromBrightness:
    """Steers by the frame's brightness: 128 is straight on, brighter is further left."""

    name, sha256, backend, profile = 'brightness', '', 'none', COURSE

    def __init__(self, gain=1 / 255):
        self.gain = gain

    def predict(self, rgb):
        return (float(rgb.mean()) - 128) * self.gain


@pytest.fixture
def recording(tmp_path):
    """Five frames a second; frame i is as bright as 128 + 10 i, and keyed every fifth row."""
    (tmp_path / 'IMG').mkdir()
    lines = ['frame,timestamp_s,steering']
    for i in range(10):
        grey = np.full((160, 320, 3), 128 + 10 * i, np.uint8)
        cv2.imwrite(str(tmp_path / 'IMG' / f'{i}.jpg'), grey)
        lines.append(f'{i}.jpg,{0.2 * i:.3f},{-0.5 if i == 4 else 0}')
    (tmp_path / 'frames.csv').write_text('\n'.join(lines), encoding='utf-8')
    return tmp_path


def test_figures_are_computed_in_rad(recording):
    report = open_loop(FromBrightness(), read_folder(recording)).report
    predicted = np.arange(10) * 10 / 255
    recorded = np.zeros(10)
    recorded[4] = -0.5 * RECORDER_STEERING_RAD
    smoothed = np.array([recorded[max(0, i - 2) : i + 3].mean() for i in range(10)])
    assert set(report) == FIELDS
    assert report['frames'] == 10
    assert report['mae'] == pytest.approx(np.abs(predicted - recorded).mean(), abs=1e-6)
    assert report['rmse'] == pytest.approx(np.sqrt(((predicted - recorded) ** 2).mean()), abs=1e-6)
    assert report['correlation'] == pytest.approx(np.corrcoef(predicted, recorded)[0, 1])
    assert report['correlation_smoothed'] == pytest.approx(np.corrcoef(predicted, smoothed)[0, 1])
    assert report['output_std'] == pytest.approx(predicted.std(), abs=1e-6)
    assert not report['constant_output']
    latency = report['latency_ms']
    assert 0 < latency['p50'] <= latency['p99'] <= latency['max']


def test_a_network_that_ignores_its_frames_is_called_constant(recording):
    report = open_loop(FromBrightness(gain=0), read_folder(recording)).report
    assert report['constant_output']
    assert (report['correlation'], report['correlation_smoothed']) == (0, 0)
    json.dumps(report, allow_nan=False)


def test_broken_and_missing_frames_are_left_out_with_a_word(recording, logged):
    (recording / 'IMG' / '3.jpg').unlink()
    (recording / 'IMG' / '5.jpg').write_bytes(b'no jpeg')
    assert open_loop(FromBrightness(), read_folder(recording)).report['frames'] == 8
    assert len(logged.messages) == 2


def test_a_folder_without_a_recording_is_an_error(tmp_path, recording):
    with pytest.raises(LogError, match='neither'):
        read_folder(tmp_path / 'IMG')
    for image in (recording / 'IMG').iterdir():
        image.unlink()
    with pytest.raises(LogError, match='no image'):
        open_loop(FromBrightness(), read_folder(recording))


def run_verb(*words):
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    return verb.run(parser.parse_args(['open-loop', *map(str, words)]))


@pytest.mark.slow
def test_the_verb_prints_and_writes_the_report(recording, capsys):
    target, kept = recording / 'report.json', recording / 'report.json.partial'
    kept.write_text('of an interrupted evaluation on tracks', encoding='utf-8')
    assert run_verb('--recording', recording, '--json', target) == 0
    assert kept.exists()
    report = json.loads(target.read_text(encoding='utf-8'))
    assert set(report) == {*FIELDS, 'camera'}
    assert report['camera'] == 'training'
    assert report['frames'] == 10
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {
        *FIELDS,
        'camera',
    }


@pytest.mark.slow
def test_the_verb_leaves_its_papers_and_holds_to_what_is_required(recording, tmp_path, capsys):
    out = tmp_path / 'out'
    words = ['--recording', recording, '--out', out, '--require', 'correlation_smoothed=0.99']
    assert run_verb(*words) == 1
    assert 'default: correlation_smoothed is' in capsys.readouterr().err
    header, *rows = (out / 'default_frames.csv').read_text(encoding='utf-8').splitlines()
    assert header == 'frame,time_s,recorded_rad,smoothed_rad,predicted_rad,error_rad'
    assert [row.split(',')[0] for row in rows] == [f'{i}.jpg' for i in range(10)]
    assert float(rows[4].split(',')[2]) == pytest.approx(-0.5 * RECORDER_STEERING_RAD, abs=1e-5)
    for name in ('default_steering.png', 'default_worst.png'):
        assert cv2.imread(str(out / name)) is not None


@pytest.mark.slow
def test_the_verb_says_what_is_wrong_in_one_line(tmp_path, recording, capsys):
    assert run_verb('--recording', tmp_path / 'IMG') == 2
    assert run_verb('--recording', recording, '--model', tmp_path / 'none.keras') == 2
    errors = capsys.readouterr().err.splitlines()
    messages = [line for line in errors if line.startswith('sim-bridge evaluate: ')]
    assert len(messages) == 2
    assert 'neither driving_log.csv nor frames.csv' in messages[0]
    assert 'none.keras' in messages[1]


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_told_before_anything_is_judged(recording, capsys):
    words = ['--recording', recording, '--model', recording / 'none.keras', '--json']
    assert run_verb(*words, recording) == 2
    assert run_verb(*words, recording / 'none' / 'report.json') == 2
    assert capsys.readouterr().err.splitlines() == [
        f'sim-bridge evaluate: --json: {recording} is a folder; name a file in it',
        f'sim-bridge evaluate: --json: there is no folder {recording / "none"}; '
        'create it or name another file',
    ]


@pytest.mark.slow
def test_a_requirement_of_an_unknown_field_costs_no_evaluation(recording, capsys):
    target = recording / 'report.json'
    words = ['--recording', recording, '--json', target, '--require', 'corelation=0.8']
    assert run_verb(*words) == 2
    told = capsys.readouterr()
    assert "--require names 'corelation'; the fields are frames" in told.err
    assert {line.split()[0] for line in told.out.splitlines()} == {*FIELDS, 'camera'}
    assert set(json.loads(target.read_text(encoding='utf-8'))) == {*FIELDS, 'camera'}


def with_frames_of(recording, width, height):
    for path in (recording / 'IMG').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (width, height)))


def test_frames_of_the_same_shape_are_scaled_with_one_warning(recording, logged):
    expected = open_loop(FromBrightness(), read_folder(recording)).predicted_rad
    with_frames_of(recording, 640, 320)
    found = open_loop(FromBrightness(), read_folder(recording)).predicted_rad
    np.testing.assert_allclose(found, expected, atol=0.01)
    told = logged.messages
    assert told == [f'{recording / "frames.csv"}: frames of 640x320 are scaled to 320x160']


@pytest.mark.slow
def test_frames_of_another_shape_are_named(recording, capsys):
    with_frames_of(recording, 640, 480)
    assert run_verb('--recording', recording) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert told == (
        f'sim-bridge evaluate: no image of {recording / "frames.csv"} can be used: the frame is '
        "640x480; it must be 320x160 or have the same shape (2:1): set the simulator's camera to "
        '320x160'
    )


def rendered(folder, camera):
    """A recording of an embedded track by one of the two cameras, steered by its expert."""
    (folder / 'IMG').mkdir(parents=True)
    track, lines = make_track(7), ['frame,timestamp_s,steering']
    rendering = Camera(track, find_camera(camera))
    for i in range(60):
        pose = track.pose(5.0 * i)
        (folder / 'IMG' / f'{i}.jpg').write_bytes(encode_jpeg(rendering.render(pose), 92))
        steering = pursuit_steering_rad(track, pose) / RECORDER_STEERING_RAD
        lines.append(f'{i}.jpg,{0.1 * i:.3f},{steering}')
    (folder / 'frames.csv').write_text('\n'.join(lines), encoding='utf-8')
    return folder


def answers(folder, *words):
    assert run_verb('--out', folder / 'out', *words) == 0
    rows = (folder / 'out' / 'default_frames.csv').read_text(encoding='utf-8').splitlines()
    return np.array([float(row.split(',')[4]) for row in rows[1:]])


def apart(one, other):
    return float(np.sqrt(np.mean((one - other) ** 2)))


@pytest.mark.slow
def test_the_verb_is_told_the_camera_of_the_frames(tmp_path):
    training, autonomous = (rendered(tmp_path / name, name) for name in CAMERAS)
    right = answers(tmp_path, '--recording', training)
    untold = answers(tmp_path, '--recording', autonomous)
    told = answers(tmp_path, '--recording', autonomous, '--recorded-with', 'autonomous')
    assert apart(told, right) < apart(untold, right)
    down = ['--recording', training, '--turned-down', '1.6']
    there_and_back = answers(tmp_path, *down, '--recorded-with', 'autonomous')
    assert apart(there_and_back, right) < 0.5 * apart(answers(tmp_path, *down), right)


@pytest.mark.slow
def test_a_bad_camera_or_angle_is_one_line(recording, capsys):
    with pytest.raises(SystemExit) as ended:
        run_verb('--recording', recording, '--recorded-with', 'left')
    assert ended.value.code == 2
    assert "--recorded-with: camera is 'left'; it must be training" in capsys.readouterr().err
    assert run_verb('--recording', recording, '--turned-down', '90') == 2
    assert '--turned-down is 90.0; it must be -20..20 degrees' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason='no shared data beside the checkout')
@pytest.mark.parametrize('lap', ['lake_lap_a', 'jungle_lap_d'])
def test_the_default_network_follows_a_real_driver(lap):
    report = open_loop(load_predictor(), open_recording(SHARED_DATA / lap)).report
    assert report['frames'] >= 1000
    assert report['correlation_smoothed'] >= 0.75


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason='no shared data beside the checkout')
def test_the_default_network_follows_him_from_other_poses_of_the_camera():
    recording = every(3, open_recording(SHARED_DATA / 'lake_lap_a', 'autonomous'))
    network = load_predictor(camera='autonomous')

    def follows(degrees):
        judged = open_loop(network, turned_down(recording, math.radians(degrees)))
        return judged.report['correlation_smoothed']

    driving = follows(1.6)
    assert driving >= 0.74
    assert [follows(degrees) for degrees in (0.8, 2.4)] == pytest.approx([driving] * 2, abs=0.03)
