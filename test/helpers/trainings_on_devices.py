# SPDX-License-Identifier: Apache-2.0
"""Small trainings on several devices, in a process of its own.

    python -m helpers.trainings_on_devices COUNT FILE.npz

TensorFlow divides the processor into COUNT devices, which it can do only before its first use. A
training on several devices is interrupted and resumed. The file has the weights and the losses.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from helpers.training import samples
from steering_net.training import trainer
from steering_net.training.config import TrainConfig
from steering_net.training.devices import all_devices, compile_for
from steering_net.training.trainer import backup_of, fit, rendered_for
from steering_net.vision.profile import find_profile

PROFILE = find_profile('course').below(50)


def small_network(shape, seed=0, mixed_precision=False):
    """A network of two layers, because TensorFlow needs seconds to compile PilotNet.

    It has no dropout, whose random numbers differ between devices.
    """
    import keras

    keras.utils.set_random_seed(seed)
    dtype = 'mixed_float16' if mixed_precision else 'float32'
    frame = keras.Input(shape)
    # Of large inputs, so that gradients are large enough to be clipped.
    x = keras.layers.Rescaling(20.0)(frame)
    x = keras.layers.Conv2D(8, 9, 8, activation='relu', dtype=dtype)(x)
    steering = keras.layers.Dense(1, dtype='float32')(keras.layers.Flatten(dtype=dtype)(x))
    return keras.Model(frame, steering)


def train(config, *watchers):
    """Return all weights, (n,), and losses. One of the validating frames is alone in its batch."""
    drawn = rendered_for(config, samples(60), 60)
    drawn.held_out[:] = np.arange(60) < 33
    pools = [rendered_for(config, (), 0), drawn]
    model, losses = fit(config, PROFILE, pools, backup_of(config), watchers)
    return np.concatenate([np.ravel(weights) for weights in model.get_weights()]), losses


def train_in_two_parts(config):
    """Return the same of a training that is interrupted in its second epoch and resumed."""
    import keras

    def interrupt(epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    try:
        train(config, keras.callbacks.LambdaCallback(on_epoch_begin=interrupt))
    except KeyboardInterrupt:
        return train(replace(config, resume=True))
    raise AssertionError('the training was not interrupted')


def infinite_on_the_last():
    """Return weights before and after a step whose gradients are infinite on the last device."""
    frames = np.full((4, *PROFILE.output_shape()), 0.5, np.float32)
    frames[-1] = 1e30
    with all_devices(len(frames)).scope():
        model = small_network(PROFILE.output_shape(), mixed_precision=True)
        compile_for(model, 1e-3, mixed_precision=True)
    before = model.get_weights()
    model.fit(frames, np.ones(4), batch_size=4, shuffle=False, verbose=0)
    return [np.concatenate([np.ravel(a) for a in each]) for each in (before, model.get_weights())]


def main(count, path):
    """Write what the tests look at."""
    import tensorflow as tf

    (processor,) = tf.config.list_physical_devices('CPU')
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    tf.config.set_logical_device_configuration(processor, parts)
    trainer.build_pilotnet = small_network
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            Path(folder), epochs=3, steps_per_epoch=4, batch_size=8, learning_rate=2e-3, threads=1,
            average=0.9,
        )  # fmt: skip
        weights, losses = (train if count == 1 else train_in_two_parts)(config)
    found = {'weights': weights, 'losses': losses['loss'] + losses['val_loss']}
    if count > 1:
        found['before'], found['after'] = infinite_on_the_last()
    np.savez(path, **found)


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2])
