# SPDX-License-Identifier: Apache-2.0
"""Batches: augmented frames as network inputs with labels, and the inputs that validate."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steering_net.training.augmentation import Augmentation, augment
from steering_net.training.config import TrainConfig
from steering_net.training.frames import Frames
from steering_net.vision.camera_model import Rgb
from steering_net.vision.preprocessing import Tensor, preprocess
from steering_net.vision.profile import Profile

Batch: TypeAlias = tuple[Tensor, Tensor]
"""Network inputs float32 (n, h, w, 3), and labels in network units, float32 (n, 1)."""


class BatchSource(Protocol):
    """What makes batches."""

    def batches(self, first_epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch and of all that follow, without end."""


VALIDATION_BATCH = 32
# Small, so that all processors work on the first batch of an epoch.
PIECE_FRAMES = 32


@dataclass(frozen=True)
class Piece:
    """Some frames of a batch, those of `rows`, without their crops.

    `is_rendered` (n,) bool marks the rendered ones, `steering_rad` (n,) are their labels. The
    changes of the frames follow from `seed`.
    """

    rows: slice
    is_rendered: NDArray[np.bool_]
    steering_rad: NDArray[np.float32]
    seed: tuple[int, ...]


@dataclass(frozen=True)
class Preparation:
    """What turns the crops of a piece into network inputs: profile and augmentation.

    The augmentations are those of recorded and of rendered frames.
    """

    profile: Profile
    augmentations: tuple[Augmentation, Augmentation]

    def __call__(self, piece: Piece, crops: Iterable[Rgb], out: Tensor) -> Tensor:
        """Write the inputs of the augmented crops into `out`; return the labels, (n, 1)."""
        rng = np.random.default_rng(piece.seed)
        # The crops are blurred already, and augmented images already have the profile's size.
        rest = replace(self.profile, rows=None, columns=None, blur=0, size=None)
        labels = np.empty((len(out), 1), np.float32)
        for i, crop in enumerate(crops):
            rendered = bool(piece.is_rendered[i])
            # Rendered frames are not moved, because they are from anywhere on the road already.
            picture, steering_rad = augment(
                crop,
                float(piece.steering_rad[i]),
                self.augmentations[rendered],
                self.profile,
                rng,
                move=not rendered,
            )
            preprocess(picture, rest, out=out[i])
            labels[i] = steering_rad / self.profile.steering_scale_rad
        return labels


class BatchMaker:
    """Augmented batches: the same seed, epoch and step always give the same batch.

    If the rendered share of a batch is no whole number of frames, it is rounded up in some batches
    and down in the others, so that all batches together have the share.
    """

    def __init__(self, config: TrainConfig, profile: Profile, pools: Sequence[Frames]) -> None:
        self._config = config
        settings = config.augmentation
        self.prepare = Preparation(profile, (settings, settings.with_light(config.rendered_light)))
        self.shape = (config.batch_size, *profile.output_shape())
        # Indices, because the frames that train would be a copy of most of the pool.
        self._pools = pools
        self._trained = recorded, rendered = [np.flatnonzero(~pool.held_out) for pool in pools]
        share = config.rendered_share if len(recorded) else 1.0
        # Rounded, because 10 * 0.3 is more than 3.
        self._rendered_mean = round(config.batch_size * share, 6) if len(rendered) else 0.0
        size = len(recorded) + len(rendered)
        self.steps = config.steps_per_epoch or math.ceil(size / config.batch_size)

    def pieces(self, epoch: int, step: int) -> Iterator[tuple[Piece, list[Rgb]]]:
        """Yield the pieces of a batch, each with its crops, which are those of the pools."""
        seed = (self._config.seed, epoch, step)
        rng = np.random.default_rng(seed)
        size = self._config.batch_size
        rendered_count = int(self._rendered_mean)
        if more := self._rendered_mean - rendered_count:
            rendered_count += rng.random() < more
        is_rendered = np.arange(size) < rendered_count
        counts = np.array([len(trained) for trained in self._trained])
        kinds = is_rendered.astype(int)
        chosen = [
            (self._pools[kind], int(self._trained[kind][place]))
            for kind, place in zip(kinds, rng.integers(counts[kinds]), strict=True)
        ]
        for first in range(0, size, PIECE_FRAMES):
            rows = slice(first, min(first + PIECE_FRAMES, size))
            labels = [pool.steering_rad[index] for pool, index in chosen[rows]]
            piece = Piece(rows, is_rendered[rows], np.array(labels, np.float32), (*seed, first))
            yield piece, [pool.crops[index] for pool, index in chosen[rows]]

    def batch(self, epoch: int, step: int) -> Batch:
        """Return a batch, made by this thread."""
        inputs = np.empty(self.shape, np.float32)
        labels = [
            self.prepare(piece, crops, inputs[piece.rows])
            for piece, crops in self.pieces(epoch, step)
        ]
        return inputs, np.concatenate(labels)

    def steps_from(self, first_epoch: int) -> Iterator[tuple[int, int]]:
        """Yield epoch and step of the batches of an epoch and of all that follow, without end."""
        for epoch in itertools.count(first_epoch):
            for step in range(self.steps):
                yield epoch, step

    def batches(self, first_epoch: int) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        return itertools.starmap(self.batch, self.steps_from(first_epoch))


def dataset(source: BatchSource, first_epoch: int, shape: tuple[int, ...]) -> Any:
    """Return a source's batches as a `tf.data.Dataset`; `shape` is that of the inputs."""
    import tensorflow as tf

    # Without autotune, because its thread wakes up after 10, 20, 40 ... ms and the end of the
    # training waits for it.
    options = tf.data.Options()
    options.autotune.enabled = False
    signature = tf.TensorSpec(shape, tf.float32), tf.TensorSpec((shape[0], 1), tf.float32)
    made = tf.data.Dataset.from_generator(
        lambda: source.batches(first_epoch), output_signature=signature
    )
    return made.with_options(options).prefetch(2)


def validation_data(profile: Profile, pools: Sequence[Frames]) -> Any:
    """Return all held-out frames as inputs, labels in network units, weights; None without any.

    Black frames without weight fill the last batch of VALIDATION_BATCH, because each of several
    GPUs needs a share of it.
    """
    parts = [pool.part(held_out=True) for pool in pools]
    count = sum(map(len, parts))
    if not count:
        return None
    more = -count % VALIDATION_BATCH
    fill = np.zeros((more, *profile.output_shape()), np.float32)
    inputs = np.concatenate([*(network_inputs(profile, part) for part in parts), fill])
    labels = np.concatenate([*(part.steering_rad for part in parts), np.zeros(more)])
    # Recorded and rendered frames have the same weight in total.
    shares = [np.full(len(part), 1 / max(1, len(part))) for part in parts]
    weights = np.concatenate([*shares, np.zeros(more)])
    return inputs, labels[:, None] / profile.steering_scale_rad, weights / weights.mean()


def network_inputs(profile: Profile, frames: Frames) -> NDArray[np.float32]:
    """Return the inputs for frames that are already blurred, float32 (n, h, w, 3)."""
    inputs = np.empty((len(frames), *profile.output_shape()), np.float32)
    profile = replace(profile, blur=0)
    for crop, slot in zip(frames.crops, inputs, strict=True):
        preprocess(crop, profile, out=slot)
    return inputs
