# SPDX-License-Identifier: Apache-2.0
import pytest

from steering_net.data.recording import camera_of

TIME = '2024_07_13_14_30_21_193'


@pytest.mark.parametrize(
    ('names', 'camera'),
    [
        ([f'{TIME}.jpg', rf'C:\drive\{TIME}.jpg'], 'autonomous'),
        ([f'center_{TIME}.jpg'], 'training'),
        ([f'1biswarup2_center_{TIME}.jpg'], 'training'),
        ([f'2_{TIME}_left.jpg'], 'training'),
        ([f'{TIME}.jpg', f'center_{TIME}.jpg'], 'training'),
        (['1.jpg'], 'training'),
    ],
)
def test_frames_named_by_their_time_alone_are_those_of_autonomous_mode(names, camera):
    assert camera_of(names) == camera
