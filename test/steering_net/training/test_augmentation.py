# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from helpers.training import BELOW, PLAIN, WHOLE, road
from steering_net.model_io.litert_converter import probe_frames
from steering_net.training.augmentation import Augmentation, augment, relit
from steering_net.vision.camera_model import TRAINING_CAMERA, find_camera, turned
from steering_net.vision.crop import crop_of, moved
from steering_net.vision.preprocessing import ImageError
from steering_net.vision.profile import COURSE

BRIGHT = np.full((66, 200, 3), 200, np.uint8)
ONLY_SHADOW = Augmentation(
    shadow=0.8, blur=0, noise=0, max_gain_change=0, max_gamma_change=0, max_tint=0
)


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


def test_a_flipped_and_moved_picture_is_the_mirror_image(tmp_path):
    crop, profile = crop_of(road(50)), COURSE.below(50)
    there = moved(crop, 0.3, 0.05, profile)
    mirrored = moved(crop, 0.3, 0.05, profile, flip=True)
    # OpenCV finds places to a 32nd of a pixel, which at an edge a few pixels show.
    difference = np.abs(mirrored[:, ::-1].astype(int) - there)
    assert np.count_nonzero(difference > 1) <= 6
    assert difference.max() <= 6


def test_stored_crops_count_like_whole_frames():
    np.testing.assert_array_equal(crop_of(road(0)[50:145]), crop_of(road(0)))
    with pytest.raises(ImageError, match='the frame is 320x100; it must be 320x160'):
        crop_of(road(0)[:100])


@pytest.mark.parametrize(
    ('changes', 'low', 'high'),
    [
        ({'max_gain_change': 0.35}, 0.65 * 128, 1.35 * 128),
        ({'max_gamma_change': 0.3}, 255 * (128 / 255) ** 1.3, 255 * (128 / 255) ** 0.7),
        ({'max_tint': 0.06}, 0.94 * 128, 1.06 * 128),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_light_changes_within_its_limits_and_keeps_the_order_of_levels(changes, low, high):
    nothing = {'shadow': 0.0, 'max_gain_change': 0.0, 'max_gamma_change': 0.0, 'max_tint': 0.0}
    settings = Augmentation(**(vars(ONLY_SHADOW) | nothing | changes))
    levels = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (2, 1, 3))
    rng = np.random.default_rng(0)
    seen = [relit(levels, settings, rng)[0].astype(int) for _ in range(300)]
    assert all((np.diff(curve, axis=0) >= 0).all() and not curve[0].any() for curve in seen)
    middle = np.array([curve[128] for curve in seen])
    assert low - 1 <= middle.min() < low + 4
    assert high - 4 < middle.max() <= high
    assert ((middle == middle[:, :1]).all() != ('max_tint' in changes)).all()


@pytest.mark.parametrize('factor', [0.5, 1.0, 3.0])
@pytest.mark.parametrize('darkest', [0.4, 0.6, 1.0])
def test_a_shadow_never_brightens(factor, darkest):
    settings = Augmentation(**(vars(ONLY_SHADOW) | {'darkest': darkest})).with_light(factor)
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert relit(BRIGHT, settings, rng).max() <= 200


def test_a_shadow_leaves_the_darkest_share_of_the_light_to_twice_of_it():
    rng = np.random.default_rng(0)
    levels = [int(relit(BRIGHT, ONLY_SHADOW, rng).min()) for _ in range(200)]
    shadows = [level for level in levels if level < 199]
    assert 80 <= min(shadows) < 90
    assert 150 < max(shadows) <= 160


@pytest.mark.parametrize('field', sorted(vars(Augmentation()).keys() - {'flip', 'look_ahead_m'}))
@pytest.mark.parametrize('value', [-0.1, 9.0, float('nan')])
def test_each_setting_has_its_range(field, value):
    with pytest.raises(ValueError, match=f'{field} is {value}; it must be '):
        Augmentation(**{field: value})


def test_the_look_ahead_has_its_range():
    with pytest.raises(ValueError, match=r'look_ahead_m is 0\.0; it must be greater than 0'):
        Augmentation(look_ahead_m=0.0)
