# SPDX-License-Identifier: Apache-2.0
"""Networks with layers of Keras that are not on the allow-list."""

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


def test_an_old_keras_is_named_as_the_reason(tmp_path, network, monkeypatch):
    network.save(tmp_path / 'net.keras')
    monkeypatch.setattr('keras.__version__', '3.9.2')
    with pytest.raises(ModelError) as raised:
        load_keras(tmp_path / 'net.keras')
    assert str(raised.value).endswith(
        'is a LSTM, which is not supported; nor can Keras load it: Keras is 3.9.2; it must be '
        '3.13.1 or later to load such a network safely: upgrade Keras'
    )
