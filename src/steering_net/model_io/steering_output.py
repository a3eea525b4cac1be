# SPDX-License-Identifier: Apache-2.0
"""Steering output: makes a network with one number as output of one with several outputs.

Networks of other drivers may also put out the throttle, or the probabilities of steering angles in
equal steps from -1 to 1.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from steering_net.errors import ModelError

_MOST_NUMBERS = 4
"""A head with more numbers that are no probabilities has no known order."""

_STEERING = re.compile('steer|angle', re.IGNORECASE)
"""Found in the name of an output that is the steering."""


class _Column(NamedTuple):
    """One number of an output: the name of its layer, the tensor, and its place."""

    name: str
    tensor: Any
    place: int


def with_one_output(model: Any, wish: str, name: str) -> Any:
    """Return the network from a frame to the steering; itself if it has no other output.

    `wish` is the name of an output, or the number of a value counted from 0 over all outputs; ''
    takes the first output with `steer` or `angle` in its name, or else the first one. Of several
    numbers it is the first one; probabilities become their mean angle. Raises ModelError, with
    the outputs that there are, if none can be taken.
    """
    heads = {layer_of(tensor).name: tensor for tensor in model.outputs}
    columns = list(_columns(heads))
    if wish.isdecimal() and wish not in heads:
        if int(wish) >= len(columns):
            raise ModelError(f'{name} has {len(columns)} values, none with the number {wish}')
        return _selected(model, columns[int(wish)])
    if wish and wish not in heads:
        raise ModelError(f'{name} has no output {wish}; it has {", ".join(heads)}')
    named = [head for head in heads if _STEERING.search(head)]
    head = wish or [*named, *heads][0]
    count = sum(column.name == head for column in columns)
    first = next(column for column in columns if column.name == head)
    if count > 1 and _is_categorical(heads[head]):
        return _mean_angle(model, first, count)
    if count > _MOST_NUMBERS:
        raise ModelError(
            f'{name} has the output {head} of {count} values; it must be one number: choose one '
            'with `sim-bridge import-model --output NUMBER`, counted from 0'
        )
    if len(heads) == count == 1 and model.outputs[0].shape[1:] in ((), (1,)):
        return model
    return _selected(model, first)


def layer_of(tensor: Any) -> Any:
    """Return the layer or operation that computes a Keras tensor."""
    return tensor._keras_history.operation


def _columns(heads: dict[str, Any]) -> Iterator[_Column]:
    for name, tensor in heads.items():
        count = int(np.prod(tensor.shape[1:]))
        yield from (_Column(name, tensor, index) for index in range(count))


def _is_categorical(tensor: Any) -> bool:
    layer = layer_of(tensor)
    activation = getattr(getattr(layer, 'activation', None), '__name__', '')
    return type(layer).__name__ == 'Softmax' or activation == 'softmax'


def _selected(model: Any, column: _Column) -> Any:
    count = int(np.prod(column.tensor.shape[1:]))
    weights = np.zeros((count, 1), np.float32)
    weights[column.place] = 1.0
    return _weighted(model, column, weights)


def _mean_angle(model: Any, column: _Column, count: int) -> Any:
    return _weighted(model, column, np.linspace(-1.0, 1.0, count, dtype=np.float32)[:, None])


def _weighted(model: Any, column: _Column, weights: Any) -> Any:
    """Return the network whose output is a weighted sum of one output's values."""
    import keras

    x = column.tensor
    if len(x.shape) != 2:
        x = keras.layers.Reshape((len(weights),))(x)
    if len(weights) == 1:
        return keras.Model(model.inputs[0], x)
    names = {layer.name for layer in model.layers}
    name = next(n for n in ('steering', 'steering_output', 'the_steering') if n not in names)
    dense = keras.layers.Dense(1, use_bias=False, name=name)
    y = dense(x)
    dense.set_weights([weights])
    return keras.Model(model.inputs[0], y)
