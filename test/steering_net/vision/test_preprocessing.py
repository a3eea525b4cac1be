# SPDX-License-Identifier: Apache-2.0
"""What a network sees of a frame, compared with formulas written down independently."""

import numpy as np
import pytest

from steering_net.errors import ImageError
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import COURSE, PROFILES, Profile


def frame(seed=0, height=160, width=320):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def yuv(rgb):
    """BT.601 as OpenCV has it, written down independently of it."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return np.clip(np.stack([y, 128 + 0.492 * (b - y), 128 + 0.877 * (r - y)], -1), 0, 255)


def bilinear(image, width, height):
    """Half-pixel-centred bilinear resizing, one axis after the other."""
    for axis, target in ((0, height), (1, width)):
        source = image.shape[axis]
        at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, source - 1)
        weight = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.take(image, low, axis) * (1 - weight) + np.take(image, high, axis) * weight
    return image


def blurred(image):
    """[1 2 1] / 4 both ways, edges mirrored without repeating them."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in range(3)], 'reflect')
        parts = [np.take(padded, range(i, i + image.shape[axis]), axis) for i in range(3)]
        image = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return image


def test_course_is_what_the_course_teaches():
    rgb = frame()
    expected = bilinear(blurred(yuv(rgb[60:135])), 200, 66) / 255
    seen = preprocess(rgb, COURSE)
    assert seen.shape == (66, 200, 3)
    assert seen.dtype == np.float32
    assert np.abs(seen - expected).max() < 2.1 / 255


def test_course_noblur_differs_from_course_only_in_the_blur():
    expected = bilinear(yuv(frame()[60:135]), 200, 66) / 255
    assert np.abs(preprocess(frame(), PROFILES['course_noblur']) - expected).max() < 2.1 / 255
    assert np.abs(preprocess(frame(), COURSE) - expected).max() > 10 / 255


def test_naoki_keeps_the_range_of_pixels():
    expected = bilinear(yuv(frame()[60:135]), 200, 66)
    assert np.abs(preprocess(frame(), PROFILES['naoki']) - expected).max() < 2.1


def test_legacy_yuv_takes_red_for_blue():
    expected = bilinear(yuv(frame()[60:135, :, ::-1]), 200, 66)
    assert np.abs(preprocess(frame(), PROFILES['naoki_legacy_yuv']) - expected).max() < 2.1


def test_raw_profiles_change_nothing_but_the_order_of_channels():
    rgb = frame()
    np.testing.assert_array_equal(preprocess(rgb, PROFILES['carnd_raw_rgb']), rgb)
    np.testing.assert_array_equal(preprocess(rgb, PROFILES['carnd_raw_bgr']), rgb[..., ::-1])


def test_ksakmann_crops_rows_and_columns():
    expected = bilinear(frame()[60:136, 20:300].astype(float), 64, 64)
    assert np.abs(preprocess(frame(), PROFILES['ksakmann']) - expected).max() < 1.1


def test_offset_and_scale_are_applied_in_this_order():
    profile = Profile('lambda', rows=None, colour='rgb', blur=0, size=None, scale=2, offset=-1)
    np.testing.assert_array_equal(preprocess(frame(), profile), frame().astype(float) * 2 - 1)


@pytest.mark.parametrize('name', PROFILES)
def test_the_output_shape_is_known_beforehand(name):
    assert preprocess(frame(), PROFILES[name]).shape == PROFILES[name].output_shape()


def test_out_is_written_and_a_misfit_refused():
    out = np.zeros((66, 200, 3), np.float32)
    assert preprocess(frame(), COURSE, out=out) is out
    np.testing.assert_array_equal(out, preprocess(frame(), COURSE))
    with pytest.raises(ImageError, match='which the network takes'):
        preprocess(frame(), COURSE, out=np.zeros((64, 64, 3), np.float32))


def test_a_frame_without_its_upper_rows_looks_the_same():
    whole = preprocess(frame(), COURSE)
    np.testing.assert_array_equal(preprocess(frame()[50:145].copy(), COURSE.below(50)), whole)


@pytest.mark.parametrize(
    'bad',
    [
        np.zeros((160, 320), np.uint8),
        np.zeros((160, 320, 4), np.uint8),
        np.zeros((160, 320, 3), np.float32),
        np.zeros((100, 320, 3), np.uint8),
    ],
    ids=['grey', 'alpha', 'float', 'too low'],
)
def test_what_is_no_fitting_frame_is_refused(bad):
    with pytest.raises(ImageError):
        preprocess(bad, COURSE)
