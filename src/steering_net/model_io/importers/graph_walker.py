# SPDX-License-Identifier: Apache-2.0
"""Walks a graph as data: computes constants, and appends operations on the frame to a Chain."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steering_net.errors import ModelError
from steering_net.model_io.importers.layer_chain import Array, Chain, Flow
from steering_net.model_io.importers.limits import MAX_TENSOR_VALUES

Value = Any
"""A constant (ndarray), or a Flow."""


@dataclass(frozen=True)
class Operation:
    """One operation: its name in its format, its inputs, its attributes."""

    name: str
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def constants(self) -> tuple[Array, ...]:
        """The constant inputs, in order."""
        return tuple(v for v in self.inputs if isinstance(v, np.ndarray))

    def constant(self, index: int) -> Array:
        """Return the input with this index; ModelError if it is no constant."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, np.ndarray):
            raise ModelError(f'{self.name} needs a constant that is missing')
        return value


TO_THE_END = 1 << 30
"""End of a slice up to the last row or column."""

Handler = Callable[[Chain, Operation], None]
Folder = Callable[[Operation], Array]


def run(
    chain: Chain,
    operation: Operation,
    handlers: Mapping[str, Handler],
    folders: Mapping[str, Folder],
) -> Value:
    """Return the value of an operation on constants; append one on the flow to the chain.

    Raises ModelError for an operation that is not listed, and for one that uses an older state of
    the flow than the newest, because the network branches there.
    """
    flows = [value for value in operation.inputs if isinstance(value, Flow)]
    if not flows:
        if operation.name not in folders:
            raise ModelError(f'operation {operation.name} is not supported')
        return _checked(np.asarray(folders[operation.name](operation)))
    if operation.name in ('Shape', 'SHAPE'):
        return np.array(chain.foreign_shape, np.int64)
    if len(flows) > 1 or flows[0] != chain.flow:
        raise ModelError(f'the network branches at {operation.name}: only a chain can be read')
    if operation.name not in handlers:
        raise ModelError(f'operation {operation.name} is not supported')
    handlers[operation.name](chain, operation)
    return chain.flow


def _checked(value: Array) -> Array:
    if value.size > MAX_TENSOR_VALUES:
        raise ModelError(f'a constant has more than the {MAX_TENSOR_VALUES} values allowed')
    return value


def add(chain: Chain, operation: Operation) -> None:
    """Append x + constant, in any order."""
    chain.add(operation.constants[0])


def subtract(chain: Chain, operation: Operation) -> None:
    """Append x - constant, or constant - x."""
    value = operation.constants[0]
    if isinstance(operation.inputs[0], np.ndarray):
        chain.multiply(np.array(-1.0))
        chain.add(value)
    else:
        chain.add(-value)


def multiply(chain: Chain, operation: Operation) -> None:
    """Append x * constant, in any order."""
    chain.multiply(operation.constants[0])


def divide(chain: Chain, operation: Operation) -> None:
    """Append x / constant."""
    value = operation.constant(1)
    if not np.all(value):
        raise ModelError('it divides by zero')
    chain.multiply(1.0 / np.asarray(value, np.float64))


def keep(chain: Chain, _operation: Operation) -> None:
    """Append nothing, because Identity and Dropout do nothing during inference."""
    chain.keep()


def activation(name: str) -> Handler:
    """Return a handler that appends the activation with this name in Keras."""
    return lambda chain, _operation: chain.activate(name)


def arctan(chain: Chain, _operation: Operation) -> None:
    """Append the arc tangent, for which Keras has a function but no layer."""
    chain.apply('Arctan')


def first(operation: Operation) -> Array:
    """Return the constant itself."""
    return operation.constant(0)


def concatenate(values: Sequence[Array]) -> Array:
    """Return one row that joins several."""
    return np.concatenate([np.atleast_1d(value) for value in values])


def mean(chain: Chain, operation: Operation) -> None:
    """Append the mean over rows and columns."""
    axes = {int(axis) % 4 for axis in operation.constant(1).ravel()}
    if axes != {1, 2} or chain.channels_first or len(chain.foreign_shape) != 4:
        raise ModelError(f'{operation.name} over the axes {sorted(axes)} is not supported')
    chain.global_pool('GlobalAveragePooling2D', bool(operation.attributes.get('keep_dims')))


def pad(chain: Chain, operation: Operation) -> None:
    """Append zeros around rows and columns; the constant is ((0, 0), (t, b), (l, r), (0, 0))."""
    pads = operation.constant(1)
    if pads.shape != (4, 2) or pads[0].any() or pads[3].any() or chain.channels_first:
        raise ModelError(f'padding {pads.tolist()} is not supported')
    chain.pad(pads[1:3, 0].tolist(), pads[1:3, 1].tolist())


def reshape(chain: Chain, operation: Operation) -> None:
    """Change the shape to the constant, as in `Chain.reshape`."""
    chain.reshape(operation.constant(1).ravel().tolist())


def squeeze(chain: Chain, _operation: Operation) -> None:
    """Remove the sides of length one."""
    chain.reshape([-1, *(side for side in chain.foreign_shape[1:] if side != 1)])


def strided_slice(chain: Chain, operation: Operation) -> None:
    """Append a crop of rows and columns, from begin to end."""
    begin, end, strides = (operation.constant(i).ravel().tolist() for i in (1, 2, 3))
    masks = operation.attributes
    whole = [
        bool(masks.get('begin_mask', 0) >> i & masks.get('end_mask', 0) >> i & 1) for i in range(4)
    ]
    others = any(masks.get(f'{name}_mask', 0) for name in ('ellipsis', 'new_axis', 'shrink_axis'))
    if len(begin) not in (3, 4) or set(strides) != {1} or others or chain.channels_first:
        raise ModelError(f'{operation.name} of this kind is not supported')
    if not whole[0] or (len(begin) == 4 and not whole[3]):
        raise ModelError(f'{operation.name} over other axes than rows and columns')
    for axis in (1, 2):
        begin[axis] = 0 if masks.get('begin_mask', 0) >> axis & 1 else begin[axis]
        end[axis] = TO_THE_END if masks.get('end_mask', 0) >> axis & 1 else end[axis]
    chain.crop(begin[1:3], end[1:3])


def fold_strided_slice(operation: Operation) -> Array:
    """Return a part of a constant row, such as one side of a shape."""
    value, begin, end = (operation.constant(i) for i in range(3))
    if value.ndim != 1 or begin.size != 1:
        raise ModelError(f'{operation.name} of a table is not supported')
    masks = operation.attributes
    first_, last = int(begin.ravel()[0]), int(end.ravel()[0])
    if masks.get('shrink_axis_mask', 0):
        return np.asarray(value[first_])
    return value[
        None if masks.get('begin_mask', 0) else first_ : None if masks.get('end_mask', 0) else last
    ]
