# SPDX-License-Identifier: Apache-2.0
import json
import math
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from helpers.training import run_eagerly
from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.data.driving_log import LogError
from steering_net.data.recording import read_folder
from steering_net.inference.predictor import load_predictor
from steering_net.model_io.files import sha256_of
from steering_net.model_io.litert_converter import probe_frames
from steering_net.model_io.model_config import read_sidecar
from steering_net.model_io.reader import load_keras
from steering_net.training.augmentation import Augmentation, augment
from steering_net.training.batches import BatchMaker
from steering_net.training.config import TrainConfig
from steering_net.training.dataset import Frames, LogSource, recorded_frames, rendered_frames
from steering_net.training.labels import Labelling
from steering_net.training.pilotnet import build_pilotnet
from steering_net.training.trainer import train
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.camera_model import CAMERAS, TRAINING_CAMERA, find_camera, turned
from steering_net.vision.crop import crop_of, moved
from steering_net.vision.preprocessing import ImageError, preprocess
from steering_net.vision.profile import COURSE, Profile, find_profile

PLAIN = Augmentation(
    flip=False,
    max_shift_m=0,
    max_yaw_rad=0,
    max_pitch_rad=0,
    max_roll_rad=0,
    max_height_m=0,
    bonnet=0,
    shadow=0,
    blur=0,
    noise=0,
    max_gain_change=0,
    max_gamma_change=0,
    max_tint=0,
)

BELOW = COURSE.below(50)
WHOLE = Profile('whole', rows=None, colour='rgb', blur=0, size=None, scale=1.0)


def road(lean):
    """A grey frame with a white line from the horizon's middle down, `lean` px to the right."""
    rgb = np.full((160, 320, 3), 60, np.uint8)
    cv2.line(rgb, (160, 70), (160 + lean, 160), (255, 255, 255), 6)
    return rgb


def samples(count=160, seed=0):
    """A line that leans left is followed to the left."""
    for lean in np.random.default_rng(seed).integers(-120, 121, count):
        yield road(int(lean)), -0.3 * int(lean) / 120


@pytest.fixture
def eager():
    with run_eagerly():
        yield


@pytest.fixture
def recording(tmp_path):
    """Forty rows of three cameras, a tenth of a second apart, all steering half right."""
    (tmp_path / 'IMG').mkdir()
    lines = []
    for i in range(40):
        time = f'2020_01_01_00_00_{i // 10:02}_{i % 10}00'
        names = [f'{side}_{time}.jpg' for side in ('center', 'left', 'right')]
        for name in names:
            cv2.imwrite(str(tmp_path / 'IMG' / name), road(i)[..., ::-1])
        lines.append(','.join((*(f'C:\\IMG\\{name}' for name in names), '0.5,1,0,30')))
    path = tmp_path / 'driving_log.csv'
    path.write_text('\n'.join(lines), encoding='utf-8')
    return path


def line_column(crop, row):
    """Column of the white line in a crop's row."""
    return float(np.mean(np.flatnonzero(crop[row, :, 0] > 150)))


def test_a_step_to_the_left_moves_the_near_road_to_the_right():
    crop = crop_of(road(0))
    there = moved(crop, 0.5, 0.0, WHOLE)
    # Row 80 is 69 below the horizon, where a metre is 69 cos(7.6°) / 1.255 pixels wide.
    assert line_column(there, 80) - line_column(crop, 80) == pytest.approx(27.2, abs=0.6)
    assert line_column(there, 30) - line_column(crop, 30) == pytest.approx(7.4, abs=0.6)


def test_a_turn_to_the_left_moves_everything_to_the_right():
    crop = crop_of(road(0))
    there = moved(crop, 0.0, 0.1, WHOLE)
    for row in (25, 80):
        ahead, left, one = TRAINING_CAMERA.ground_from_image() @ [160.5, row + 50.5, 1.0]
        x, y = ahead / one, left / one
        turned_back = np.array([[math.cos(0.1), math.sin(0.1)], [-math.sin(0.1), math.cos(0.1)]])
        column, at = TRAINING_CAMERA.project((turned_back @ [x, y])[None])[0]
        assert line_column(there, round(at - 50.5)) == pytest.approx(column - 0.5, abs=0.6)


def test_whoever_stands_left_has_to_steer_right():
    settings = Augmentation(look_ahead_m=10)
    # The arc to a point at bearing a and distance l has a curvature of 2 sin(a) / l.
    bearing_rad = math.atan2(-0.5, 10) - 0.02
    expected = 0.1 + math.atan(2.87 * 2 * math.sin(bearing_rad) / math.hypot(10, 0.5))
    assert settings.moved_label(0.1, shift_m=0.5, yaw_rad=0.02) == pytest.approx(expected)


