# SPDX-License-Identifier: Apache-2.0
"""What a network sees of frames of another camera or another size."""

import cv2
import numpy as np
import pytest

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.errors import ImageError
from steering_net.inference.predictor import load_predictor
from steering_net.vision.camera_model import (
    AUTONOMOUS_CAMERA,
    TRAINING_CAMERA,
    find_camera,
    turned,
)
from steering_net.vision.camera_names import AS_TRAINED
from steering_net.vision.frame_size import SizeNotice, as_frame
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import PROFILES, find_profile
from steering_net.vision.view import View

TRACK = make_track(5)
POSES = [TRACK.pose(20.0 + 40.0 * i) for i in range(5)]
TRAINING_FRAMES, AUTONOMOUS_FRAMES = (
    [camera.render(pose) for pose in POSES]
    for camera in (Camera(TRACK, TRAINING_CAMERA), Camera(TRACK, AUTONOMOUS_CAMERA))
)


def levels_apart(profile, seen, expected):
    """Mean difference in levels of 0 to 255."""
    return float(np.abs(seen - expected).mean()) / (profile.scale or 1 / 255)


@pytest.mark.parametrize(
    ('name', 'most'),
    [
        ('course', 0.8),
        ('course_noblur', 1.6),
        ('naoki', 1.6),
        ('naoki_legacy_yuv', 1.6),
        ('course:interpolation=area', 0.8),
        ('course:interpolation=cubic', 1.2),
        ('custom:rows=70-136,size=200x66,interpolation=area', 1.2),
        ('ksakmann:interpolation=area', 0.2),
        ('carnd_raw_rgb', 0.2),
        ('carnd_raw_bgr', 0.2),
    ],
)
@pytest.mark.parametrize('camera', ['autonomous', 'pitch:5/roll:-2/height:1.4'])
def test_one_look_up_is_turning_and_then_preprocessing(name, most, camera):
    profile = find_profile(name)
    view = View(profile, camera)
    assert view.turns
    for frame in AUTONOMOUS_FRAMES:
        two_steps = preprocess(turned(frame, find_camera(camera), TRAINING_CAMERA), profile)
        assert levels_apart(profile, view(frame), two_steps) < most
        assert levels_apart(profile, preprocess(frame, profile), two_steps) > 3 * most


@pytest.mark.parametrize('camera', [AS_TRAINED, 'autonomous'])
def test_only_rows_that_count_are_made(camera):
    profile = find_profile('carnd_raw_rgb')
    whole, part = View(profile, camera), View(profile, camera, rows=(70, 135))
    for frame in AUTONOMOUS_FRAMES:
        expected = whole(frame)
        out = np.full((160, 320, 3), -7.0, np.float32)
        assert part(frame, out) is out
        # Places in a frame are rounded to 1/32 of a pixel.
        assert np.abs(out[70:135] - expected[70:135]).mean() < 0.05
        assert (out[:70] == -7.0).all()
        assert (out[135:] == -7.0).all()
        np.testing.assert_array_equal(part(frame)[70:135], out[70:135])


def test_rows_of_the_input_are_none_of_the_frame_where_it_is_resized():
    profile = find_profile('naoki:rows=70-136')
    for frame in AUTONOMOUS_FRAMES:
        part = View(profile, 'autonomous', rows=(10, 60))
        np.testing.assert_array_equal(part(frame), View(profile, 'autonomous')(frame))


@pytest.mark.parametrize('name', ['course', 'ksakmann', 'carnd_raw_rgb'])
def test_a_network_sees_the_drive_as_it_saw_its_recordings(name):
    for frames, words, camera in (
        (AUTONOMOUS_FRAMES, name, 'autonomous'),
        (TRAINING_FRAMES, f'{name}:camera=autonomous', 'training'),
    ):
        profile = find_profile(words)
        as_trained = TRAINING_FRAMES if frames is AUTONOMOUS_FRAMES else AUTONOMOUS_FRAMES
        view = View(profile, camera)
        for frame, known in zip(frames, as_trained, strict=True):
            expected = preprocess(known, profile)
            # What was out of sight, and the bonnet, which turns with the frame, are not compared.
            rows = slice(2, int(0.75 * len(expected)))
            apart = levels_apart(profile, view(frame)[rows], expected[rows])
            assert apart < 0.6 * levels_apart(
                profile, preprocess(frame, profile)[rows], expected[rows]
            )


