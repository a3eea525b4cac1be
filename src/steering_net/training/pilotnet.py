# SPDX-License-Identifier: Apache-2.0
"""PilotNet of NVIDIA: the network that this project trains."""

from typing import Any

INPUT_SHAPE = (66, 200, 3)
_FILTERS = ((24, 5, 2), (36, 5, 2), (48, 5, 2), (64, 3, 1), (64, 3, 1))
_UNITS = (100, 50, 10)
_DROPOUT = 0.1


def build_pilotnet(
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
    seed: int = 0,
    mixed_precision: bool = False,
) -> Any:
    """Return an untrained `keras.Model`: float32 (n, h, w, 3) in 0..1 -> (n, 1) steering units.

    For the 66 x 200 frame it has 252,219 weights, about 1 MB. With `mixed_precision` all but the
    output is computed in float16; the weights are float32. Keras is imported here.
    """
    import keras

    keras.utils.set_random_seed(seed)
    layers, dtype = keras.layers, 'mixed_float16' if mixed_precision else 'float32'
    frame = keras.Input(input_shape, name='frame')
    # Chrominance varies far less than brightness; without this layer it is learnt late or never.
    x = layers.Normalization(mean=(0.5, 0.5, 0.5), variance=(0.06, 0.005, 0.005), dtype=dtype)(
        frame
    )
    for filters, kernel, stride in _FILTERS:
        # The activation fuses with the convolution in LiteRT; ELU would not.
        x = layers.Conv2D(
            filters, kernel, stride, activation='relu', kernel_initializer='he_normal', dtype=dtype
        )(x)
    x = layers.Flatten(dtype=dtype)(x)
    for units in _UNITS:
        x = layers.Dropout(_DROPOUT, dtype=dtype)(x)
        x = layers.Dense(units, activation='elu', dtype=dtype)(x)
    steering = layers.Dense(1, name='steering', dtype='float32')(x)
    return keras.Model(frame, steering, name='pilotnet')