def test_flipping_turns_image_and_label_around():
    crop, rng = crop_of(road(60)), np.random.default_rng(0)
    settings = Augmentation(**(vars(PLAIN) | {'flip': True}))
    results = [augment(crop, 0.2, settings, WHOLE, rng, move=False) for _ in range(20)]
    assert {label for _, label in results} == {0.2, -0.2}
    for image, label in results:
        # A frame that is only mirrored shows a horizon that no camera of the simulator sees.
        mirror = turned(crop[:, ::-1], TRAINING_CAMERA.mirrored, TRAINING_CAMERA, top=50)
        expected = crop if label > 0 else mirror
        difference = np.abs(image.astype(int) - expected)
        assert np.count_nonzero(difference[:, 10:-10] > 8) <= 60
        assert difference.mean() < 0.1


def test_light_changes_neither_size_nor_type_nor_the_original():
    crop, rng = crop_of(road(0)), np.random.default_rng(1)
    before = crop.copy()
    always = Augmentation(shadow=1, blur=1, noise=1)
    for _ in range(10):
        image, _ = augment(crop, 0.0, always, WHOLE, rng, move=True)
        assert (image.shape, image.dtype) == (crop.shape, np.uint8)
        assert not np.array_equal(image, crop)
    np.testing.assert_array_equal(crop, before)


@pytest.mark.parametrize('name', ['course', 'course_noblur', 'ksakmann:scale=1/255'])
def test_a_batch_without_changes_is_what_the_network_sees_when_it_drives(tmp_path, name):
    profile = find_profile(name).below(50)
    pools = [recorded_frames([], PLAIN, profile), rendered_frames(samples(40), profile)]
    config = TrainConfig(out=tmp_path, profile=name, batch_size=8, augmentation=PLAIN)
    seen = [preprocess(crop_of(rgb), profile) for rgb, _ in samples(40)]
    for x in BatchMaker(config, profile, pools).batch(0)[0]:
        # Colours are rounded before they are converted, and a warp counts in 32nds of a pixel.
        nearest = min(np.abs(x - other).max() for other in seen)
        assert nearest <= 7.01 * profile.scale


def test_a_jolted_camera_sees_the_ground_from_its_own_pose():
    crop = crop_of(probe_frames()[0])
    pose = find_camera('pitch:9/roll:0.3/height:1.33')
    seen = moved(crop, 0.0, 0.0, WHOLE, seen_by=pose)
    expected = turned(crop, TRAINING_CAMERA, pose, top=50)
    below = slice(math.ceil(pose.horizon_px) - 50 + 4, None)
    difference = np.abs(seen[below].astype(int) - expected[below])
    assert difference.mean() < 0.5
    assert np.abs(crop[below].astype(int) - expected[below]).mean() > 5


def test_the_pose_of_the_camera_varies_within_its_limits_and_changes_no_label():
    crop = crop_of(probe_frames()[0])
    settings = Augmentation(
        **(vars(PLAIN) | {'max_pitch_rad': 0.026, 'max_roll_rad': 0.02, 'max_height_m': 0.1})
    )
    rng = np.random.default_rng(0)
    for move in (True, False):
        seen = [augment(crop, 0.1, settings, BELOW, rng, move=move) for _ in range(20)]
        assert {label for _, label in seen} == {0.1}
        assert len({picture.tobytes() for picture, _ in seen}) == 20


def test_only_the_bonnet_changes_its_brightness_with_the_bonnets():
    frame = np.full((160, 320, 3), 100, np.uint8)
    settings = Augmentation(**(vars(PLAIN) | {'bonnet': 0.5}))
    rng = np.random.default_rng(3)
    pictures = [
        augment(crop_of(frame), 0.0, settings, WHOLE, rng, move=False)[0] for _ in range(30)
    ]
    # Row 136 of a frame is row 86 of a crop.
    assert all((picture[:85] == 100).all() for picture in pictures)
    levels = [int(picture[-1, 0, 0]) for picture in pictures]
    assert 50 <= min(levels) < 75 < 125 < max(levels) <= 150


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


def test_a_flipped_and_moved_picture_is_the_mirror_image(tmp_path):
    crop, profile = crop_of(road(50)), COURSE.below(50)
    there = moved(crop, 0.3, 0.05, profile)
    mirrored = moved(crop, 0.3, 0.05, profile, flip=True)
    # OpenCV finds places to a 32nd of a pixel, which at an edge a few pixels show.
    difference = np.abs(mirrored[:, ::-1].astype(int) - there)
    assert np.count_nonzero(difference > 1) <= 6
    assert difference.max() <= 6


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


