# SPDX-License-Identifier: Apache-2.0
import numpy as np

from helpers.training import BELOW, peak_bytes, samples
from steering_net.training.frames import Frames, rendered_frames


def test_frames_of_several_parts_are_joined_in_a_row():
    first, second = (rendered_frames(samples(count), BELOW) for count in (10, 20))
    both = Frames.joined([first, second])
    assert np.flatnonzero(both.held_out).tolist() == [9, 28, 29]
    np.testing.assert_array_equal(both.crops[10:], second.crops)
    np.testing.assert_array_equal(both.steering_rad[:10], first.steering_rad)


def test_the_last_tenth_of_rendered_frames_validates():
    frames = rendered_frames(samples(50), BELOW)
    assert np.flatnonzero(frames.held_out).tolist() == [45, 46, 47, 48, 49]
    assert len(frames.part(held_out=False)) == 45


def test_rendered_frames_are_held_in_memory_once():
    shown = list(samples(200))
    with peak_bytes() as peak:
        frames = rendered_frames(shown, BELOW, len(shown))
    assert peak() < 1.5 * frames.crops.nbytes
    np.testing.assert_array_equal(frames.crops, rendered_frames(shown, BELOW).crops)
