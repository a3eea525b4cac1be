# SPDX-License-Identifier: Apache-2.0
"""A training on two devices is the training on one; here the devices are parts of a processor."""

import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.processes import own_modules
from steering_net.training.devices import all_devices, check_mixed_precision

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """What one device and two devices wrote."""
    paths = [tmp_path_factory.mktemp('devices') / f'{count}.npz' for count in (1, 2)]
    for count, path in enumerate(paths, 1):
        command = [sys.executable, '-m', 'helpers.trainings_on_devices', str(count), str(path)]
        subprocess.run(command, check=True, env={**os.environ, **own_modules()})
    return [np.load(path) for path in paths]


def test_two_devices_learn_what_one_learns_also_if_they_are_interrupted(trained):
    one, two = trained
    np.testing.assert_allclose(two['weights'], one['weights'], atol=1e-5)
    np.testing.assert_allclose(two['losses'], one['losses'], rtol=1e-3)


def test_gradients_that_are_infinite_on_one_device_change_the_weights_of_none(trained):
    _, two = trained
    np.testing.assert_array_equal(two['after'], two['before'])


def test_a_batch_that_cannot_be_shared_equally_is_refused(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, 'list_logical_devices', lambda kind: ['one', 'two'])
    with pytest.raises(ValueError, match='batch_size is 5; it must be a multiple of 2'):
        all_devices(5)


def test_mixed_precision_without_a_gpu_is_refused():
    with pytest.raises(ValueError, match='mixed_precision needs a GPU'):
        check_mixed_precision()
