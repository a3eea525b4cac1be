# SPDX-License-Identifier: Apache-2.0
"""Translates one layer described by Keras 1, 2 or 3, as data, into layers of the allow-list."""

import base64
import binascii
from collections.abc import Iterator

from steering_net.errors import ModelError
from steering_net.model_io.importers.lambda_marshal import BytecodeError
from steering_net.model_io.importers.lambda_meaning import recognise
from steering_net.model_io.importers.lambda_steps import Affine, Clip, Crop, Resize, Step
from steering_net.model_io.importers.layers import (
    ACTIVATIONS,
    GREY_OF_TENSORFLOW,
    INTERNAL,
    KINDS,
    TO_FIRST,
    TO_LAST,
    Arguments,
    Layer,
    resizing,
)
from steering_net.model_io.importers.limits import MAX_ARGUMENT, Json

_RENAMED_KINDS = {
    'AveragePool2D': 'AveragePooling2D',
    'Convolution2DTranspose': 'Conv2DTranspose',
    'Deconvolution2D': 'Conv2DTranspose',
    'ThresholdedReLU': 'ReLU',
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
_WHILE_TRAINING = {
    # They change their input while training only.
    'ActivityRegularization', 'AugMix', 'CutMix', 'Identity', 'MixUp', 'RandAugment',
    'RandomBrightness', 'RandomColorDegeneration', 'RandomColorJitter', 'RandomContrast',
    'RandomElasticTransform', 'RandomErasing', 'RandomFlip', 'RandomGaussianBlur',
    'RandomGrayscale', 'RandomHeight', 'RandomHue', 'RandomInvert', 'RandomPerspective',
    'RandomPosterization', 'RandomRotation', 'RandomSaturation', 'RandomSharpness', 'RandomShear',
    'RandomTranslation', 'RandomWidth', 'RandomZoom',
}  # fmt: skip
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
_FRACTIONS = {
    'alpha', 'epsilon', 'fill_value', 'max_value', 'mean', 'negative_slope', 'offset', 'rate',
    'scale', 'stddev', 'threshold', 'variance',
}  # fmt: skip
"""Arguments that may be no whole numbers."""
_NEUTRAL = {'groups': 1}
"""Values of arguments that say what a layer does without them."""
_TRAINING_SUFFIXES = ('_constraint', '_initializer', '_regularizer')
_FLATTENING = ('Flatten', 'GlobalAveragePooling2D', 'GlobalMaxPooling2D')
_ACTIVATION_LAYERS = ('ELU', 'LeakyReLU', 'PReLU', 'ReLU')


class NotSupportedError(ModelError):
    """A layer that is not on the allow-list, or a network of another form than a graph of them."""


def as_dict(value: Json, what: str) -> dict[str, Json]:
    """Return a JSON object; ModelError, naming it, for other JSON."""
    if not isinstance(value, dict):
        raise ModelError(f'its {what} is not a JSON object')
    return value


def text_of(entry: dict[str, Json], key: str) -> str:
    """Return a text of a layer; ModelError if it is missing."""
    value = entry.get(key)
    if not isinstance(value, str):
        raise ModelError(f'a layer has no {key}')
    return value


def name_of(entry: dict[str, Json]) -> str:
    """Return the name of a layer."""
    inner = as_dict(entry.get('config'), 'layer')
    return str(inner.get('name') or entry.get('name') or entry.get('class_name'))[:80]


def read_layer(entry: dict[str, Json], keras: str) -> list[Layer]:
    """Return the layers for a described layer: none, itself, or it and its activation.

    Raises NotSupportedError for a layer that is not on the allow-list, and ModelError, naming the
    layer, for any other fault.
    """
    kind, name = text_of(entry, 'class_name'), name_of(entry)
    config = dict(as_dict(entry.get('config'), 'layer'))
    if kind in _WHILE_TRAINING:
        return []
    if kind == 'Lambda':
        return _read_lambda(name, config)
    kind = _RENAMED_KINDS.get(kind, kind)
    registered = entry.get('registered_name')
    if kind not in KINDS or kind in INTERNAL or registered not in (None, kind):
        raise NotSupportedError(f'layer {name} is a {registered or kind}, which is not supported')
    first = _has_channels_first(name, config)
    config = _modern(kind, name, config)
    activation = _activation_layer(name, config)
    arguments = _known(kind, name, config)
    axis = arguments.get('axis')
    if kind == 'BatchNormalization' and isinstance(axis, list):
        # tf.keras stores its only axis in a list.
        if len(axis) != 1:
            raise ModelError(f'layer {name} normalises over the axes {axis}')
        arguments['axis'] = axis[0]
    _check_activation(name, arguments, keras)
    layer = Layer(kind, name, arguments)
    return [*(_turned(layer) if first else [layer]), *activation]


def _has_channels_first(name: str, config: Arguments) -> bool:
    """Remove the order of the axes from the arguments; return whether the channels are first."""
    orders = {config.pop(key, None) for key in ('data_format', 'dim_ordering')} - {None, 'default'}
    if not orders <= {'tf', 'th', 'channels_last', 'channels_first'}:
        raise ModelError(f'layer {name} has its axes in the order {str(orders)[:60]}')
    return bool(orders & {'th', 'channels_first'})


def _turned(layer: Layer) -> list[Layer]:
    """Return a layer for channels first: one for channels last, between two turns of the axes."""
    to_last = Layer('Permute', f'{layer.name}_to_last', {'dims': list(TO_LAST)})
    to_first = Layer('Permute', f'{layer.name}_to_first', {'dims': list(TO_FIRST)})
    is_flat = layer.kind in _FLATTENING and not layer.arguments.get('keepdims')
    return [to_last, layer, *([] if is_flat else [to_first])]


def _modern(kind: str, name: str, config: Arguments) -> Arguments:
    """Return the arguments with their names in Keras 3."""
    rows, columns = config.pop('nb_row', None), config.pop('nb_col', None)
    config = {_RENAMED_ARGUMENTS.get(key, key): value for key, value in config.items()}
    if rows is not None:
        config['kernel_size'] = [rows, columns]
    if kind == 'LeakyReLU' and 'alpha' in config:
        config['negative_slope'] = config.pop('alpha')
    if kind == 'ReLU' and 'theta' in config:
        # A ThresholdedReLU of Keras 2.
        config['threshold'] = config.pop('theta')
    if kind == 'BatchNormalization' and config.pop('mode', 0) != 0:
        raise ModelError(f'layer {name} normalises in a mode that only Keras 1 had')
    return config


def _known(kind: str, name: str, config: Arguments) -> Arguments:
    """Return the arguments that change the output; ModelError for an unknown one."""
    allowed = KINDS[kind].arguments
    arguments = {}
    for key, value in config.items():
        if key in allowed:
            _check_argument(name, key, value)
            arguments[key] = value if key in _FRACTIONS else _whole(name, key, value)
        elif key in _WITHOUT_EFFECT or key.endswith(_TRAINING_SUFFIXES):
            continue
        elif value and value != _NEUTRAL.get(key):
            # The suffixes include W_regularizer and the like of Keras 1.
            raise ModelError(f'layer {name} has an argument {key} that is not supported')
    return arguments


def _whole(name: str, key: str, value: Json) -> Json:
    """Return an argument with whole numbers, which some programs store as 66.0."""
    if isinstance(value, list):
        return [_whole(name, key, part) for part in value]
    if isinstance(value, float):
        if not value.is_integer():
            raise ModelError(f'layer {name}: {key} cannot be {value}')
        return int(value)
    return value


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


def _read_lambda(name: str, config: Arguments) -> list[Layer]:
    """Return the layers that do what a Lambda layer does; ModelError, naming it, for others."""
    try:
        steps = recognise(*_function_of(config.get('function')), config.get('arguments'))
    except (BytecodeError, binascii.Error) as error:
        raise ModelError(
            f'layer {name} is a Lambda that does more than to prepare frames ({error}); '
            'code from a file is never run: put a Rescaling, Cropping2D, Resizing or another '
            'built-in layer there'
        ) from error
    return [layer for step in steps for layer in _of_step(name, step)]


def _of_step(name: str, step: Step) -> Iterator[Layer]:
    """Yield the layers that do one step."""
    if isinstance(step, Affine):
        yield Layer('Rescaling', name, {'scale': step.scale, 'offset': step.offset})
    elif isinstance(step, Clip):
        yield Layer('Rescaling', name, {'scale': 1.0, 'offset': -step.low})
        yield Layer('ReLU', name, {'max_value': step.high - step.low})
        yield Layer('Rescaling', name, {'scale': 1.0, 'offset': step.low})
    elif isinstance(step, Crop):
        yield Layer('Slice', name, {'rows': step.rows, 'columns': step.columns})
    elif isinstance(step, Resize):
        kind, arguments = resizing(step.height, step.width, step.method)
        yield Layer(kind, name, arguments)
    elif step.name == 'Grey':
        arguments = {'filters': 1, 'kernel_size': 1, 'use_bias': False}
        yield Layer('Conv2D', name, arguments, (GREY_OF_TENSORFLOW,))
    elif step.name in INTERNAL:
        yield Layer(step.name, name)
    else:
        yield Layer('Activation', name, {'activation': step.name})


def _function_of(function: Json) -> tuple[bytes, list[Json], list[Json]]:
    """Return code, defaults and closure of a lambda of Keras 1 (text), 2 (list) or 3 (object)."""
    defaults = closure = None
    if isinstance(function, dict):
        if function.get('class_name') != '__lambda__':
            raise BytecodeError('it calls a function by its name')
        inner = as_dict(function.get('config'), 'lambda')
        function, defaults, closure = (inner.get(k) for k in ('code', 'defaults', 'closure'))
    elif isinstance(function, list) and len(function) == 3:
        function, defaults, closure = function
    if not isinstance(function, str):
        raise BytecodeError('it has no code')
    if not all(isinstance(values, list | None) for values in (defaults, closure)):
        raise BytecodeError('its defaults or closure are broken')
    return _decoded(function), defaults or [], closure or []


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(''.join(text.split()).encode('ascii'), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return text.encode('raw_unicode_escape')
