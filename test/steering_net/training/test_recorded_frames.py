# SPDX-License-Identifier: Apache-2.0
import math
import re

import cv2
import numpy as np
import pytest

from helpers.training import BELOW, PLAIN, drawn_log, peak_bytes, road
from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.data.driving_log import LogError
from steering_net.data.recording import read_folder
from steering_net.training.augmentation import Augmentation
from steering_net.training.labels import Labelling
from steering_net.training.recorded_frames import LogSource, recorded_frames
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.camera_model import CAMERAS, TRAINING_CAMERA
from steering_net.vision.profile import find_profile


@pytest.fixture
def recording(tmp_path):
    return drawn_log(tmp_path)


def test_frames_of_another_camera_are_turned_to_that_of_the_profile(tmp_path):
    track, lines = make_track(1001), ['frame,timestamp_s,steering']
    cameras = {name: Camera(track, camera) for name, camera in CAMERAS.items()}
    for name, camera in cameras.items():
        (tmp_path / name).mkdir()
        for i in range(5):
            rgb = camera.render(track.pose(30.0 * i))
            cv2.imwrite(str(tmp_path / name / f'{i}.png.jpg'), rgb[..., ::-1], [1, 98])
    lines += [f'{i}.png.jpg,{i / 10},0.1' for i in range(5)]
    for name in cameras:
        (tmp_path / name / 'frames.csv').write_text('\n'.join(lines), encoding='utf-8')
    log = tmp_path / 'autonomous' / 'frames.csv'

    def crops(source, camera, profile):
        from_log = recorded_frames([LogSource(source, camera=camera)], PLAIN, profile)
        series = read_folder(source, camera)
        np.testing.assert_array_equal(
            recorded_frames([], PLAIN, profile, [series]).crops, from_log.crops
        )
        return from_log.crops[:, 20:80].astype(int)

    training = crops(tmp_path / 'training' / 'frames.csv', 'training', BELOW)
    told, untold = crops(log, 'autonomous', BELOW), crops(log, 'training', BELOW)
    own = crops(log, 'autonomous', find_profile('course:camera=autonomous').below(50))
    assert np.abs(told - training).mean() < 0.6 * np.abs(untold - training).mean()
    np.testing.assert_array_equal(own, untold)


@pytest.mark.slow
def test_logs_with_larger_frames_are_scaled_with_one_warning(recording, logged):
    expected = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    for path in (recording.parent / 'IMG').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (640, 320)))
    found = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    assert np.abs(found.crops.astype(int) - expected.crops).mean() < 2
    told = logged.messages
    assert told == [f'{recording}: frames of 640x320 are scaled to 320x160']
    for path in (recording.parent / 'IMG').iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (640, 480)))
    with pytest.raises(LogError, match='can be used: the frame is 640x480; it must be 320x160'):
        recorded_frames([LogSource(recording)], PLAIN, BELOW)


@pytest.mark.slow
def test_straight_frames_are_thinned_out_but_not_where_they_validate(tmp_path):
    (tmp_path / 'IMG').mkdir()
    cv2.imwrite(str(tmp_path / 'IMG' / 'a.jpg'), road(0))
    path = tmp_path / 'frames.csv'
    rows = [f'a.jpg,{9 * i},{0.5 if i % 10 == 0 else 0}' for i in range(1000)]
    path.write_text('\n'.join(['frame,timestamp_s,steering', *rows]), encoding='utf-8')
    log = read_folder(path)
    kept = recorded_frames([], PLAIN, BELOW, [log], keep_straight=0.0)
    assert (len(kept.part(held_out=False)), len(kept.part(held_out=True))) == (90, 100)
    assert len(recorded_frames([], PLAIN, BELOW, [log])) == 1000
    assert 190 < len(recorded_frames([], PLAIN, BELOW, [log], keep_straight=0.5)) < 1000


def test_side_cameras_get_a_corrected_label(recording):
    settings = Augmentation(side_camera_m=1.5, look_ahead_m=10)
    frames = recorded_frames([LogSource(recording)], settings, BELOW)
    half_right = 0.5 * RECORDER_STEERING_RAD
    assert len(frames) == 120
    side = math.atan(2.87 * 2 * 1.5 / (10**2 + 1.5**2))
    np.testing.assert_allclose(
        frames.steering_rad[:3], [half_right, half_right - side, half_right + side], atol=1e-6
    )


def test_labels_come_from_the_whole_time_series(recording, tmp_path):
    series = tmp_path / 'series.csv'
    name = 'center_2020_01_01_00_00_00_000.jpg'
    series.write_text(
        f'frame,timestamp_s,steering\n{name},0,0.2\nother.jpg,0.4,0.6\n', encoding='utf-8'
    )
    frames = recorded_frames([LogSource(recording, label_logs=(series,))], PLAIN, BELOW)
    assert frames.steering_rad[0] == pytest.approx(0.4 * RECORDER_STEERING_RAD)
    assert frames.steering_rad[3] == pytest.approx(0.5 * RECORDER_STEERING_RAD)


