# SPDX-License-Identifier: Apache-2.0
import itertools

import cv2
import numpy as np
import pytest

from steering_net.model_io.model_config import Sidecar, read_sidecar, write_sidecar
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.jpeg import decode_jpeg
from steering_net.vision.preprocessing import (
    COURSE,
    PROFILES,
    ImageError,
    Profile,
    find_profile,
    format_profile,
    preprocess,
    profile_from_json,
)


def frame(seed=0, height=160, width=320):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


def jpeg(rgb, *options):
    return cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))[1].tobytes()


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
    with pytest.raises(ImageError, match='network takes'):
        preprocess(frame(), COURSE, out=np.zeros((64, 64, 3), np.float32))


def test_a_frame_without_its_upper_rows_looks_the_same():
    whole = preprocess(frame(), COURSE)
    np.testing.assert_array_equal(preprocess(frame()[50:145].copy(), COURSE.below(50)), whole)
    with pytest.raises(ValueError, match='uses every row'):
        PROFILES['carnd_raw_rgb'].below(50)


def test_one_unit_to_the_right_is_25_degrees_to_the_right():
    assert COURSE.steering_scale_rad == RECORDER_STEERING_RAD
    assert np.degrees(RECORDER_STEERING_RAD) == pytest.approx(-25, abs=1e-5)


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('name', ''),
        ('rows', (60, 60)),
        ('columns', (-1, 20)),
        ('colour', 'lab'),
        ('blur', 4),
        ('size', (200, 0)),
        ('interpolation', 'lanczos'),
        ('scale', 0.0),
        ('offset', float('nan')),
        ('steering_scale_rad', float('inf')),
    ],
)
def test_a_bad_field_is_named(field, value):
    with pytest.raises(ValueError, match=f'profile field {field} '):
        Profile(**({'name': 'bad'} | {field: value}))


@pytest.mark.parametrize('camera', ['training', 'autonomous', 'pitch:7.6/roll:-1.2/height:1.3'])
@pytest.mark.parametrize('base', ['course', 'naoki:colour=rgb', 'custom:rows=60-136,blur=5'])
def test_the_camera_is_a_field_as_any_other(tmp_path, base, camera):
    text = f'{base}{"," if ":" in base else ":"}camera={camera}'
    profile = find_profile(text)
    assert profile.camera == camera
    again = find_profile(format_profile(profile))
    assert vars(again) | {'name': ''} == vars(profile) | {'name': ''}
    assert find_profile(base).camera == 'training'
    model = tmp_path / 'net.keras'
    write_sidecar(model, Sidecar(format_profile(profile), 'sha', profile.steering_scale_rad))
    assert find_profile(read_sidecar(model).profile).camera == camera


def test_a_profile_given_as_an_object_names_its_camera():
    text = profile_from_json({'rows': [60, 136], 'camera': 'autonomous'})
    assert find_profile(text).camera == 'autonomous'


def test_a_profile_with_a_camera_that_is_not_known_names_it():
    with pytest.raises(ValueError, match="camera is 'left'; it must be training, autonomous, or"):
        find_profile('course:camera=left')


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown profile 'coarse'; known: course, "):
        find_profile('coarse')


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


def test_jpeg_comes_back_as_rgb():
    flat = np.empty((160, 320, 3), np.uint8)
    flat[:] = (200, 60, 20)
    decoded = decode_jpeg(jpeg(flat))
    assert decoded.shape == (160, 320, 3)
    assert np.abs(decoded.astype(int) - flat).max() <= 3


def test_progressive_and_grey_jpegs_are_read():
    assert decode_jpeg(jpeg(frame(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)).shape == (160, 320, 3)
    grey = cv2.imencode('.jpg', frame()[..., 0])[1].tobytes()
    assert decode_jpeg(grey).shape == (160, 320, 3)


def test_every_truncation_is_refused_before_decoding(monkeypatch):
    data = jpeg(frame())
    # Older OpenCV decodes what there is and paints the rest grey.
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    for length in itertools.chain(range(0, 700), range(700, len(data) - 1, 97)):
        with pytest.raises(ImageError):
            decode_jpeg(data[:length])


def test_what_is_no_jpeg_is_refused():
    png = cv2.imencode('.png', frame())[1].tobytes()
    for data in (b'', b'\xff\xd8', b'hello', png, b'\xff\xd8' + b'\x00' * 100):
        with pytest.raises(ImageError, match='JPEG'):
            decode_jpeg(data)


@pytest.mark.parametrize(('width', 'height'), [(4097, 160), (320, 4097), (65535, 65535), (0, 160)])
def test_the_announced_size_is_checked_before_decoding(width, height, monkeypatch):
    data = bytearray(jpeg(frame()))
    at = data.index(b'\xff\xc0')
    data[at + 5 : at + 9] = height.to_bytes(2, 'big') + width.to_bytes(2, 'big')
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    with pytest.raises(ImageError, match=f'{width} x {height}'):
        decode_jpeg(bytes(data))
