# SPDX-License-Identifier: Apache-2.0
"""Chain: turns the tensor operations of ONNX, TensorFlow and LiteRT into Keras layers.

An importer appends one operation after the other. The tensor that flows through the chain always
has channels last, as in Keras. If the imported graph has channels first, weights are transposed
instead of tensors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ModelError
from steering_net.model_io.importers.layers import Layer, resizing
from steering_net.model_io.importers.limits import MAX_LAYERS, check_values

Array = NDArray[Any]
FIRST_TO_LAST = (0, 2, 3, 1)
LAST_TO_FIRST = (0, 3, 1, 2)
_MAX_OPERATIONS = MAX_LAYERS * 4
_MERGING = ('Conv2D', 'Dense', 'DepthwiseConv2D')


@dataclass(frozen=True)
class Flow:
    """The tensor after `number` operations; only the newest one may be used."""

    number: int


class Chain:
    """The layers so far, and the shape of their output without the batch."""

    def __init__(self, shape: Sequence[int]) -> None:
        """Start with the input shape of the graph, (h, w, c) or, channels first, (c, h, w)."""
        if len(shape) != 3 or min(shape) < 1:
            raise ModelError(f'it takes {tuple(shape)}, not one colour frame')
        self.channels_first = shape[0] in (1, 3) and shape[2] not in (1, 3)
        last = (*shape[1:], shape[0]) if self.channels_first else tuple(shape)
        self.input_shape = (int(last[0]), int(last[1]), int(last[2]))
        self.layers: list[Layer] = []
        self.flow = Flow(0)
        self._shape: tuple[int, ...] = self.input_shape
        self._order: Array | None = None
        check_values(self._shape, 'the input')

    @property
    def foreign_shape(self) -> tuple[int, ...]:
        """The shape of the tensor in the imported graph, -1 for the batch."""
        if len(self._shape) == 3 and self.channels_first:
            return (-1, self._shape[2], *self._shape[:2])
        return (-1, *self._shape)

    def conv(
        self,
        kernel: Array,
        strides: Sequence[int],
        padding: str | Sequence[int],
        *,
        dilations: Sequence[int] = (1, 1),
        groups: int = 1,
        depthwise: bool = False,
    ) -> None:
        """Convolve with a kernel (rows, columns, in, out).

        The padding is valid, same, or (top, left, bottom, right).
        """
        padding = self._pad(padding)
        rows, columns, _, out = kernel.shape
        arguments = {
            'kernel_size': [rows, columns],
            'strides': _ints(strides),
            'padding': padding,
            'dilation_rate': _ints(dilations),
            'use_bias': False,
        }
        if depthwise:
            arguments['depth_multiplier'] = out
            out *= self._shape[-1]
            self._add('DepthwiseConv2D', arguments, kernel)
        else:
            self._add('Conv2D', arguments | {'filters': out, 'groups': groups}, kernel)
        self._slide((rows, columns), strides, padding, dilations, out)

    def pool(
        self, kind: str, size: Sequence[int], strides: Sequence[int], padding: str | Sequence[int]
    ) -> None:
        """Pool with a window; `kind` is MaxPooling2D or AveragePooling2D."""
        if not isinstance(padding, str) and any(padding):
            raise ModelError('a pooling with explicit padding is not supported')
        padding = padding if isinstance(padding, str) else 'valid'
        arguments = {'pool_size': _ints(size), 'strides': _ints(strides), 'padding': padding}
        self._add(kind, arguments)
        self._slide(size, strides, padding, (1, 1), self._shape[-1])

    def global_pool(self, kind: str, keepdims: bool) -> None:
        """Pool the whole plane; `kind` is GlobalAveragePooling2D or GlobalMaxPooling2D."""
        self._add(kind, {'keepdims': keepdims})
        channels = self._shape[-1]
        self._shape = (1, 1, channels) if keepdims else (channels,)

    def dense(self, kernel: Array) -> None:
        """Multiply by a matrix (in, out)."""
        if len(self._shape) != 1 or kernel.ndim != 2 or kernel.shape[0] != self._shape[0]:
            raise ModelError(f'a matrix {kernel.shape} does not fit {self._shape}')
        if self._order is not None:
            kernel, self._order = kernel[self._order], None
        self._add('Dense', {'units': int(kernel.shape[1]), 'use_bias': False}, kernel)
        self._shape = (int(kernel.shape[1]),)

    def add(self, value: Array) -> None:
        """Add a constant: one number, or one for each channel."""
        value = self._by_channel(value)
        before = self.layers[-1] if self.layers else None
        if before is not None and before.kind in _MERGING and 'activation' not in before.arguments:
            bias = np.broadcast_to(value, self._shape[-1:]).astype(np.float32)
            if before.arguments['use_bias']:
                kernel, bias = before.weights[0], before.weights[1] + bias
            else:
                kernel = before.weights[0]
            arguments = before.arguments | {'use_bias': True}
            self.layers[-1] = replace(before, arguments=arguments, weights=(kernel, bias))
        elif before is not None and before.kind == 'Rescaling':
            self._rescale(before, before.arguments['scale'], before.arguments['offset'] + value)
        else:
            self._add('Rescaling', {'scale': 1.0, 'offset': _plain(value)})
        self._step()

    def multiply(self, value: Array) -> None:
        """Multiply by a constant: one number, or one for each channel."""
        value = self._by_channel(value)
        before = self.layers[-1] if self.layers else None
        if before is not None and before.kind == 'Rescaling':
            scale, offset = (np.asarray(before.arguments[k]) for k in ('scale', 'offset'))
            self._rescale(before, scale * value, offset * value)
        else:
            self._add('Rescaling', {'scale': _plain(value), 'offset': 0.0})
        self._step()

    def activate(self, name: str) -> None:
        """Append an activation without parameters."""
        before = self.layers[-1] if self.layers else None
        if before is not None and before.kind in _MERGING and 'activation' not in before.arguments:
            arguments = before.arguments | {'activation': name}
            self.layers[-1] = replace(before, arguments=arguments)
            self._step()
        else:
            self.apply('Activation', {'activation': name})

    def apply(self, kind: str, arguments: dict[str, Any] | None = None) -> None:
        """Append a layer that keeps the shape and treats all values alike."""
        self._add(kind, arguments or {})

    def keep(self) -> None:
        """Append nothing."""
        self._step()

    def batch_norm(self, statistics: Sequence[Array], epsilon: float) -> None:
        """Normalise each channel with its (gamma, beta, mean, variance)."""
        values = [self._by_channel(value) for value in statistics]
        full = [np.broadcast_to(v, self._shape[-1:]).astype(np.float32) for v in values]
        self._add('BatchNormalization', {'epsilon': epsilon}, *full)

    def transpose(self, order: Sequence[int]) -> None:
        """Swap the axes, only between channels first and channels last."""
        turn = LAST_TO_FIRST if not self.channels_first else FIRST_TO_LAST
        if len(self._shape) != 3 or tuple(order) != turn:
            raise ModelError(f'axes are swapped to {tuple(order)}, which is not supported')
        self.channels_first = not self.channels_first
        self._step()

    def reshape(self, shape: Sequence[int]) -> None:
        """Flatten, or keep the shape; as in ONNX, sides may be -1 (computed) or 0 (kept)."""
        now = self.foreign_shape
        target = [
            now[i] if side == 0 and i < len(now) else int(side) for i, side in enumerate(shape)
        ]
        size, sides = math.prod(now[1:]), [s for s in target[1:] if s != 1]
        flat = len(target) == 2 and target[1] in (size, -1) and (target[0] in (-1, 1))
        if tuple(target[1:]) == now[1:] or (size == 1 and not sides):
            self._step()
        elif flat or (len(sides) <= 1 and math.prod(sides) in (size, -1)):
            self.flatten()
        else:
            raise ModelError(f'{now} is reshaped to {tuple(shape)}, which is not supported')

    def flatten(self) -> None:
        """Make one row of all values, in the order of the imported graph."""
        if len(self._shape) == 3:
            places = np.arange(math.prod(self._shape)).reshape(self._shape)
            if self.channels_first:
                # For each value here, its index in the row of the imported graph.
                foreign = np.empty(places.size, np.int64)
                foreign[places.transpose(2, 0, 1).ravel()] = np.arange(places.size)
                self._order = foreign
            self._add('Flatten', {})
            self._shape = (places.size,)
        else:
            self._step()

    def pad(self, before: Sequence[int], after: Sequence[int]) -> None:
        """Pad rows and columns with zeros."""
        self._pad([*before, *after])
        self._step()

    def crop(self, begin: Sequence[int], end: Sequence[int]) -> None:
        """Keep the rows and columns from `begin` up to `end`; negative ends count from the end."""
        if len(self._shape) != 3:
            raise ModelError('only a frame can be cropped')
        spans = [
            slice(int(a), int(b)).indices(side)
            for a, b, side in zip(begin, end, self._shape[:2], strict=True)
        ]
        (top, bottom, _), (left, right, _) = spans[0], spans[1]
        if top >= bottom or left >= right:
            raise ModelError('nothing is left after a crop')
        height, width, channels = self._shape
        cropping = [[top, height - bottom], [left, width - right]]
        self._add('Cropping2D', {'cropping': cropping})
        self._shape = (bottom - top, right - left, channels)

    def resize(self, height: int, width: int, method: str) -> None:
        """Resize rows and columns: `bilinear`, `nearest`, or a method of `resampling`."""
        if len(self._shape) != 3 or min(height, width) < 1:
            raise ModelError(f'{self._shape} is resized to {(height, width)}')
        self._add(*resizing(height, width, method))
        self._shape = (height, width, self._shape[2])
        check_values(self._shape, 'a resizing')

    def finish(self) -> tuple[Layer, ...]:
        """Return the layers; ModelError if their output is an image."""
        if self._order is not None or (len(self._shape) == 3 and math.prod(self._shape) != 1):
            raise ModelError(f'it has the output {self._shape}; it must be one number')
        if len(self._shape) == 3:
            self._add('Flatten', {})
        return tuple(self.layers)

    def _step(self) -> None:
        self.flow = Flow(self.flow.number + 1)
        if self.flow.number > _MAX_OPERATIONS:
            raise ModelError(f'it has more than the {_MAX_OPERATIONS} operations allowed')

    def _add(self, kind: str, arguments: dict[str, Any], *weights: Array) -> None:
        name = f'{kind.lower()}_{len(self.layers)}'
        arrays = tuple(np.asarray(w, np.float32) for w in weights)
        self.layers.append(Layer(kind, name, arguments, arrays))
        self._step()

    def _rescale(self, before: Layer, scale: Any, offset: Any) -> None:
        arguments = {'scale': _plain(scale), 'offset': _plain(offset)}
        self.layers[-1] = replace(before, arguments=arguments)

    def _pad(self, padding: str | Sequence[int]) -> str:
        """Add a layer for explicit padding; return the padding left for the next layer."""
        if isinstance(padding, str):
            return padding
        top, left, bottom, right = _ints(padding)
        if min(top, left, bottom, right) < 0 or len(self._shape) != 3:
            raise ModelError(f'a padding by {tuple(padding)} is not supported')
        if top or left or bottom or right:
            self._add('ZeroPadding2D', {'padding': [[top, bottom], [left, right]]})
            height, width, channels = self._shape
            self._shape = (height + top + bottom, width + left + right, channels)
            check_values(self._shape, 'a padding')
        return 'valid'

    def _slide(
        self,
        window: Sequence[int],
        strides: Sequence[int],
        padding: str,
        dilations: Sequence[int],
        channels: int,
    ) -> None:
        if len(self._shape) != 3 or min(*window, *strides, *dilations) < 1:
            raise ModelError(f'a window of {tuple(window)} does not fit {self._shape}')
        sides = []
        for side, size, stride, dilation in zip(
            self._shape[:2], window, strides, dilations, strict=True
        ):
            reach = 0 if padding == 'same' else (size - 1) * dilation
            sides.append(math.ceil((side - reach) / stride))
        if min(sides) < 1:
            raise ModelError(f'a window of {tuple(window)} does not fit {self._shape}')
        self._shape = (*sides, channels)
        check_values(self._shape, 'a layer')

    def _by_channel(self, value: Array) -> Array:
        """Return a constant as a number or (channels,), in Keras' order; ModelError for others."""
        value = np.asarray(value, np.float64)
        if value.size == 1:
            return value.reshape(())
        foreign = self.foreign_shape
        axis = 1 if self.channels_first or len(foreign) == 2 else len(foreign) - 1
        full = (1,) * (len(foreign) - value.ndim) + value.shape
        if value.ndim == 1 and len(foreign) == 4 and self.channels_first:
            full = (1, value.size, 1, 1)
        expected = tuple(foreign[axis] if i == axis else 1 for i in range(len(foreign)))
        if full != expected:
            raise ModelError(f'a constant {value.shape} is not one value for each channel')
        value = value.ravel()
        return value if self._order is None else value[self._order]


def _ints(values: Sequence[int]) -> list[int]:
    return [int(value) for value in values]


def _plain(value: Any) -> Any:
    """Return a number or a list of numbers, as in a layer's description."""
    return np.asarray(value, np.float64).tolist()
