# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from steering_net.data.trajectory import frame_rate_hz


@pytest.mark.parametrize('step_s', [0.05, 0.1, 0.5])
def test_a_frame_rate_is_the_mean_one_without_pauses(step_s):
    times_s = np.concatenate((np.arange(5), 60.0 + np.arange(5))) * step_s
    assert frame_rate_hz(times_s) == pytest.approx(1 / step_s)
    assert frame_rate_hz(times_s[::-1]) == pytest.approx(1 / step_s)


@pytest.mark.parametrize('times_s', [[], [3.0], [3.0, 3.0], [0.0, 9.0]])
def test_a_frame_rate_needs_two_frames_without_a_pause_between(times_s):
    assert frame_rate_hz(np.array(times_s, np.float64)) is None