@pytest.mark.slow
def test_tensorboard_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    config = TrainConfig(out=tmp_path, tensorboard=tmp_path / 'board')
    with pytest.raises(ValueError, match='pip install tensorboard'):
        train(config, samples=lambda: samples(20))


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


def test_frames_of_several_parts_are_joined_in_a_row():
    first, second = (rendered_frames(samples(count), BELOW) for count in (10, 20))
    both = Frames.joined([first, second])
    assert np.flatnonzero(both.held_out).tolist() == [9, 28, 29]
    np.testing.assert_array_equal(both.crops[10:], second.crops)
    np.testing.assert_array_equal(both.steering_rad[:10], first.steering_rad)


def test_light_can_change_more_on_rendered_frames_than_on_recorded_ones(tmp_path, recording):
    grey = np.full((160, 320, 3), 120, np.uint8)
    still = replace(PLAIN, max_gain_change=0.2)
    pools = [
        recorded_frames([LogSource(recording)], still, BELOW),
        rendered_frames([(grey, 0.0)] * 10, BELOW),
    ]
    config = TrainConfig(
        tmp_path, batch_size=400, rendered_share=0.5, rendered_light=2.0, augmentation=still
    )
    x, _ = BatchMaker(config, COURSE.below(50), pools).batch(0)
    brightness = x[:200, 33, 100, 0] / (120 / 255)
    assert 0.35 < 1 - brightness.min() <= 0.41
    assert 0.35 < brightness.max() - 1 <= 0.41
    with pytest.raises(ValueError, match='rendered_light must be'):
        replace(config, rendered_light=9)


def test_images_that_are_missing_are_left_out_with_a_word(recording, logged):
    next((recording.parent / 'IMG').glob('left_*')).unlink()
    assert len(recorded_frames([LogSource(recording)], PLAIN, BELOW)) == 119
    assert 'left out' in logged.text
    with pytest.raises(LogError, match='can be used'):
        recorded_frames([LogSource(recording, only_sources=('somebody',))], PLAIN, BELOW)
    # The drawn road is a line on grey: no edges, so no middle.
    for only in ((), ('somebody',)):
        source = LogSource(recording, only_sources=only)
        with pytest.raises(LogError, match='no image of'):
            recorded_frames([source], PLAIN, BELOW, labelling=Labelling('middle'))


def test_stored_crops_count_like_whole_frames():
    np.testing.assert_array_equal(crop_of(road(0)[50:145]), crop_of(road(0)))
    with pytest.raises(ImageError, match='the frame is 320x100; it must be 320x160'):
        crop_of(road(0)[:100])


def test_the_last_tenth_of_rendered_frames_validates():
    frames = rendered_frames(samples(50), BELOW)
    assert np.flatnonzero(frames.held_out).tolist() == [45, 46, 47, 48, 49]
    assert len(frames.part(held_out=False)) == 45


def test_frames_are_held_in_memory_once(recording):
    def peak(read):
        tracemalloc.start()
        try:
            frames = read()
            return frames, tracemalloc.get_traced_memory()[1] / frames.crops.nbytes
        finally:
            tracemalloc.stop()

    shown = list(samples(200))
    frames, factor = peak(lambda: rendered_frames(shown, BELOW, len(shown)))
    assert factor < 1.5
    np.testing.assert_array_equal(frames.crops, rendered_frames(shown, BELOW).crops)
    whole = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    (recording.parent / 'IMG' / 'left_2020_01_01_00_00_02_000.jpg').unlink()
    frames, factor = peak(lambda: recorded_frames([LogSource(recording)], PLAIN, BELOW))
    assert factor < 1.5
    # The twenty-first row of three.
    np.testing.assert_array_equal(frames.crops, np.delete(whole.crops, 61, axis=0))


def test_batches_are_the_same_every_time_and_differ_by_epoch_and_step(tmp_path):
    pools = [recorded_frames([], PLAIN, BELOW), rendered_frames(samples(40), BELOW)]
    config = TrainConfig(out=tmp_path, batch_size=8, seed=4)
    first, again = (BatchMaker(config, COURSE.below(50), pools) for _ in range(2))
    np.testing.assert_array_equal(first.batch(3)[0], again.batch(3)[0])
    assert not np.array_equal(first.batch(3)[0], first.batch(2)[0])
    again.epoch = 1
    assert not np.array_equal(first.batch(3)[0], again.batch(3)[0])


