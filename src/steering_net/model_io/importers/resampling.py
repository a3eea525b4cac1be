# SPDX-License-Identifier: Apache-2.0
"""Resizing as TensorFlow 1 did it, and by areas, made of layers that LiteRT has.

A resized image is the product of two matrices with the image, one for the rows and one for the
columns. A matrix is a Dense layer.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ModelError
from steering_net.model_io.importers.limits import check_values

METHODS = (
    'area', 'area of TensorFlow 1', 'bilinear of TensorFlow 1', 'nearest of TensorFlow 1',
)  # fmt: skip


def resampled(x: Any, name: str, height: int, width: int, method: str) -> Any:
    """Return a Keras tensor (n, h, w, c), resized to height and width by one of METHODS."""
    import keras

    if len(x.shape) != 4 or method not in METHODS:
        raise ModelError(f'{x.shape} cannot be resized by {method}')
    check_values((height, width, x.shape[3]), name)
    kind = method.partition(' ')[0]
    for side, size, axes in ((1, height, (2, 3, 1)), (2, width, (1, 3, 2))):
        matrix = matrix_of(x.shape[side], size, kind)
        check_values(matrix.shape, name)
        sides = 'rows' if side == 1 else 'columns'
        # Not to be trained, because it is no weight of the network.
        dense = keras.layers.Dense(size, use_bias=False, trainable=False, name=f'{name}_{sides}')
        back = tuple(int(axis) + 1 for axis in np.argsort(axes))
        x = keras.layers.Permute(axes)(x)
        x = dense(x)
        dense.set_weights([matrix])
        x = keras.layers.Permute(back)(x)
    return x


def matrix_of(side: int, size: int, kind: str) -> NDArray[np.float32]:
    """Return the matrix (side, size) that resizes a side by `area`, `bilinear` or `nearest`."""
    matrix = np.zeros((side, size), np.float32)
    scale = side / size
    for to in range(size):
        start = to * scale
        first = min(int(start), side - 1)
        if kind == 'nearest':
            matrix[first, to] = 1.0
        elif kind == 'bilinear':
            share = start - first
            matrix[first, to] += 1.0 - share
            matrix[min(first + 1, side - 1), to] += share
        else:
            end = min(start + scale, float(side))
            for source in range(first, min(math.ceil(end), side)):
                covered = min(end, source + 1.0) - max(start, float(source))
                matrix[source, to] += max(0.0, covered) / (end - start)
    return matrix
