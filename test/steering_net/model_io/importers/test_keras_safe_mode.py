# SPDX-License-Identifier: Apache-2.0
"""Networks with layers of Keras that are not on the allow-list."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from helpers.lazy import keras, layers
from steering_net.errors import ModelError
from steering_net.model_io.reader import load_keras

pytestmark = pytest.mark.slow

SHAPE = (12, 16, 3)


@pytest.fixture(scope='module')
def network():
    """A chain with an LSTM."""
    rows = layers.Reshape((12, 48))
    return keras.Sequential([keras.Input(SHAPE), rows, layers.LSTM(4), layers.Dense(1)])


@pytest.mark.parametrize('name', ['net.keras', 'net.h5'])
def test_other_layers_of_keras_are_loaded_by_keras(tmp_path, network, name):
    network.save(tmp_path / name)
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    np.testing.assert_allclose(load_keras(tmp_path / name)(frames), network(frames), rtol=1e-5)


@pytest.mark.parametrize(
    ('saved', 'name'),
    [('net.keras', 'net'), ('net.h5', 'net.keras'), ('net.h5', 'net'), ('net.keras', 'net.h5')],
)
def test_the_content_decides_how_keras_loads_a_file(tmp_path, network, saved, name):
    network.save(tmp_path / saved)
    path = (tmp_path / saved).rename(tmp_path / name)
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    np.testing.assert_allclose(load_keras(path)(frames), network(frames), rtol=1e-5)


def of_tf_keras_2(value):
    if isinstance(value, list):
        return [of_tf_keras_2(part) for part in value]
    if not isinstance(value, dict):
        return value
    value = {key: of_tf_keras_2(part) for key, part in value.items()}
    if value.get('class_name') == 'LSTM':
        value['config']['time_major'] = False
    if value.get('class_name') == 'Functional':
        value['module'] = 'keras.src.engine.functional'
    return value


@pytest.mark.parametrize('name', ['net.keras', 'net.h5'])
def test_files_of_tf_keras_2_are_loaded_by_keras(tmp_path, network, name):
    frame = keras.Input(SHAPE)
    model, path = keras.Model(frame, network(frame)), tmp_path / name
    model.save(path)
    if path.suffix == '.h5':
        with h5py.File(path, 'r+') as file:
            config = of_tf_keras_2(json.loads(file.attrs['model_config']))
            file.attrs['model_config'] = json.dumps(config)
    else:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        weights = io.BytesIO(members['model.weights.h5'])
        with h5py.File(weights, 'r+') as file:
            file.move('layers', '_layer_checkpoint_dependencies')
        members['model.weights.h5'] = weights.getvalue()
        config = of_tf_keras_2(json.loads(members['config.json']))
        members['config.json'] = json.dumps(config)
        with zipfile.ZipFile(path, 'w') as archive:
            for member, content in members.items():
                archive.writestr(member, content)
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    np.testing.assert_allclose(load_keras(path)(frames), network(frames), rtol=1e-5)


def test_a_seed_is_no_size(tmp_path):
    chain = [layers.Reshape((12, 48)), layers.Conv1D(2, 3), layers.Dropout(0.2, seed=20170118)]
    ends = [layers.Flatten(), layers.Dense(1)]
    model = keras.Sequential([keras.Input(SHAPE), *chain, *ends])
    model.save(tmp_path / 'net.keras')
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    answers = load_keras(tmp_path / 'net.keras')(frames)
    np.testing.assert_allclose(answers, model(frames), rtol=1e-5)


def test_what_a_seed_holds_is_checked(tmp_path, network):
    """Keras would build an object that stands in place of the number."""
    path = tmp_path / 'net.keras'
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts['config.json'])
    inner = config['config']['layers'][-1]['config']
    inner['seed'] = {'class_name': 'Dense', 'config': {'units': 9_999_999_999}}
    parts['config.json'] = json.dumps(config).encode()
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match='9999999999'):
        load_keras(path)


def test_an_old_keras_is_named_as_the_reason(tmp_path, network, monkeypatch):
    network.save(tmp_path / 'net.keras')
    monkeypatch.setattr('keras.__version__', '3.9.2')
    with pytest.raises(ModelError) as raised:
        load_keras(tmp_path / 'net.keras')
    assert str(raised.value).endswith(
        'is a LSTM, which is not supported; nor can Keras load it: Keras is 3.9.2; it must be '
        '3.13.1 or later to load such a network safely: upgrade Keras'
    )
