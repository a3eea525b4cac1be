# SPDX-License-Identifier: Apache-2.0
import pytest

from steering_net.training.config import TrainConfig


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('epochs', 0),
        ('steps_per_epoch', -1),
        ('learning_rate', 0.0),
        ('rendered_share', 1.5),
        ('profile', 'coarse'),
        ('seed', -1),
        ('seed', 2**32),
        ('name', '..'),
    ],
)
def test_a_bad_config_is_named(tmp_path, field, value):
    with pytest.raises(ValueError, match=field):
        TrainConfig(**({'out': tmp_path} | {field: value}))


@pytest.mark.parametrize(
    ('profile', 'allowed'),
    [
        ('carnd_raw_rgb', 'rows is 0-160; it must be within 50-145'),
        ('course:rows=40-135', 'rows is 40-135; it must be within 50-145'),
        ('course:rows=60-150', 'rows is 60-150; it must be within 50-145'),
        ('course:columns=0-400', 'columns is 0-400; it must be within 0-320'),
        ('course:size=200x96', 'size is 200x96; it must be 320x95 at most'),
        ('naoki', 'scale is 1.0; it must be 1/1024..1/64, as in 1/255'),
    ],
)
def test_a_profile_that_cannot_be_trained_is_told_what_can(tmp_path, profile, allowed):
    with pytest.raises(ValueError, match=f'profile {profile} cannot be trained: {allowed}'):
        TrainConfig(out=tmp_path, profile=profile)


@pytest.mark.parametrize('profile', ['custom:rows=50-145', 'naoki:scale=2/255,offset=-1'])
def test_other_profiles_can_be_trained(tmp_path, profile):
    assert TrainConfig(out=tmp_path, profile=profile).profile == profile
