# SPDX-License-Identifier: Apache-2.0
"""A network drives a recorded lap: the physics, and what is counted."""

import itertools
import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from helpers.processes import run_verb
from steering_net.data.driving_log import LogError
from steering_net.data.recording import Recording, read_folder
from steering_net.data.steering_smoothing import smooth
from steering_net.evaluation.data_driven import (
    Offset,
    ReferenceLine,
    advance,
    drive,
    road_middle,
    view,
)
from steering_net.inference.predictor import load_predictor
from steering_net.vehicle import WHEELBASE_M
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA, turned
from steering_net.vision.jpeg import encode_jpeg

# One left curve and one right, each 40 steps of a tenth of a second.
STEERING = np.concatenate([np.zeros(20), np.full(40, 0.06), np.full(40, -0.06), np.zeros(20)])


def white_line():
    """A road with one line from under the car to the vanishing point."""
    rgb = np.full((160, 320, 3), 70, np.uint8)
    ends = TRAINING_CAMERA.project(np.array([[4.0, 0.0], [1e5, 0.0]]))
    cv2.line(rgb, *(tuple(int(x) for x in end) for end in ends), (255, 255, 255), 5)
    return rgb


def recorded(steering=STEERING, step_s=0.1, speed_mps=10.0, jpeg=None):
    times_s = step_s * np.arange(len(steering))
    if jpeg is None:
        jpeg = cv2.imencode('.jpg', white_line())[1].tobytes()
    return Recording(
        name='drawn',
        times_s=times_s,
        steering_rad=steering,
        target_rad=smooth(times_s, steering),
        speed_mps=np.full(len(steering), speed_mps),
        frame_names=[f'{i}.jpg' for i in range(len(steering))],
        load=lambda index: jpeg,
    )


def line_offset_m(rgb):
    """How far left of the white line the camera is, measured 8 m ahead of the car."""
    row = int(TRAINING_CAMERA.project(np.array([[8.0, 0.0]]))[0, 1])
    column = float(np.mean(np.flatnonzero(rgb[row, :, 0] > 160)))
    near, aside = TRAINING_CAMERA.project(np.array([[8.0, 0.0], [8.0, 1.0]]))[:, 0]
    return (column - near) / (near - aside)


def follow(recording, gain=0.06):
    """Steers as recorded, and back to the white line that it sees."""
    answers = iter(recording.steering_rad)
    return lambda rgb: next(answers) - gain * line_offset_m(rgb)


def test_same_steering_keeps_the_offset_on_a_straight_and_the_heading_everywhere():
    assert advance(Offset(), 0.1, 0.1, 20.0) == Offset()
    moved = advance(Offset(0.5, 0.0), 0.0, 0.0, 20.0)
    assert (moved.left_m, moved.yaw_rad) == (0.5, 0.0)
    assert advance(Offset(0.0, 0.1), 0.0, 0.0, 5.0).left_m == pytest.approx(5.0 * math.tan(0.1))


@pytest.mark.parametrize('own', [0.05, -0.08])
def test_beside_a_straight_the_car_drives_the_circle_of_the_bicycle_model(own):
    radius_m = WHEELBASE_M / math.tan(own)
    moved = advance(Offset(), own, 0.0, 8.0)
    turned = math.asin(8.0 / radius_m)
    assert moved.yaw_rad == pytest.approx(turned, rel=0.01)
    assert moved.left_m == pytest.approx(radius_m * (1 - math.cos(turned)), rel=0.01)


def test_beside_a_curve_concentric_driving_keeps_the_offset():
    radius_m = WHEELBASE_M / math.tan(0.1)
    inner = math.atan(WHEELBASE_M / (radius_m - 0.8))
    moved = advance(Offset(0.8, 0.0), inner, 0.1, 30.0)
    assert moved.left_m == pytest.approx(0.8, abs=1e-6)
    assert moved.yaw_rad == pytest.approx(0.0, abs=1e-6)


def test_left_of_the_way_the_line_is_seen_right():
    assert line_offset_m(view(white_line(), Offset(0.6, 0.0))) == pytest.approx(0.6, abs=0.05)
    assert line_offset_m(view(white_line(), Offset(-0.6, 0.0))) == pytest.approx(-0.6, abs=0.05)
    # Turned left by 0.05 rad about the rear axle, 9.6 m behind the point that is measured.
    turned = line_offset_m(view(white_line(), Offset(0.0, 0.05)))
    assert turned == pytest.approx(9.6 * 0.05, abs=0.06)


