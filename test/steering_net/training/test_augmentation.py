# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from steering_net.training.augmentation import Augmentation, relit

BRIGHT = np.full((66, 200, 3), 200, np.uint8)
ONLY_SHADOW = Augmentation(
    shadow=0.8, blur=0, noise=0, max_gain_change=0, max_gamma_change=0, max_tint=0
)


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
