# SPDX-License-Identifier: Apache-2.0
"""All GPUs of this machine: each has the network, and a share of every batch."""

from collections.abc import Callable, Iterable
from typing import Any

from steering_net.errors import SettingError, check_field

_HUBER_DELTA = 0.05


def all_devices(batch_size: int) -> Any:
    """Return the `tf.distribute` strategy for all GPUs, or for this machine's processors.

    It has several devices only if there are several GPUs. Raises ValueError if a batch cannot be
    shared equally. Imports TensorFlow.
    """
    import tensorflow as tf

    # A processor is one device, unless a program has divided it.
    devices = tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('CPU')
    if len(devices) == 1:
        return tf.distribute.get_strategy()
    is_shared = batch_size % len(devices) == 0
    check_field(is_shared, 'batch_size', batch_size, f'a multiple of {len(devices)}, the GPUs')
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check_mixed_precision() -> None:
    """Raise SettingError if there is no GPU. Imports TensorFlow."""
    import tensorflow as tf

    if not tf.config.list_physical_devices('GPU'):
        # On two processors it took 15 ms of processor time per image in place of 3.2 ms.
        fault = 'needs a GPU, and TensorFlow sees none: on processors it is five times as slow'
        raise SettingError('mixed_precision', fault)


def compile_for(
    model: Any, learning_rate: Any, average: float = 0.0, mixed_precision: bool = False
) -> None:
    """Compile a network with optimizer and loss, in the scope of its devices.

    `learning_rate` is a number or a schedule. With `average` above 0 the optimizer also keeps a
    moving average of the weights.
    """
    import keras
    import tensorflow as tf

    devices = tf.distribute.get_strategy().num_replicas_in_sync
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=1e-4,
        # Each device applies the mean of all gradients, and then Keras adds them.
        clipnorm=1.0 / devices,
        use_ema=average > 0,
        ema_momentum=average,
    )
    if mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    if devices > 1:
        optimizer.apply = _with_mean(optimizer.apply)
    # Huber loss, because a squared error gives the pulses of keyboard steering too much weight.
    model.compile(optimizer=optimizer, loss=keras.losses.Huber(_HUBER_DELTA))


def _with_mean(apply: Callable[..., None]) -> Callable[..., None]:
    """Let an optimizer apply the mean of the gradients of all devices.

    Keras adds them too late, after each device has clipped its own and has looked whether they are
    finite. The devices would then differ from a single one, or one of them get infinite weights.
    """
    import tensorflow as tf

    def apply_mean(gradients: Iterable[Any], variables: Any = None) -> None:
        context = tf.distribute.get_replica_context()
        apply(context.all_reduce(tf.distribute.ReduceOp.MEAN, list(gradients)), variables)

    return apply_mean
