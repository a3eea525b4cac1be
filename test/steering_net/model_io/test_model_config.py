# SPDX-License-Identifier: Apache-2.0
"""The sidecar beside a network, and other JSON of its name."""

import json

import pytest

from steering_net.errors import ModelError
from steering_net.model_io.files import sha256_of
from steering_net.model_io.model_config import Sidecar, read_sidecar, unrelated_json


@pytest.fixture
def model(tmp_path):
    return tmp_path / 'net.h5'


def beside(model, text):
    model.with_suffix('.json').write_text(text, encoding='utf-8')
    return model


@pytest.mark.parametrize(
    ('fields', 'sidecar'),
    [
        ({'profile': 'naoki'}, Sidecar('naoki')),
        ({'profile': {}}, Sidecar('custom')),
        ({'profile': {'rows': [60, 136]}}, Sidecar('custom:rows=60-136')),
        (
            {'profile': 'naoki', 'sha256': 'a', 'steering_scale_rad': -1, 'litert_sha256': 'b'},
            Sidecar('naoki', 'a', -1, 'b'),
        ),
    ],
)
def test_only_the_profile_is_needed(model, fields, sidecar):
    text = json.dumps(fields)
    assert read_sidecar(beside(model, text)) == sidecar
    assert read_sidecar(beside(model, f'\ufeff{text}')) == sidecar, 'with a byte order mark'


@pytest.mark.parametrize('name', ['sha256', 'litert_sha256'])
def test_a_sidecar_with_the_hash_of_another_file_is_not_used(model, name):
    model.write_bytes(b'first')
    beside(model, json.dumps({'profile': 'naoki', name: sha256_of(model)}))
    assert not unrelated_json(model)
    model.write_bytes(b'trained again')
    assert unrelated_json(model) == (
        'net.json is not used, because its sha256 is not that of net.h5; '
        'if its profile is right, remove the hashes from it'
    )
    assert not unrelated_json(beside(model, '{"profile": "naoki"}'))


@pytest.mark.parametrize('text', ['{"loss": [1, 2]}', '[1, 2]', '3', 'null', '{}'])
def test_json_without_a_profile_is_no_sidecar(model, text):
    assert read_sidecar(beside(model, text)) is None
    assert unrelated_json(model) == (
        'net.json is not a sidecar, because it has no profile; it is not used'
    )


@pytest.mark.parametrize('text', ['{"class_name": "Sequential"}', '"{}"'])
def test_an_architecture_is_no_sidecar_and_not_unrelated(model, text):
    assert read_sidecar(beside(model, text)) is None
    assert not unrelated_json(model)


def test_nothing_is_reported_without_a_file(model):
    assert read_sidecar(model) is None
    assert not unrelated_json(model)


@pytest.mark.parametrize(
    ('field', 'value', 'allowed'),
    [
        ('profile', 'null', 'is None; it must be a text or an object'),
        ('profile', '5', 'is 5; it must be a text or an object'),
        ('sha256', 'null', 'is None; it must be a text'),
        ('steering_scale_rad', 'true', 'is True; it must be a finite number, rad'),
        ('steering_scale_rad', '"0.4"', "is '0.4'; it must be a finite number, rad"),
        ('steering_scale_rad', 'NaN', 'is nan; it must be a finite number, rad'),
        ('steering_scale_rad', '1' + '0' * 400, r'is 1\d+; it must be a finite number, rad'),
    ],
)
def test_a_wrong_value_is_named(model, field, value, allowed):
    fields = {'profile': '"naoki"'} | {field: value}
    text = ', '.join(f'"{key}": {part}' for key, part in fields.items())
    with pytest.raises(ModelError, match=rf'^net\.json: {field} {allowed}$'):
        read_sidecar(beside(model, f'{{{text}}}'))


def test_an_unknown_field_is_named(model):
    with pytest.raises(ModelError, match=r'^net\.json has a field colour; known: profile, '):
        read_sidecar(beside(model, '{"profile": "naoki", "colour": "rgb"}'))


@pytest.mark.parametrize('text', ['', '{"profile": ', '[' * 200_000, '1' * 5000])
def test_other_text_is_refused_in_one_line(model, text):
    with pytest.raises(ModelError, match=r'^net\.json is not JSON \([^\n]+ or rename it$'):
        read_sidecar(beside(model, text))