def test_who_sees_the_road_drives_by_himself():
    recording = recorded()
    driven = drive(follow(recording), recording)
    assert driven.report['interventions'] == 0
    assert driven.report['autonomy_percent'] == 100.0
    assert driven.report['max_cross_track_m'] < 0.5
    assert driven.offsets_m.shape == (len(STEERING) - 1,)
    assert driven.report['distance_m'] == pytest.approx(10.0 * 0.1 * (len(STEERING) - 1))


def test_who_steers_the_wrong_way_is_put_back_again_and_again():
    recording = recorded()
    blind = drive(lambda rgb: 0.0, recording).report
    left = drive(lambda rgb: 0.1, recording).report
    answers = iter(-STEERING)
    wrong = drive(lambda rgb: next(answers), recording).report
    assert 0 < blind['interventions'] < wrong['interventions']
    assert left['interventions'] > 5
    assert blind['autonomy_percent'] == max(
        0.0, 100 * (1 - 6 * blind['interventions'] / blind['duration_s'])
    )
    seen_backwards = drive(follow(recording, gain=-0.06), recording).report
    assert seen_backwards['interventions'] > 0


def test_a_pause_is_no_drive():
    recording = recorded(np.zeros(40))
    recording.times_s[20:] += 60.0
    report = drive(lambda rgb: 0.02, recording).report
    assert report['duration_s'] == pytest.approx(3.8)
    assert (
        report['interventions']
        == drive(lambda rgb: 0.02, recorded(np.zeros(20))).report['interventions'] * 2
    )


def test_rate_of_the_steering_is_that_between_two_frames():
    recording = recorded(np.zeros(4), speed_mps=0.1)
    recording.times_s[:] = [0.0, 0.1, 0.3, 0.7]
    answers = iter([0.2, 0.2, 0.1])
    report = drive(lambda rgb: next(answers), recording).report
    assert report['steering_rms_rate_radps'] == pytest.approx(math.sqrt(0.1**2 / 0.2 / 0.7))


def test_neither_a_pause_nor_being_put_back_is_steering():
    recording = recorded(np.zeros(40))
    recording.times_s[20:] += 60.0
    calls = itertools.count()
    assert drive(lambda rgb: 0.1, recording).report['interventions'] > 1
    report = drive(lambda rgb: 0.001 if next(calls) < 19 else -0.001, recording).report
    assert report['steering_rms_rate_radps'] == 0.0


def test_after_a_pause_the_recorded_car_steers_as_recorded_there():
    """Not by the mean with the row before the pause, which would turn it by 0.1 rad."""
    recording = recorded(np.repeat([0.4, 0.0], 20))
    recording.times_s[20:] += 60.0
    answers = iter(np.repeat([0.4, 0.0], [19, 19]))
    driven = drive(lambda rgb: next(answers), recording)
    np.testing.assert_allclose(driven.offsets_m[20:], 0.0, atol=1e-9)


def test_broken_frames_are_left_out_and_none_at_all_is_an_error(logged):
    with pytest.raises(LogError, match='no frame of drawn'):
        drive(lambda rgb: 0.0, recorded(jpeg=b'no jpeg'))
    assert '0.jpg left out' in logged.text


def test_frames_that_are_too_far_apart_are_no_drive():
    with pytest.raises(
        LogError, match=r'no frame of drawn can be used: no two are at most 0\.5 s'
    ):
        drive(lambda rgb: 0.0, recorded(step_s=0.6))


def test_a_recording_without_speed_is_an_error_and_no_perfect_drive():
    with pytest.raises(LogError, match='drawn holds no speed: record vehicle/speed, or give the'):
        drive(lambda rgb: 0.1, recorded(speed_mps=0.0))
    with pytest.raises(LogError, match='drawn holds no speed'):
        road_middle(recorded(speed_mps=0.0))


