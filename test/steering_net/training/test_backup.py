# SPDX-License-Identifier: Apache-2.0
"""An unfinished training: resumed, it ends as if it had not been interrupted."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.training import run_eagerly, samples
from steering_net.training.backup import read_progress
from steering_net.training.batches import network_inputs
from steering_net.training.config import TrainConfig
from steering_net.training.frames import Frames
from steering_net.training.pilotnet import build_pilotnet
from steering_net.training.trainer import backup_of, check_output, fit, rendered_for
from steering_net.vision.profile import find_profile

pytestmark = pytest.mark.slow
PROFILE = find_profile('course').below(50)


def interrupt():
    """Return a callback that interrupts a training when the third epoch begins."""
    import keras

    def begin(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def config_of(folder, **fields):
    usual = {'epochs': 4, 'steps_per_epoch': 3, 'batch_size': 4, 'learning_rate': 3e-3}
    return TrainConfig(folder, **(usual | fields))


def pools_of(config):
    """Frames that the untrained network answers exactly: the last epoch is not the best."""
    empty, drawn = rendered_for(config, (), 0), rendered_for(config, samples(20), 20)
    model = build_pilotnet(PROFILE.output_shape(), seed=0)
    units = model.predict(network_inputs(PROFILE, drawn), verbose=0)[:, 0]
    steering_rad = np.float32(units * PROFILE.steering_scale_rad)
    return [empty, Frames(drawn.crops, steering_rad, drawn.held_out)]


@pytest.fixture(scope='module')
def pools(tmp_path_factory):
    return pools_of(config_of(tmp_path_factory.mktemp('pools')))


def train(config, pools, *watchers):
    with run_eagerly():
        return fit(config, PROFILE, pools, backup_of(config), watchers)


@pytest.fixture
def interrupted(tmp_path, pools):
    """The config of a training that ended after two of four epochs."""
    config = config_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(config, pools, interrupt())
    return replace(config, resume=True)


@pytest.mark.parametrize('average', [0.0, 0.9])
def test_a_resumed_training_ends_as_one_without_interruption(average, tmp_path, pools):
    expected, losses = train(config_of(tmp_path / 'whole', average=average), pools)
    config = config_of(tmp_path / 'parts', average=average)
    with pytest.raises(KeyboardInterrupt):
        train(config, pools, interrupt())
    found, resumed_losses = train(replace(config, resume=True), pools)
    assert resumed_losses.keys() == losses.keys()
    for name, values in losses.items():
        np.testing.assert_allclose(resumed_losses[name], values, rtol=1e-4)
    for weights, others in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(weights, others, atol=1e-5)


@pytest.mark.parametrize('average', [0.0, 0.9])
@pytest.mark.parametrize('patience', [1, 8])
def test_a_training_that_had_ended_is_not_trained_further(average, patience, tmp_path, pools):
    config = config_of(tmp_path, average=average, patience=patience)
    expected, losses = train(config, pools)
    assert (len(losses['loss']) < 4) == (patience == 1)
    # With this rate, a further step would change the weights much.
    found, resumed_losses = train(replace(config, resume=True, learning_rate=0.1), pools)
    assert resumed_losses == losses
    for weights, others in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)


def test_the_best_epoch_and_the_patience_are_those_of_before(interrupted, pools):
    model, losses = train(replace(interrupted, patience=1), pools)
    assert np.argmin(losses['val_loss']) == 1
    assert len(losses['val_loss']) == 3
    held_out = pools[1].part(held_out=True)
    units = model.predict(network_inputs(PROFILE, held_out), verbose=0)[:, 0]
    errors = np.abs(units - held_out.steering_rad / PROFILE.steering_scale_rad)
    huber = np.where(errors < 0.05, errors**2 / 2, 0.05 * (errors - 0.025))
    assert huber.mean() == pytest.approx(losses['val_loss'][1], rel=1e-3)


def test_a_backup_that_is_cut_off_is_named_with_what_to_do(interrupted):
    (file,) = backup_of(interrupted).iterdir()
    whole = file.read_bytes()
    for part in (whole[: len(whole) // 2], b'', b'x'):
        file.write_bytes(part)
        with pytest.raises(ValueError, match=r'pilotnet\.resume cannot be read .*: remove that'):
            check_output(interrupted)


def test_a_backup_of_another_network_is_named(interrupted, pools):
    config = replace(interrupted, average=0.5)
    with pytest.raises(ValueError, match=r'pilotnet\.resume is one of another network'):
        train(config, pools)


def test_a_folder_without_progress_begins_anew(tmp_path):
    assert read_progress(tmp_path) is None
