# SPDX-License-Identifier: Apache-2.0
"""Networks that a training starts from: none is replaced, and each has to fit."""

import os

import pytest

from steering_net.errors import ModelError
from steering_net.training.config import TrainConfig
from steering_net.training.pilotnet import build_pilotnet
from steering_net.training.trainer import check_output, check_start


@pytest.mark.parametrize('suffix', ['.keras', '.tflite', '.json'])
def test_a_network_that_would_be_replaced_is_not_started_from(suffix, tmp_path):
    path = tmp_path / f'pilotnet{suffix}'
    path.write_text('{}', encoding='utf-8')
    told = f'starts from {path} and would replace {path}: write to another folder'
    with pytest.raises(ValueError, match=told):
        check_output(TrainConfig(tmp_path, start_from=(path,)))
    check_output(TrainConfig(tmp_path / 'other', start_from=(path,)))
    check_output(TrainConfig(tmp_path, name='other', start_from=(path,)))


def test_the_sidecar_of_a_network_is_not_replaced_either(tmp_path):
    path, sidecar = tmp_path / 'pilotnet.h5', tmp_path / 'pilotnet.json'
    path.touch()
    check_output(TrainConfig(tmp_path, start_from=(path,)))
    sidecar.touch()
    with pytest.raises(ValueError, match=f'starts from {path} and would replace {sidecar}'):
        check_output(TrainConfig(tmp_path, start_from=(path,)))


@pytest.mark.parametrize('link', [os.link, os.symlink])
def test_a_link_to_a_network_protects_it_too(link, tmp_path):
    path, other = tmp_path / 'pilotnet.keras', tmp_path / 'mine.keras'
    path.write_bytes(b'PK')
    link(path, other)
    with pytest.raises(ValueError, match='would replace'):
        check_output(TrainConfig(tmp_path, start_from=(other,)))


def test_a_network_that_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match=r'there is no model file .*nope\.keras'):
        check_output(TrainConfig(tmp_path, start_from=(tmp_path / 'nope.keras',)))


@pytest.mark.slow
def test_a_network_of_another_shape_is_no_start(tmp_path):
    small = tmp_path / 'small.keras'
    build_pilotnet((64, 64, 3)).save(small)
    with pytest.raises(ModelError, match=r'is not a network to start from'):
        check_start(TrainConfig(tmp_path / 'out', start_from=(small,)))
    check_start(TrainConfig(tmp_path / 'out', profile='ksakmann:scale=1/255', start_from=(small,)))
