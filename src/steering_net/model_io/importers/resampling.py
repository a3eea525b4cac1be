# SPDX-License-Identifier: Apache-2.0
"""Resizing as TensorFlow 1 did it, by areas and by cubics, made of layers that LiteRT has.

A resized image is the product of two matrices with the image, one for the rows and one for the
columns. A matrix is a Dense layer.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ModelError
from steering_net.model_io.importers.limits import check_values

KINDS = ('area', 'bicubic', 'bilinear', 'nearest')
OLD, CORNERS = ' of TensorFlow 1', ' with aligned corners'
METHODS = ('area', 'bicubic', *(kind + OLD + end for kind in KINDS for end in ('', CORNERS)))
"""The kinds of resizing: those of today that LiteRT lacks, and those of TensorFlow 1."""


def resampled(x: Any, name: str, height: int, width: int, method: str) -> Any:
    """Return a Keras tensor (n, h, w, c), resized to height and width by one of METHODS."""
    import keras

    if len(x.shape) != 4 or method not in METHODS:
        raise ModelError(f'{x.shape} cannot be resized by {method}')
    check_values((height, width, x.shape[3]), name)
    for side, size, axes in ((1, height, (2, 3, 1)), (2, width, (1, 3, 2))):
        matrix = matrix_of(x.shape[side], size, method)
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


def matrix_of(side: int, size: int, method: str) -> NDArray[np.float32]:
    """Return the matrix (side, size) that resizes a side by one of METHODS."""
    kind, is_old = method.partition(' ')[0], OLD in method
    scale = side / size
    if method.endswith(CORNERS) and size > 1:
        # The first and the last pixel stay what they are.
        scale = (side - 1) / (size - 1)
    matrix = np.zeros((side, size), np.float32)
    for to in range(size):
        start = to * scale if is_old or kind == 'area' else (to + 0.5) * scale - 0.5
        for source, share in _shares(start, scale, side, method):
            matrix[min(max(source, 0), side - 1), to] += share
    return matrix


def _shares(start: float, scale: float, side: int, method: str) -> Iterator[tuple[int, float]]:
    """Yield the pixels that make one pixel at `start`, perhaps outside of the side, and shares."""
    kind, is_old, first = method.partition(' ')[0], OLD in method, math.floor(start)
    if kind == 'nearest':
        yield (math.floor(start + 0.5) if method.endswith(CORNERS) else first), 1.0
    elif kind == 'bilinear':
        yield from ((first, 1.0 - (start - first)), (first + 1, start - first))
    elif kind == 'bicubic':
        pixels = [(n, _cubic(abs(start - n), is_old)) for n in range(first - 1, first + 3)]
        # Since TensorFlow 2 there is nothing outside; before, the pixels at the edge were there.
        pixels = [(n, share) for n, share in pixels if is_old or 0 <= n < side]
        total = sum(share for _, share in pixels)
        yield from ((n, share / total) for n, share in pixels)
    else:
        end = start + scale
        for source in range(first, math.ceil(end)):
            covered = min(end, source + 1.0) - max(start, float(source))
            yield source, max(0.0, covered) / scale


def _cubic(distance: float, is_old: bool) -> float:
    """Return the share of a pixel at a distance of 0 to 2 pixels, by the kernel of Keys."""
    a = -0.75 if is_old else -0.5
    if distance <= 1.0:
        return ((a + 2.0) * distance - (a + 3.0)) * distance**2 + 1.0
    return a * (((distance - 5.0) * distance + 8.0) * distance - 4.0)