@pytest.mark.parametrize('name', PROFILES)
@pytest.mark.parametrize(('own', 'camera'), [
    ('training', 'training'), ('autonomous', 'autonomous'), ('autonomous', AS_TRAINED),
    ('training', 'pitch:7.6/roll:1.2/height:1.255'),
])  # fmt: skip
def test_frames_of_the_networks_own_camera_are_left_as_they_are(name, own, camera):
    profile = find_profile(f'{name}:camera={own}')
    view = View(profile, camera)
    assert not view.turns
    np.testing.assert_array_equal(
        view(AUTONOMOUS_FRAMES[0]), preprocess(AUTONOMOUS_FRAMES[0], profile)
    )


def test_a_view_says_what_it_turns():
    assert str(View(find_profile('course'), 'autonomous')) == 'autonomous, turned to training'
    assert str(View(find_profile('course'))) == 'training'
    with pytest.raises(ValueError, match="camera is 'Autonomous'; it must be training, autonom"):
        View(find_profile('course'), 'Autonomous')


def test_a_predictor_turns_frames_if_it_is_told_whose_they_are():
    plain, turning = load_predictor(), load_predictor(camera='autonomous')
    assert (plain.view.turns, turning.view.turns) == (False, True)
    errors = np.array(
        [
            [predictor.predict(drive) - plain.predict(recorded) for predictor in (turning, plain)]
            for drive, recorded in zip(AUTONOMOUS_FRAMES, TRAINING_FRAMES, strict=True)
        ]
    )
    turned_rms, plain_rms = np.sqrt((errors**2).mean(axis=0))
    assert turned_rms < plain_rms
    with pytest.raises(ValueError, match="camera is 'left'"):
        load_predictor(camera='left')


@pytest.mark.parametrize('scale', [0.5, 2, 3])
@pytest.mark.parametrize('name', ['course', 'carnd_raw_rgb', 'custom'])
def test_larger_frames_of_the_same_shape_are_scaled_before_rows_are_cut(name, scale):
    profile = find_profile(name)
    frame = TRAINING_FRAMES[0]
    larger = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    assert as_frame(larger).shape == frame.shape
    seen = View(profile)(larger)
    assert seen.shape == profile.output_shape()
    assert levels_apart(profile, seen, preprocess(frame, profile)) < (4 if scale > 1 else 8)


def test_a_frame_of_another_shape_is_named():
    for width, height in ((640, 480), (320, 161), (160, 320), (1, 1)):
        with pytest.raises(ImageError) as refusal:
            View(find_profile('carnd_raw_rgb'))(np.zeros((height, width, 3), np.uint8))
        assert str(refusal.value) == (
            f'the frame is {width}x{height}; it must be 320x160 or have the same shape (2:1): '
            "set the simulator's camera to 320x160"
        )
    for frame in (np.zeros((160, 320), np.uint8), np.zeros((160, 320, 3), np.float32)):
        with pytest.raises(ImageError, match='it must be uint8'):
            as_frame(frame)


def test_scaling_is_told_once_for_each_source(logged):
    usual, large, other = (
        np.zeros((height, width, 3), np.uint8)
        for height, width in ((160, 320), (320, 640), (480, 640))
    )
    for source in ('one', 'two'):
        notice = SizeNotice(source)
        for frame in (usual, other, large, large, usual, large):
            notice.look(frame)
    assert logged.messages == [
        'one: frames of 640x320 are scaled to 320x160',
        'two: frames of 640x320 are scaled to 320x160',
    ]
