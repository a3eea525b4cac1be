# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest

from helpers.training import BELOW, PLAIN, drawn_log, samples
from steering_net.training.batches import BatchMaker
from steering_net.training.config import TrainConfig
from steering_net.training.frames import rendered_frames
from steering_net.training.recorded_frames import LogSource, recorded_frames
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.crop import crop_of
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import COURSE, find_profile


@pytest.fixture
def recording(tmp_path):
    return drawn_log(tmp_path)


@pytest.mark.parametrize('name', ['course', 'course_noblur', 'ksakmann:scale=1/255'])
def test_a_batch_without_changes_is_what_the_network_sees_when_it_drives(tmp_path, name):
    profile = find_profile(name).below(50)
    pools = [recorded_frames([], PLAIN, profile), rendered_frames(samples(40), profile)]
    config = TrainConfig(out=tmp_path, profile=name, batch_size=8, augmentation=PLAIN)
    seen = [preprocess(crop_of(rgb), profile) for rgb, _ in samples(40)]
    for x in BatchMaker(config, profile, pools).batch(0, 0)[0]:
        # Colours are rounded before they are converted, and a warp counts in 32nds of a pixel.
        nearest = min(np.abs(x - other).max() for other in seen)
        assert nearest <= 7.01 * profile.scale


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
    x, _ = BatchMaker(config, COURSE.below(50), pools).batch(0, 0)
    brightness = x[:200, 33, 100, 0] / (120 / 255)
    assert 0.35 < 1 - brightness.min() <= 0.41
    assert 0.35 < brightness.max() - 1 <= 0.41
    with pytest.raises(ValueError, match=r'rendered_light is 9; it must be 0\.5\.\.3'):
        replace(config, rendered_light=9)


def test_batches_are_the_same_every_time_and_differ_by_epoch_and_step(tmp_path):
    pools = [recorded_frames([], PLAIN, BELOW), rendered_frames(samples(40), BELOW)]
    config = TrainConfig(out=tmp_path, batch_size=8, seed=4)
    first, again = (BatchMaker(config, COURSE.below(50), pools) for _ in range(2))
    np.testing.assert_array_equal(first.batch(0, 3)[0], again.batch(0, 3)[0])
    assert not np.array_equal(first.batch(0, 3)[0], first.batch(0, 2)[0])
    assert not np.array_equal(first.batch(0, 3)[0], again.batch(1, 3)[0])


def test_a_batch_is_shared_out_as_the_config_says(tmp_path, recording):
    pools = [
        recorded_frames([LogSource(recording)], PLAIN, BELOW),
        rendered_frames(samples(40), BELOW),
    ]
    config = TrainConfig(out=tmp_path, batch_size=10, rendered_share=0.3, augmentation=PLAIN)
    x, y = BatchMaker(config, COURSE.below(50), pools).batch(0, 0)
    assert (x.shape, x.dtype, y.shape) == ((10, 66, 200, 3), np.float32, (10, 1))
    side = PLAIN.moved_label(0, PLAIN.side_camera_m) / RECORDER_STEERING_RAD
    labels = np.array([0.5, 0.5 - side, 0.5 + side])
    is_recorded = np.isclose(y, labels, atol=1e-6).any(axis=1)
    assert is_recorded.tolist() == [False] * 3 + [True] * 7


@pytest.mark.parametrize('share', [0.05, 0.95])
def test_a_small_share_of_a_small_batch_is_that_of_all_batches(share, tmp_path, recording):
    recorded = recorded_frames([LogSource(recording)], PLAIN, BELOW)
    rendered = rendered_frames([(np.zeros((160, 320, 3), np.uint8), 1.0)] * 10, BELOW)
    config = TrainConfig(tmp_path, batch_size=4, rendered_share=share, augmentation=PLAIN)
    maker = BatchMaker(config, COURSE.below(50), [recorded, rendered])
    labels = np.concatenate([maker.batch(0, step)[1] for step in range(200)])
    assert np.mean(labels * RECORDER_STEERING_RAD > 0.9) == pytest.approx(share, abs=0.03)
