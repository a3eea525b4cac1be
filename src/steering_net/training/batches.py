# SPDX-License-Identifier: Apache-2.0
"""Batches: augmented frames as network inputs with labels, and the inputs that validate."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.training.augmentation import augment
from steering_net.training.config import TrainConfig
from steering_net.training.frames import Frames
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import Profile


class BatchMaker:
    """Augmented batches: the same seed, epoch and step always give the same batch.

    If the rendered share of a batch is no whole number of frames, it is rounded up in some batches
    and down in the others, so that all batches together have the share.
    """

    def __init__(self, config: TrainConfig, profile: Profile, pools: Sequence[Frames]) -> None:
        self.epoch = 0
        self._config, self._profile = config, profile
        # The crops are blurred already, and augmented images already have the profile's size.
        self._rest = replace(profile, rows=None, columns=None, blur=0, size=None)
        # Indices, because the frames that train would be a copy of most of the pool.
        self._pools = pools
        settings = config.augmentation
        self._settings = (settings, settings.with_light(config.rendered_light))
        self._trained = recorded, rendered = [np.flatnonzero(~pool.held_out) for pool in pools]
        share = config.rendered_share if len(recorded) else 1.0
        # Rounded, because 10 * 0.3 is more than 3.
        self._rendered_mean = round(config.batch_size * share, 6) if len(rendered) else 0.0
        size = len(recorded) + len(rendered)
        self.steps = config.steps_per_epoch or math.ceil(size / config.batch_size)

    def batch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return float32 (n, h, w, 3) network inputs and (n, 1) labels in network units."""
        rng = np.random.default_rng([self._config.seed, self.epoch, step])
        x = np.empty((self._config.batch_size, *self._profile.output_shape()), np.float32)
        y = np.empty((len(x), 1), np.float32)
        rendered_count = int(self._rendered_mean)
        if more := self._rendered_mean - rendered_count:
            rendered_count += rng.random() < more
        for i in range(len(x)):
            rendered = i < rendered_count
            pool, trained = self._pools[rendered], self._trained[rendered]
            choice = int(trained[rng.integers(len(trained))])
            # Rendered frames are not moved, because they are from anywhere on the road already.
            picture, steering_rad = augment(
                pool.crops[choice],
                float(pool.steering_rad[choice]),
                self._settings[rendered],
                self._profile,
                rng,
                move=not rendered,
            )
            preprocess(picture, self._rest, out=x[i])
            y[i] = steering_rad / self._profile.steering_scale_rad
        return x, y

    def dataset(self) -> Any:
        """Return the batches of one epoch as a `tf.data.Dataset`, prepared in parallel."""
        import tensorflow as tf

        size = self._config.batch_size
        shapes = ((size, *self._profile.output_shape()), (size, 1))

        def make(step: Any) -> Any:
            x, y = tf.numpy_function(self.batch, [step], (tf.float32, tf.float32))
            return tf.ensure_shape(x, shapes[0]), tf.ensure_shape(y, shapes[1])

        # Without autotune, because its thread wakes up after 10, 20, 40 ... ms and the end of an
        # epoch waits for it: an epoch would take 5.1, 10.2 or 20.5 s and nothing between.
        options = tf.data.Options()
        options.autotune.enabled = False
        steps = tf.data.Dataset.range(self.steps).with_options(options)
        return steps.map(make, num_parallel_calls=self._config.threads).prefetch(2)


def validation_data(profile: Profile, pools: Sequence[Frames]) -> Any:
    """Return all held-out frames as inputs, labels in network units, weights; None without any."""
    parts = [pool.part(held_out=True) for pool in pools]
    if not any(len(part) for part in parts):
        return None
    labels = np.concatenate([part.steering_rad for part in parts])
    inputs = np.concatenate([network_inputs(profile, part) for part in parts])
    # Recorded and rendered frames have the same weight in total.
    weights = np.concatenate([np.full(len(part), 1 / max(1, len(part))) for part in parts])
    return inputs, labels[:, None] / profile.steering_scale_rad, weights / weights.mean()


def network_inputs(profile: Profile, frames: Frames) -> NDArray[np.float32]:
    """Return the inputs for frames that are already blurred, float32 (n, h, w, 3)."""
    inputs = np.empty((len(frames), *profile.output_shape()), np.float32)
    profile = replace(profile, blur=0)
    for crop, slot in zip(frames.crops, inputs, strict=True):
        preprocess(crop, profile, out=slot)
    return inputs