def test_a_label_log_is_refused_if_two_images_have_a_name_that_it_labels(tmp_path):
    def log_of(folder, *images):
        for image in images:
            path = tmp_path / folder / image
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), road(0))
        path = tmp_path / folder / 'frames.csv'
        rows = [f'{image},{i / 10},0.2' for i, image in enumerate(images)]
        path.write_text('\n'.join(['frame,timestamp_s,steering', *rows]), encoding='utf-8')
        return path

    def read(whole, *logs, label_logs_of=None):
        sources = [
            LogSource(log, (whole,) if label_logs_of in (None, log) else ()) for log in logs
        ]
        return recorded_frames(sources, PLAIN, BELOW)

    whole = log_of('whole', *(f'{i}.jpg' for i in range(4)))
    samples, others = log_of('samples', '1.jpg', '3.jpg'), log_of('others', '3.jpg', '7.jpg')
    both = log_of('both', 'a/1.jpg', 'b/1.jpg')
    clash = (
        f'{whole} labels images by file name, but 3.jpg of {samples} and 3.jpg of {others} have'
    )
    with pytest.raises(LogError, match=re.escape(clash)):
        read(whole, samples, others)
    with pytest.raises(LogError, match=f'a/1.jpg of {both} and b/1.jpg of {both} have the same'):
        read(whole, both)
    with pytest.raises(LogError, match=f'{both} labels images .* a/1.jpg of {both} and b/1.jpg'):
        read(both, samples)
    # The same images twice are the same, and other names and other logs do not matter.
    assert len(read(whole, samples, samples)) == 4
    assert len(read(log_of('one', '1.jpg'), samples, others)) == 4
    assert len(read(whole, samples, others, label_logs_of=samples)) == 4


def test_rows_of_other_runs_keep_their_own_labels_whatever_their_names_and_times(tmp_path):
    name = 'center_2020_01_01_00_00_00_{}00.jpg'
    lines = []
    for run, steering in (('a', 0.5), ('b', -0.25)):
        (tmp_path / run).mkdir()
        for i in range(5):
            cv2.imwrite(str(tmp_path / run / name.format(i)), road(i))
            lines.append(f'{run}/{name.format(i)},,,{steering},1,0,30')
    path = tmp_path / 'driving_log.csv'
    path.write_text('\n'.join(lines), encoding='utf-8')
    frames = recorded_frames([LogSource(path)], PLAIN, BELOW)
    expected = np.repeat([0.5, -0.25], 5) * RECORDER_STEERING_RAD
    np.testing.assert_allclose(frames.steering_rad, expected, atol=1e-6)


def test_labels_towards_the_middle_are_those_of_the_road_that_is_seen(tmp_path):
    track = make_track(1000)
    camera = Camera(track, TRAINING_CAMERA)
    lines, expected = ['frame,timestamp_s,steering,speed_mph'], []
    for i in range(40):
        # Along the track, a metre left of its middle, and straight towards it 16 m ahead.
        pose, target = track.pose(20.0 + i, 1.0), track.pose(36.0 + i)
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), camera.render(pose)[..., ::-1])
        steering = math.atan(2.87 * track.project(*pose[:2]).curvature_1pm)
        lines.append(f'{i}.jpg,{i / 10},{steering / RECORDER_STEERING_RAD},{10 / 0.44704}')
        cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
        ahead_m = cos * (target.x_m - pose.x_m) + sin * (target.y_m - pose.y_m) + 1.6
        left_m = cos * (target.y_m - pose.y_m) - sin * (target.x_m - pose.x_m)
        expected.append(math.atan(2.87 * 2 * left_m / (ahead_m**2 + left_m**2)))
    path = tmp_path / 'frames.csv'
    path.write_text('\n'.join(lines), encoding='utf-8')
    words = {'labelling': Labelling('middle', look_ahead_m=16.0)}
    labels = recorded_frames([LogSource(path)], PLAIN, BELOW, **words).steering_rad
    # What leads on to the end is not known beside the last frames.
    assert len(labels) in (23, 24)
    np.testing.assert_allclose(labels, expected[: len(labels)], atol=0.015)
    assert np.corrcoef(labels, expected[: len(labels)])[0, 1] > 0.95


