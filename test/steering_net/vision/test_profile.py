# SPDX-License-Identifier: Apache-2.0
"""Profiles: their fields, as texts and back."""

from dataclasses import replace

import numpy as np
import pytest

from steering_net.model_io.model_config import Sidecar, read_sidecar, write_sidecar
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.profile import (
    COURSE,
    PROFILES,
    Profile,
    find_profile,
    format_profile,
    profile_from_json,
)


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
    with pytest.raises(ValueError, match=f'profile field {field} is .*; it must be '):
        Profile(**({'name': 'bad'} | {field: value}))


def test_rows_cannot_be_cut_off_a_profile_that_uses_every_row():
    with pytest.raises(ValueError, match='uses every row'):
        PROFILES['carnd_raw_rgb'].below(50)


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


@pytest.mark.parametrize(
    ('number', 'text'),
    [(1 / 255, '1/255'), (1 / 127.5, '1/127.5'), (0.5, '0.5'), (0.004, '0.004')],
)
def test_a_scale_is_written_as_people_write_it(number, text):
    profile = replace(PROFILES['custom'], name='mine', scale=number)
    assert f',scale={text},' in format_profile(profile)
    assert find_profile(format_profile(profile)).scale == number


def test_a_profile_given_as_an_object_names_its_camera():
    text = profile_from_json({'rows': [60, 136], 'camera': 'autonomous'})
    assert find_profile(text).camera == 'autonomous'


def test_a_profile_with_a_camera_that_is_not_known_names_it():
    with pytest.raises(ValueError, match="camera is 'left'; it must be training, autonomous, or"):
        find_profile('course:camera=left')


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(ValueError, match="unknown profile 'coarse'; known: course, "):
        find_profile('coarse')


def test_a_text_that_a_field_cannot_have_is_named_with_what_it_can():
    for change, told in {
        'rows=60': "rows is '60'; it must be FROM-TO or all",
        'offset=1/0': "offset is '1/0'; it must be a number, or a fraction such as 1/255",
    }.items():
        with pytest.raises(ValueError, match=f'^profile field {told}$'):
            find_profile(f'custom:{change}')
