# SPDX-License-Identifier: Apache-2.0
"""Reads the description of a network by Keras 1, 2 or 3, as data, into a chain of layers."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steering_net.errors import ModelError
from steering_net.model_io.importers.lambda_bytecode import Affine, BytecodeError, recognise
from steering_net.model_io.importers.layers import ACTIVATIONS, KINDS, Arguments, Layer
from steering_net.model_io.importers.limits import MAX_ARGUMENT, read_json

Json = Any

_RENAMED_KINDS = {
    'AveragePool2D': 'AveragePooling2D',
    'AvgPool2D': 'AveragePooling2D',
    'BatchNormalizationV1': 'BatchNormalization',
    'BatchNormalizationV2': 'BatchNormalization',
    'Convolution2D': 'Conv2D',
    'DepthwiseConvolution2D': 'DepthwiseConv2D',
    'GlobalAvgPool2D': 'GlobalAveragePooling2D',
    'GlobalMaxPool2D': 'GlobalMaxPooling2D',
    'MaxPool2D': 'MaxPooling2D',
    'SeparableConvolution2D': 'SeparableConv2D',
}
_RENAMED_ARGUMENTS = {
    'bias': 'use_bias',
    'border_mode': 'padding',
    'nb_filter': 'filters',
    'output_dim': 'units',
    'p': 'rate',
    'sigma': 'stddev',
    'subsample': 'strides',
}
_WITHOUT_EFFECT = {
    # They affect training, names, or values that the weights replace, but not the output.
    'autocast', 'batch_input_shape', 'batch_shape', 'beta_init', 'build_config', 'dtype',
    'gamma_init', 'init', 'input_dim', 'input_dtype', 'input_shape', 'momentum', 'module', 'name',
    'noise_shape', 'ragged', 'renorm_momentum', 'seed', 'sparse', 'trainable',
}  # fmt: skip
_TRAINING_SUFFIXES = ('_constraint', '_initializer', '_regularizer')
_ACTIVATION_LAYERS = ('ELU', 'LeakyReLU', 'PReLU', 'ReLU')


class NotAChainError(ModelError):
    """A network with branches, or with a layer that is not on the allow-list."""


@dataclass(frozen=True)
class Architecture:
    """A chain of layers without their weights.

    `input_shape` is (h, w, c), None if it is not described. `keras` is the version that saved it,
    '' if unknown. `stored` are the layers in the order of the file, which is the order of the
    weights, as (class name, number of layers in the chain made from it).
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[int, int, int] | None
    keras: str
    stored: tuple[tuple[str, int], ...]


def parse_config(text: str | bytes) -> dict[str, Json]:
    """Return a network's description from JSON, even if encoded twice; ModelError for others."""
    value: Json = read_json(text)
    if isinstance(value, str):
        value = read_json(value)
    if not is_config(value):
        raise ModelError('this JSON describes no Keras network')
    return dict(value)


def is_config(value: Json) -> bool:
    """Whether parsed JSON is the description of a Keras network."""
    return isinstance(value, dict) and isinstance(value.get('class_name'), str)


def read_config(config: dict[str, Json], keras: str = '') -> Architecture:
    """Return the chain of layers of a description.

    Raises NotAChainError for branches and for layers that are not on the allow-list, and
    ModelError, naming the layer, for any other fault.
    """
    inner = config.get('config')
    entries = inner if isinstance(inner, list) else _dict(inner, 'config').get('layers')
    if not isinstance(entries, list) or not entries:
        raise ModelError('it has no layers')
    entries = [_dict(entry, 'layer') for entry in entries]
    keras = str(config.get('keras_version', keras))
    if config['class_name'] != 'Sequential':
        _check_chain(entries, _dict(inner, 'config'))
    read = [_read_layer(entry, keras) for entry in entries]
    return Architecture(
        tuple(layer for layers in read for layer in layers),
        _input_shape(entries, inner),
        keras,
        tuple(
            (_text(entry, 'class_name'), len(layers))
            for entry, layers in zip(entries, read, strict=True)
        ),
    )