def test_a_batch_is_shared_out_as_the_config_says(tmp_path, recording):
    pools = [
        recorded_frames([LogSource(recording)], PLAIN, BELOW),
        rendered_frames(samples(40), BELOW),
    ]
    config = TrainConfig(out=tmp_path, batch_size=10, rendered_share=0.3, augmentation=PLAIN)
    x, y = BatchMaker(config, COURSE.below(50), pools).batch(0)
    assert (x.shape, x.dtype, y.shape) == ((10, 66, 200, 3), np.float32, (10, 1))
    side = PLAIN.moved_label(0, PLAIN.side_camera_m) / RECORDER_STEERING_RAD
    labels = np.array([0.5, 0.5 - side, 0.5 + side])
    is_recorded = np.isclose(y, labels, atol=1e-6).any(axis=1)
    assert is_recorded.tolist() == [False] * 3 + [True] * 7


@pytest.mark.slow
def test_a_training_learns_and_leaves_its_papers(tmp_path):
    config = TrainConfig(
        out=tmp_path / 'out',
        epochs=2,
        steps_per_epoch=25,
        batch_size=32,
        augmentation=Augmentation(**(vars(PLAIN) | {'flip': True})),
    )
    trained = train(config, samples=samples, sample_count=160, notes=['Drawn by the test.'])
    untrained = 0.3 / np.sqrt(3)
    assert trained.rendered_rmse_rad < untrained / 2
    assert np.isnan(trained.recorded_rmse_rad)
    path = config.model_path
    assert read_sidecar(path).sha256 == sha256_of(path) == trained.sha256
    card = path.with_suffix('.md').read_text(encoding='utf-8')
    assert 'Drawn by the test.' in card
    assert trained.sha256 in card
    for name in ('pilotnet_loss.png', 'pilotnet_predictions.png'):
        assert cv2.imread(str(path.with_name(name))) is not None
    predictor = load_predictor(path, cache_dir=tmp_path / 'cache')
    assert predictor.path.read_bytes() == path.with_suffix('.tflite').read_bytes()
    left, right = (predictor.predict(road(lean)) for lean in (-90, 90))
    assert left > 0.05
    assert right < -0.05
    assert path.stat().st_size < 1_200_000


@pytest.mark.slow
def test_a_training_can_start_from_another(eager, tmp_path):
    build_pilotnet(seed=9).save(tmp_path / 'first.keras')
    first = load_predictor(tmp_path / 'first.keras', 'keras', 'course')
    config = TrainConfig(
        out=tmp_path / 'out',
        epochs=1,
        steps_per_epoch=1,
        batch_size=4,
        learning_rate=1e-9,
        start_from=(tmp_path / 'first.keras',),
    )
    second = load_predictor(train(config, samples=lambda: samples(20)).model_path)
    for frame in probe_frames():
        assert second.predict(frame) == pytest.approx(first.predict(frame), abs=1e-4)


@pytest.mark.slow
def test_a_training_can_start_from_the_mean_of_several(eager, tmp_path):
    paths = tuple(tmp_path / f'{seed}.keras' for seed in (8, 9))
    for seed, path in zip((8, 9), paths, strict=True):
        build_pilotnet(seed=seed).save(path)
    config = TrainConfig(
        out=tmp_path / 'out', epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-9,
        start_from=paths,
    )  # fmt: skip
    trained = load_keras(train(config, samples=lambda: samples(20)).model_path)
    weights = [load_keras(path).get_weights() for path in paths]
    for got, *parents in zip(trained.get_weights(), *weights, strict=True):
        np.testing.assert_allclose(got, np.mean(parents, axis=0), atol=1e-6)


@pytest.mark.slow
def test_an_average_of_the_weights_is_kept_where_it_is_asked_for(eager, tmp_path):
    first = build_pilotnet(seed=9)
    first.save(tmp_path / 'first.keras')

    def way(average):
        config = TrainConfig(
            out=tmp_path / str(average),
            epochs=1,
            steps_per_epoch=8,
            batch_size=2,
            average=average,
            start_from=(tmp_path / 'first.keras',),
        )
        weights = load_keras(train(config, samples=lambda: samples(20)).model_path).get_weights()
        pairs = zip(weights, first.get_weights(), strict=True)
        return sum(float(np.abs(now - then).sum()) for now, then in pairs)

    assert way(0.99) < 0.5 * way(0.0)


