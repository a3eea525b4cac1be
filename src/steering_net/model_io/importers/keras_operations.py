# SPDX-License-Identifier: Apache-2.0
"""Translates operations of functional networks, such as x / 127.5 or x[:, 60:135], into layers."""

from collections.abc import Callable
from typing import Any

from steering_net.errors import ModelError
from steering_net.model_io.importers.keras_calls import Call, Ref
from steering_net.model_io.importers.keras_layers import NotSupportedError, as_dict
from steering_net.model_io.importers.layers import MERGING, Layer
from steering_net.model_io.importers.limits import Json

_TF_KERAS = ('TFOpLambda', 'TensorFlowOpLayer', 'SlicingOpLambda')
_SYNONYMS = {
    'divide': 'truediv', 'get_item': 'getitem', 'true_divide': 'truediv', 'clip_by_value': 'clip',
    'arctan': 'atan', 'div': 'truediv', 'realdiv': 'truediv',
}  # fmt: skip
_ACTIVATIONS = ('elu', 'relu', 'relu6', 'selu', 'sigmoid', 'softmax', 'softplus', 'tanh')
_NOTHING = ('cast', 'identity', 'stop_gradient', 'convert_to_tensor')
_NEVER_LAYERS = (
    'Arctan', 'Cast', 'Divide', 'Elu', 'GetItem', 'Negative', 'Relu', 'Relu6', 'Selu', 'Sigmoid',
    'Softplus', 'Tanh', 'TrueDivide',
)  # fmt: skip


def is_operation(entry: dict[str, Json], call: Call) -> bool:
    """Whether a described layer is a function that was called, and not one of Keras' layers.

    The operation Add has the name of a layer. It takes two arguments, and the layer one list.
    """
    kind = entry['class_name']
    if kind in _TF_KERAS or kind in _NEVER_LAYERS:
        return True
    return kind in MERGING and not (
        len(call.arguments) == 1 and isinstance(call.arguments[0], list)
    )


def read_operation(name: str, entry: dict[str, Json], call: Call) -> list[Layer]:
    """Return the layers for an operation; NotSupportedError, naming it, for an unknown one."""
    operation = _operation(entry)
    arguments = [*call.arguments, *(v for k, v in call.named.items() if k != 'name')]
    if operation in _BINARY:
        return _binary(name, operation, arguments)
    if operation == 'getitem':
        return [_slice(name, arguments[1] if len(arguments) > 1 else None)]
    if operation in _NOTHING:
        return []
    if operation in _ACTIVATIONS:
        return [_activation(name, operation, entry, call)]
    if operation == 'atan':
        return [Layer('Arctan', name)]
    if operation == 'negative':
        return [_rescaling(name, -1.0, 0.0)]
    raise NotSupportedError(f'operation {name} is a {operation}, which is not supported')


def _activation(name: str, operation: str, entry: dict[str, Json], call: Call) -> Layer:
    """Return the layer for an activation function; it takes the frame, and ELU its alpha."""
    settings = {key: value for key, value in call.named.items() if not isinstance(value, Ref)}
    if entry['class_name'] not in _TF_KERAS:
        # An operation of Keras 3 has its settings in its description.
        settings |= as_dict(entry.get('config'), 'operation')
    usual = {'name': name, 'alpha': 1.0, 'axis': -1}
    odd = {
        k: v for k, v in settings.items() if v is not None and k != 'name' and v != usual.get(k)
    }
    others = [value for value in call.arguments if not isinstance(value, Ref)]
    if operation == 'elu' and set(odd) == {'alpha'} and not others:
        return Layer('ELU', name, {'alpha': float(odd['alpha'])})
    if odd or others:
        told = ', '.join([*odd, *map(str, others)])[:60]
        raise NotSupportedError(f'operation {name} is a {operation} with {told}')
    return Layer('Activation', name, {'activation': operation})


def _operation(entry: dict[str, Json]) -> str:
    kind, config = entry['class_name'], entry.get('config')
    if kind in _TF_KERAS and isinstance(config, dict):
        kind = str(config.get('function') or config.get('node_def') or kind)
        word = kind.rpartition('.')[2]
    else:
        word = ''.join(f'_{c.lower()}' if c.isupper() else c for c in kind).lstrip('_')
    return _SYNONYMS.get(word, word)


_BINARY: dict[str, tuple[str, Callable[[float], tuple[float, float]]]] = {
    # The layer for two tensors; for x and a number, scale and offset.
    'add': ('Add', lambda number: (1.0, number)),
    'subtract': ('Subtract', lambda number: (1.0, -number)),
    'multiply': ('Multiply', lambda number: (number, 0.0)),
    'truediv': ('', lambda number: (1.0 / number, 0.0)),
    'maximum': ('Maximum', lambda _: (0.0, 0.0)),
    'minimum': ('Minimum', lambda _: (0.0, 0.0)),
}


def _binary(name: str, operation: str, arguments: list[Any]) -> list[Layer]:
    merging, affine = _BINARY[operation]
    first, second, *_ = [*arguments, None, None]
    if isinstance(first, list) and len(arguments) == 1 and len(first) == 2:
        first, second = first
    if isinstance(first, Ref) and isinstance(second, Ref) and merging:
        return [Layer(merging, name)]
    number = second if isinstance(first, Ref) else first
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise NotSupportedError(f'operation {name} is a {operation} with {str(number)[:40]}')
    if isinstance(first, Ref):
        if operation == 'truediv' and not number:
            raise ModelError(f'operation {name} divides by zero')
        scale, offset = affine(float(number))
    elif operation == 'subtract':
        scale, offset = -1.0, float(number)
    elif operation in ('add', 'multiply'):
        scale, offset = affine(float(number))
    else:
        raise NotSupportedError(f'operation {name} is a {operation} by the frame')
    if not scale:
        raise NotSupportedError(f'operation {name} is a {operation} with a number')
    return [_rescaling(name, scale, offset)]


def _rescaling(name: str, scale: float, offset: float) -> Layer:
    return Layer('Rescaling', name, {'scale': scale, 'offset': offset})


def _slice(name: str, spans: Any) -> Layer:
    """Return the layer for x[:, rows, columns, :]; NotSupportedError for other slices."""
    spans = spans if isinstance(spans, list) else [spans]
    whole = slice(None)
    if ... in spans:
        # It stands for all the axes that are not named.
        place = spans.index(...)
        spans = [*spans[:place], *[whole] * (5 - len(spans)), *spans[place + 1 :]]
    good = 1 <= len(spans) <= 4 and all(
        isinstance(span, slice) and span.step in (None, 1) for span in spans
    )
    spans = (spans + [whole] * 4)[:4]
    if not good or any(span.start not in (None, 0) or span.stop for span in (spans[0], spans[3])):
        raise NotSupportedError(f'operation {name} slices more than rows and columns')
    rows, columns = ([span.start, span.stop] for span in spans[1:3])
    if not all(side is None or isinstance(side, int) for side in (*rows, *columns)):
        raise NotSupportedError(f'operation {name} slices at places that are computed')
    return Layer('Slice', name, {'rows': rows, 'columns': columns})