def test_off_the_line_the_car_is_put_back_on_it_and_looks_along_it():
    recording = recorded(np.zeros(80))
    along = 0.5 - 0.01 * np.arange(80)
    line = ReferenceLine('drawn', along, np.full(80, math.atan(-0.01)))
    kept = drive(lambda rgb: 0.0, recording, line)
    # A car that goes straight on along the line stays on it.
    assert (kept.report['reference'], kept.report['interventions']) == ('drawn', 0)
    assert kept.report['max_cross_track_m'] < 0.01
    driven = drive(lambda rgb: 0.02, recording, line)
    (back,) = np.flatnonzero(np.abs(driven.offsets_m) > 1.0)[:1] + 1
    assert driven.report['interventions'] > 0
    assert driven.offsets_m[back] == pytest.approx(driven.offsets_m[0], abs=0.02)
    np.testing.assert_allclose(driven.driver_m, -along[1:])


def test_where_the_line_is_not_known_nobody_is_judged():
    recording = recorded(np.zeros(40))
    left_m = np.full(40, 0.5)
    left_m[:10] = np.nan
    driven = drive(lambda rgb: 0.0, recording, ReferenceLine('drawn', left_m, np.zeros(40)))
    assert np.isnan(driven.offsets_m[:10]).all()
    np.testing.assert_allclose(driven.offsets_m[10:], 0.0, atol=1e-9)
    assert driven.report['duration_s'] == pytest.approx(2.9)


def test_without_a_frame_there_is_no_middle_and_the_error_says_why():
    with pytest.raises(LogError, match='no frame of drawn can be used: '):
        road_middle(recorded(jpeg=b'no jpeg'))
    tall = cv2.imencode('.jpg', np.zeros((240, 320, 3), np.uint8))[1].tobytes()
    with pytest.raises(LogError, match='the frame is 320x240; it must be 320x160'):
        road_middle(recorded(jpeg=tall))


@pytest.mark.slow
def test_the_verb_compares_and_requires(shared_data, tmp_path):
    lap = read_folder(shared_data / 'lake_lap_a')
    (tmp_path / 'IMG').mkdir()
    lines = (shared_data / 'lake_lap_a' / 'frames.csv').read_text(encoding='utf-8').splitlines()
    (tmp_path / 'frames.csv').write_text('\n'.join(lines[:1] + lines[101:181]), encoding='utf-8')
    for index in range(100, 180):
        (tmp_path / 'IMG' / lap.frame_names[index]).write_bytes(lap.load(index))
    report = tmp_path / 'report.json'
    result = run_verb(
        'evaluate', 'data-driven', '--recording', tmp_path, '--compare', 'default', 'default',
        '--out', tmp_path / 'out', '--json', report, '--require', 'interventions=0',
        '--require', 'frames=80',
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert 'default: frames is 73; required is at least 80' in result.stderr
    one, two = json.loads(report.read_text(encoding='utf-8'))['models']
    assert (one['model'], two['model']) == ('default', "default'")
    assert one['interventions'] == two['interventions']
    assert result.stdout.splitlines()[0].split() == ['default', "default'"]
    rows = (tmp_path / 'out' / 'default_offsets.csv').read_text(encoding='utf-8').splitlines()
    assert len(rows) == 80
    assert rows[0] == 'frame,time_s,offset_m,driver_m'
    assert cv2.imread(str(tmp_path / 'out' / 'default_offsets.png')) is not None


@pytest.mark.slow
def test_the_shipped_network_hardly_ever_leaves_the_middle_of_a_real_lap(shared_data):
    lap = read_folder(shared_data / 'lake_lap_a')
    network = load_predictor('default')
    middle = road_middle(lap)
    driven = drive(network.predict, lap, middle)
    assert (driven.report['reference'], driven.report['frames']) == ('middle', 976)
    assert driven.report['interventions'] <= 2
    assert driven.report['rms_cross_track_m'] < 0.32
    # Its driver did.
    assert np.nanmax(np.abs(driven.driver_m)) > 2.0

    # As the camera of Autonomous mode sees the lap.
    def load(index):
        frame = turned(lap.frame(index), TRAINING_CAMERA, AUTONOMOUS_CAMERA)
        return encode_jpeg(frame, 92)

    turning = load_predictor('default', camera='autonomous')
    seen = replace(lap, camera='autonomous', load=load)
    again = drive(turning.predict, seen, middle)
    assert again.report['interventions'] <= 2
    assert again.report['rms_cross_track_m'] < 0.32
