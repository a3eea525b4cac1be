# SPDX-License-Identifier: Apache-2.0
"""Which files belong to a network, and so can be read in the sandbox."""

import pytest

from steering_net.model_io.metadata import origin_path
from steering_net.model_io.network_files import SUFFIXES, belonging, other_half

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


def test_the_folders_of_a_saved_model_belong_to_its_file(tmp_path):
    belongs = set(belonging(tmp_path / 'saved_model.pb'))
    assert {tmp_path / 'variables', tmp_path / 'assets'} <= belongs


def test_other_networks_of_the_folder_do_not_belong(tmp_path):
    assert tmp_path / 'other.h5' not in belonging(tmp_path / 'net.h5')