@pytest.mark.slow
def test_labels_towards_the_middle_keep_runs_apart_and_say_what_they_need(tmp_path, logged):
    track = make_track(1000)
    camera = Camera(track, TRAINING_CAMERA)
    lines = {'a': [], 'b': []}
    for folder, aside_m in (('a', 1.0), ('b', -1.0)):
        (tmp_path / folder).mkdir()
        for i in range(40):
            rgb = camera.render(track.pose(20.0 + i, aside_m))
            cv2.imwrite(str(tmp_path / folder / f'{i}.jpg'), rgb[..., ::-1])
            lines[folder].append(f'{folder}/{i}.jpg,{i / 10},0,{10 / 0.44704}')
    path = tmp_path / 'frames.csv'

    def labels(rows):
        path.write_text('\n'.join(['frame,timestamp_s,steering,speed_mph', *rows]), 'utf-8')
        words = {'labelling': Labelling('middle')}
        return recorded_frames([LogSource(path)], PLAIN, BELOW, **words).steering_rad

    alone = [labels(lines[folder]) for folder in 'ab']
    mixed = [row for pair in zip(*lines.values(), strict=True) for row in pair]
    together = labels(mixed)
    np.testing.assert_allclose(together[::2], alone[0])
    np.testing.assert_allclose(together[1::2], alone[1])
    assert (alone[0] < alone[1]).all()
    with pytest.raises(LogError, match='holds no speed'):
        labels([row.rsplit(',', 1)[0] + ',0' for row in lines['a']])
    (tmp_path / 'a' / '3.jpg').unlink()
    labels(lines['a'])
    assert '3.jpg' in logged.text


def test_labels_can_be_those_of_some_time_before(recording):
    rows = recording.read_text(encoding='utf-8').splitlines()
    ramp = [row.replace('0.5,1,0,30', f'{i / 40},1,0,30') for i, row in enumerate(rows)]
    recording.write_text('\n'.join(ramp), encoding='utf-8')
    step_rad = RECORDER_STEERING_RAD / 40
    for more in ({'sources': [LogSource(recording)]}, {'recordings': [read_folder(recording)]}):
        words = {'sources': [], 'settings': PLAIN, 'profile': BELOW, **more}
        now = recorded_frames(**words).steering_rad
        before = recorded_frames(**words, labelling=Labelling(delay_s=0.2)).steering_rad
        # 0.2 s are two rows; at both ends of a series the mean is of fewer.
        inside = slice(len(now) // 4, -len(now) // 4)
        np.testing.assert_allclose((now - before)[inside], 2 * step_rad, atol=1e-6)


def test_a_log_as_steered_keeps_its_steering_beside_logs_with_other_labels(recording):
    source = LogSource(recording, as_steered=True)
    plain = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    # Of the drawn road no middle can be measured.
    words = {'labelling': Labelling('middle', delay_s=0.3)}
    steered = recorded_frames([source], PLAIN, BELOW, **words)
    np.testing.assert_array_equal(steered.steering_rad, plain.steering_rad)


def test_images_that_are_missing_are_left_out_with_a_word(recording, logged):
    next((recording.parent / 'IMG').glob('left_*')).unlink()
    assert len(recorded_frames([LogSource(recording)], PLAIN, BELOW)) == 119
    assert 'left out' in logged.text
    # The drawn road is a line on grey: no edges, so no middle.
    with pytest.raises(LogError, match='no image of'):
        recorded_frames([LogSource(recording)], PLAIN, BELOW, labelling=Labelling('middle'))


def test_a_source_that_no_log_has_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.jpg'), road(0))
    logs = []
    for name, steering in (('lake', 0.1), ('jungle', 0.2)):
        logs.append(tmp_path / f'{name}.csv')
        header = 'frame,timestamp_s,steering,source'
        logs[-1].write_text(f'{header}\na.jpg,0,{steering},{name}\n', encoding='utf-8')

    def read(*only):
        sources = [LogSource(log, only_sources=only) for log in logs]
        return recorded_frames(sources, PLAIN, BELOW)

    assert len(read('lake', 'jungle')) == 2
    assert len(read('lake')) == 1
    told = "no log has rows of the source 'lkae'; the sources are: jungle, lake"
    with pytest.raises(LogError, match=told):
        read('lake', 'lkae')


def test_a_label_that_is_not_known_is_called_that(recording, logged):
    frames = recorded_frames(
        [LogSource(recording)], PLAIN, BELOW, labelling=Labelling(delay_s=1.0)
    )
    assert len(frames) < 120
    assert logged.messages == [f'{120 - len(frames)} images left out: no label is known there']


def test_a_log_of_which_no_frame_is_kept_says_so(recording):
    text = recording.read_text(encoding='utf-8').replace('0.5,1,0,30', '0,1,0,30')
    recording.write_text(text, encoding='utf-8')
    with pytest.raises(LogError, match=r'no frame of .* is left to train on: keep_straight is 0'):
        recorded_frames([LogSource(recording)], PLAIN, BELOW, keep_straight=0.0)


def test_recorded_frames_are_held_in_memory_once(recording):
    whole = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    (recording.parent / 'IMG' / 'left_2020_01_01_00_00_02_000.jpg').unlink()
    with peak_bytes() as peak:
        frames = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    assert peak() < 1.5 * frames.crops.nbytes
    # The twenty-first row of three.
    np.testing.assert_array_equal(frames.crops, np.delete(whole.crops, 61, axis=0))
