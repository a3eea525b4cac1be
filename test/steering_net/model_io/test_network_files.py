# SPDX-License-Identifier: Apache-2.0
"""Which files belong to a network, and so can be read in the sandbox."""

from pathlib import Path

import pytest

from steering_net.model_io.metadata import origin_path
from steering_net.model_io.network_files import SUFFIXES, belonging, network_path, other_half

PAIRS = [
    ('net.json', 'net.h5'),
    ('net.json', 'net.weights.h5'),
    ('net.json', 'net.hdf5'),
    ('net.h5', 'net.json'),
    ('net.hdf5', 'net.json'),
    ('net.weights.h5', 'net.json'),
    ('net.weights.h5', 'net.weights.json'),
    ('net.onnx', 'net.onnx.data'),
    ('net.onnx', 'net.onnx_data'),
]


@pytest.mark.parametrize(('name', 'other'), PAIRS)
def test_the_other_half_is_found_and_can_be_read_in_the_sandbox(tmp_path, name, other):
    for part in (name, other):
        (tmp_path / part).write_text('{"class_name": "Sequential"}')
    found = other_half(tmp_path / name)
    assert found == tmp_path / other
    assert found in belonging(tmp_path / name)


def test_a_sidecar_is_no_other_half(tmp_path):
    (tmp_path / 'net.json').write_text('{"profile": "course"}')
    assert other_half(tmp_path / 'net.keras') is None


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_sidecar_and_conversion_belong_to_a_network(tmp_path, suffix):
    path = tmp_path / f'net{suffix}'
    beside = {path.with_suffix('.json'), path.with_suffix('.tflite'), origin_path(path)}
    assert {path, *beside} <= set(belonging(path))


def test_only_the_parts_of_a_saved_model_belong_to_its_folder(tmp_path):
    belongs = set(belonging(tmp_path))
    assert {tmp_path / name for name in ('saved_model.pb', 'variables', 'assets')} <= belongs
    assert tmp_path not in belongs


def test_the_path_of_a_saved_model_is_its_folder(tmp_path, monkeypatch):
    (tmp_path / 'variables').mkdir()
    monkeypatch.chdir(tmp_path / 'variables')
    for text in (tmp_path, tmp_path / 'saved_model.pb', '..', '../saved_model.pb'):
        assert network_path(Path(text)) == tmp_path
    monkeypatch.chdir(tmp_path)
    for text in ('.', 'saved_model.pb', './saved_model.pb'):
        assert network_path(Path(text)) == tmp_path
    assert network_path(Path('net.h5')) == Path('net.h5')


def test_other_networks_of_the_folder_do_not_belong(tmp_path):
    assert tmp_path / 'other.h5' not in belonging(tmp_path / 'net.h5')
