# SPDX-License-Identifier: Apache-2.0
"""Colours as TensorFlow computes them, made of operations that LiteRT has."""

from typing import Any

from steering_net.errors import ModelError


def hsv(x: Any) -> Any:
    """Return `tf.image.rgb_to_hsv` of a Keras tensor (n, h, w, 3).

    Hue and saturation are 0 to 1, the value has the range of the input.
    """
    from keras import ops

    if len(x.shape) != 4 or x.shape[3] != 3:
        raise ModelError(f'{x.shape} has no colours')
    red, green, blue = (x[..., k : k + 1] for k in range(3))
    value = ops.max(x, axis=-1, keepdims=True)
    spread = value - ops.min(x, axis=-1, keepdims=True)
    # Where a colour has no hue, its differences are 0 too.
    whole = ops.where(spread > 0.0, spread, 1.0) * 6.0
    hue = ops.where(
        ops.equal(red, value),
        (green - blue) / whole,
        ops.where(
            ops.equal(green, value), (blue - red) / whole + 1 / 3, (red - green) / whole + 2 / 3
        ),
    )
    saturation = ops.where(value > 0.0, spread / ops.where(value > 0.0, value, 1.0), 0.0)
    return ops.concatenate([ops.where(hue < 0.0, hue + 1.0, hue), saturation, value], axis=-1)