@pytest.mark.slow
def test_an_unfinished_training_is_resumed(eager, tmp_path, monkeypatch):
    import tensorflow as tf

    config = TrainConfig(out=tmp_path, epochs=2, steps_per_epoch=2, batch_size=4)
    batch = BatchMaker.batch

    def interrupted(self, step):
        if self.epoch == 1:
            raise RuntimeError('the power went')
        return batch(self, step)

    monkeypatch.setattr(BatchMaker, 'batch', interrupted)
    with pytest.raises(tf.errors.OpError, match='the power went'):
        train(config, samples=lambda: samples(20))
    monkeypatch.setattr(BatchMaker, 'batch', batch)
    with pytest.raises(ValueError, match='unfinished training'):
        train(config, samples=lambda: samples(20))
    with pytest.raises(ValueError, match='epochs is 1, but 1 are done already: give more'):
        train(replace(config, epochs=1, resume=True), samples=lambda: samples(20))
    resumed = TrainConfig(out=tmp_path, epochs=2, steps_per_epoch=2, batch_size=4, resume=True)
    trained = train(resumed, samples=lambda: samples(20))
    assert len(trained.history['loss']) == 1
    assert not (tmp_path / 'pilotnet.resume').exists()


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('epochs', 0),
        ('steps_per_epoch', -1),
        ('learning_rate', 0.0),
        ('rendered_share', 1.5),
        ('profile', 'coarse'),
    ],
)
def test_a_bad_config_is_named(tmp_path, field, value):
    with pytest.raises(ValueError, match=field):
        TrainConfig(**({'out': tmp_path} | {field: value}))


@pytest.mark.parametrize(
    ('profile', 'allowed'),
    [
        ('carnd_raw_rgb', 'rows must lie within 50-145, not 0-160'),
        ('course:rows=40-135', 'rows must lie within 50-145, not 40-135'),
        ('course:rows=60-150', 'rows must lie within 50-145, not 60-150'),
        ('course:columns=0-400', 'columns must lie within 0-320'),
        ('course:size=200x96', 'size must be 320x95 at most, not 200x96'),
        ('naoki', 'scale must be 1/1024 to 1/64, such as 1/255, not 1'),
    ],
)
def test_a_profile_that_cannot_be_trained_is_told_what_can(tmp_path, profile, allowed):
    with pytest.raises(ValueError, match=f'profile {profile} cannot be trained: {allowed}'):
        TrainConfig(out=tmp_path, profile=profile)


@pytest.mark.parametrize('profile', ['custom:rows=50-145', 'naoki:scale=2/255,offset=-1'])
def test_other_profiles_can_be_trained(tmp_path, profile):
    assert TrainConfig(out=tmp_path, profile=profile).profile == profile


@pytest.mark.parametrize('field', ['look_ahead_m', 'max_shift_m', 'max_yaw_rad'])
def test_a_change_of_place_has_its_range(field):
    with pytest.raises(ValueError, match=field):
        Augmentation(**{field: -1.0})


def test_nothing_to_train_on_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='nothing to train on'):
        train(TrainConfig(out=tmp_path))


@pytest.mark.slow
def test_the_verb_trains_on_embedded_tracks(eager, tmp_path, capsys):
    import argparse

    from sim_bridge.cli import train as verb

    parser = argparse.ArgumentParser()
    verb.configure(parser)
    words = ['--out', str(tmp_path), '--tracks', '1000-1001', '--samples-per-track', '10']
    words += ['--epochs', '1', '--steps-per-epoch', '2', '--batch-size', '4', '--name', 'tiny']
    assert verb.run(parser.parse_args(words)) == 0
    assert f'{tmp_path}/tiny.keras: RMSE' in capsys.readouterr().out
    sidecar = json.loads((tmp_path / 'tiny.json').read_text(encoding='utf-8'))
    assert sidecar['profile'] == 'course'
    predictor = load_predictor(tmp_path / 'tiny.tflite')
    assert np.isfinite(predictor.predict(probe_frames()[0]))


def test_the_verb_says_what_is_wrong_in_one_line(tmp_path, capsys):
    import argparse

    from sim_bridge.cli import train as verb

    parser = argparse.ArgumentParser()
    verb.configure(parser)
    missing = tmp_path / 'driving_log.csv'
    args = parser.parse_args(['--out', str(tmp_path), '--log', str(missing)])
    assert verb.run(args) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'sim-bridge train: cannot read the log {missing}')
    assert error.count('\n') == 1
    args = parser.parse_args(['--out', str(tmp_path), '--tracks', '0', '--samples-per-track', '0'])
    assert verb.run(args) == 2
    told = 'sim-bridge train: --samples-per-track is 0; it must be 1 or greater\n'
    assert capsys.readouterr().err == told
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--out', str(tmp_path), '--tracks', 'nine'])