def _dict(value: Json, what: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ModelError(f'its {what} is no JSON object')
    return value


def _text(entry: dict[str, Json], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise ModelError(f'a layer has no {key}')
    return value


def _name(entry: dict[str, Json]) -> str:
    inner = _dict(entry.get('config'), 'layer')
    return str(inner.get('name') or entry.get('name') or entry.get('class_name'))[:80]


def _check_chain(entries: list[dict[str, Json]], model: dict[str, Json]) -> None:
    """Raise NotAChainError unless the only input of each layer is the output of the one before."""
    before: list[str] = []
    for entry in entries:
        if sorted(set(_parents(entry.get('inbound_nodes')))) != before:
            raise NotAChainError(f'layer {_name(entry)} does not follow the one before it')
        before = [_name(entry)]
    ends = list(_parents(model.get('output_layers')))
    if ends != before:
        raise NotAChainError(f'its output is that of {", ".join(ends) or "no layer"}')


def _parents(nodes: Json) -> Iterator[str]:
    """Yield the names of layers in nested lists of nodes: [name, node, tensor, ...]."""
    if isinstance(nodes, dict):
        for value in nodes.values():
            yield from _parents(value)
    elif isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
            yield nodes[0]
            nodes = nodes[3:]
        for value in nodes:
            yield from _parents(value)


def _input_shape(entries: list[dict[str, Json]], model: Json) -> tuple[int, int, int] | None:
    first = _dict(entries[0]['config'], 'layer')
    shapes = [first.get(key) for key in ('batch_input_shape', 'batch_shape')]
    if isinstance(model, dict):
        shapes.append(model.get('build_input_shape'))
    if isinstance(first.get('input_shape'), list):
        shapes.append([None, *first['input_shape']])
    for shape in shapes:
        if isinstance(shape, list) and len(shape) == 4 and all(_is_side(s) for s in shape[1:]):
            return (shape[1], shape[2], shape[3])
    if any(isinstance(shape, list) and len(shape) != 4 for shape in shapes):
        raise ModelError(f'it takes {next(s for s in shapes if s)}, not one colour frame')
    return None


def _is_side(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ARGUMENT


def _read_layer(entry: dict[str, Json], keras: str) -> list[Layer]:
    """Return the chain's layers for a described layer: none, itself, or it and its activation."""
    kind, name = _text(entry, 'class_name'), _name(entry)
    config = dict(_dict(entry.get('config'), 'layer'))
    if kind == 'InputLayer':
        return []
    if kind == 'Lambda':
        return [_read_lambda(name, config)]
    kind = _RENAMED_KINDS.get(kind, kind)
    registered = entry.get('registered_name')
    if kind not in KINDS or kind == 'Arctan' or registered not in (None, kind):
        raise NotAChainError(f'layer {name} is a {registered or kind}, which is not supported')
    config = _modern(kind, name, config)
    activation = _activation_layer(name, config)
    arguments = _known(kind, name, config)
    _check_activation(name, arguments, keras)
    return [Layer(kind, name, arguments), *activation]


def _modern(kind: str, name: str, config: Arguments) -> Arguments:
    """Return the arguments with their names in Keras 3."""
    rows, columns = config.pop('nb_row', None), config.pop('nb_col', None)
    config = {_RENAMED_ARGUMENTS.get(key, key): value for key, value in config.items()}
    if rows is not None:
        config['kernel_size'] = [rows, columns]
    order = config.pop('dim_ordering', None) or config.pop('data_format', None)
    config.pop('data_format', None)
    if order not in (None, 'tf', 'default', 'channels_last'):
        raise ModelError(f'layer {name} has channels first ({order}); frames have them last')
    if kind == 'LeakyReLU' and 'alpha' in config:
        config['negative_slope'] = config.pop('alpha')
    if kind == 'BatchNormalization' and config.pop('mode', 0) != 0:
        raise ModelError(f'layer {name} normalises in a mode that only Keras 1 had')
    return config


def _known(kind: str, name: str, config: Arguments) -> Arguments:
    """Return the arguments that change the output; ModelError for an unknown one."""
    allowed = KINDS[kind].arguments
    arguments = {}
    for key, value in config.items():
        if key in allowed:
            arguments[key] = value
            _check_argument(name, key, value)
        elif key not in _WITHOUT_EFFECT and not key.endswith(_TRAINING_SUFFIXES) and value:
            # The suffixes include W_regularizer and the like of Keras 1.
            raise ModelError(f'layer {name} has an argument {key} that is not supported')
    return arguments


def _check_argument(name: str, key: str, value: Json) -> None:
    values = value if isinstance(value, list) else [value]
    flat = [v for part in values for v in (part if isinstance(part, list) else [part])]
    if not all(
        v is None
        or isinstance(v, str)
        or (isinstance(v, int | float) and abs(v) <= MAX_ARGUMENT)
        or (key == 'activation' and isinstance(v, dict))
        or (key in ('mean', 'variance') and isinstance(v, list))
        for v in flat
    ):
        raise ModelError(f'layer {name}: {key} cannot be {str(value)[:60]}')


def _activation_layer(name: str, config: Arguments) -> list[Layer]:
    """Return the layer for an activation given as an object, and set `config` to linear."""
    value = config.get('activation')
    if not isinstance(value, dict):
        return []
    kind, inner = value.get('class_name'), value.get('config')
    if kind == 'function' and isinstance(inner, str):
        config['activation'] = inner
        return []
    if kind not in _ACTIVATION_LAYERS or not isinstance(inner, dict):
        raise ModelError(f'layer {name} has an activation {kind} that is not supported')
    config['activation'] = 'linear'
    after = f'{name}_activation'
    return [Layer(kind, after, _known(kind, after, _modern(kind, after, dict(inner))))]


def _check_activation(name: str, arguments: Arguments, keras: str) -> None:
    activation = arguments.get('activation')
    if 'activation' in arguments and activation is None:
        arguments['activation'] = 'linear'
        return
    if activation is not None and activation not in ACTIVATIONS:
        raise ModelError(f'layer {name} has an activation {activation} that is not supported')
    if activation == 'hard_sigmoid' and not keras.startswith('3'):
        raise ModelError(f'layer {name}: hard_sigmoid was another function before Keras 3')


def _read_lambda(name: str, config: Arguments) -> Layer:
    """Return the Rescaling that a Lambda layer computes; ModelError, naming it, for others."""
    try:
        if config.get('arguments'):
            raise BytecodeError('it takes arguments of its own')
        function = recognise(_code_of(config.get('function')))
    except (BytecodeError, binascii.Error) as error:
        raise ModelError(
            f'layer {name} is a Lambda that does more than to scale pixels ({error}); '
            'code from a file is never run: put a Rescaling or another built-in layer there'
        ) from error
    return rescaling(name, function)


def rescaling(name: str, function: Affine) -> Layer:
    """Return a layer that computes `x * scale + offset`."""
    return Layer('Rescaling', name, {'scale': function.scale, 'offset': function.offset})


def _code_of(function: Json) -> bytes:
    """Return the marshalled code of a lambda of Keras 1 (text), 2 (list) or 3 (object)."""
    defaults = closure = None
    if isinstance(function, dict):
        if function.get('class_name') != '__lambda__':
            raise BytecodeError('it calls a function by its name')
        inner = _dict(function.get('config'), 'lambda')
        function, defaults, closure = (inner.get(k) for k in ('code', 'defaults', 'closure'))
    elif isinstance(function, list) and len(function) == 3:
        function, defaults, closure = function
    if not isinstance(function, str):
        raise BytecodeError('it has no code')
    if defaults or closure:
        raise BytecodeError('it has defaults or a closure')
    try:
        return base64.b64decode(''.join(function.split()).encode('ascii'), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return function.encode('raw_unicode_escape')
