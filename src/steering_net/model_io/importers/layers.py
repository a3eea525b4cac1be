# SPDX-License-Identifier: Apache-2.0
"""Allow-list of layers, and `build`, which makes a Keras model of them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import READ_ERRORS, ModelError, one_line
from steering_net.model_io.importers.colour_operations import hsv
from steering_net.model_io.importers.limits import MAX_LAYERS, check_values
from steering_net.model_io.importers.resampling import resampled

Shape: TypeAlias = tuple[int, ...]
Weights: TypeAlias = tuple[NDArray[np.float32], ...]
Arguments: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """One layer: a kind of KINDS, its arguments and weights as in Keras 3.

    `parents` are the numbers of the layers that it takes, in a list of layers; -1 is the frame.
    None: the layer before.
    """

    kind: str
    name: str
    arguments: Arguments = field(default_factory=dict)
    weights: Weights = ()
    parents: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Kind:
    """Allowed arguments of a kind of layer, and the shapes of its weights for an input shape."""

    arguments: tuple[str, ...]
    weight_shapes: Callable[[Arguments, Shape], list[Shape]] = lambda _arguments, _shape: []


ACTIVATIONS = (
    'linear', 'relu', 'relu6', 'elu', 'selu', 'gelu', 'tanh', 'sigmoid', 'softplus', 'softsign',
    'swish', 'silu', 'leaky_relu', 'exponential', 'mish', 'hard_sigmoid', 'softmax',
)  # fmt: skip


FRAME_CHANNELS = (1, 3)

TO_LAST, TO_FIRST = (2, 3, 1), (3, 1, 2)
"""Axes, counted from 1, of an image that turn it from channels first to last, and back."""

GREY_OF_TENSORFLOW = np.array([0.2989, 0.587, 0.114], np.float32).reshape(1, 1, 3, 1)
"""The kernel of `tf.image.rgb_to_grayscale`."""


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _bias(arguments: Arguments, size: int) -> list[Shape]:
    return [(size,)] if arguments.get('use_bias', True) else []


def _conv(arguments: Arguments, shape: Shape) -> list[Shape]:
    filters = int(arguments['filters'])
    channels = shape[-1] // int(arguments.get('groups', 1))
    kernel = (*_pair(arguments['kernel_size']), channels, filters)
    return [kernel, *_bias(arguments, filters)]


def _depthwise(arguments: Arguments, shape: Shape) -> list[Shape]:
    depth = int(arguments.get('depth_multiplier', 1))
    kernel = (*_pair(arguments['kernel_size']), shape[-1], depth)
    return [kernel, *_bias(arguments, shape[-1] * depth)]


def _separable(arguments: Arguments, shape: Shape) -> list[Shape]:
    filters, depth = int(arguments['filters']), int(arguments.get('depth_multiplier', 1))
    depthwise = (*_pair(arguments['kernel_size']), shape[-1], depth)
    pointwise = (1, 1, shape[-1] * depth, filters)
    return [depthwise, pointwise, *_bias(arguments, filters)]


def _dense(arguments: Arguments, shape: Shape) -> list[Shape]:
    units = int(arguments['units'])
    return [(shape[-1], units), *_bias(arguments, units)]


def _transposed(arguments: Arguments, shape: Shape) -> list[Shape]:
    filters = int(arguments['filters'])
    return [(*_pair(arguments['kernel_size']), filters, shape[-1]), *_bias(arguments, filters)]


def _side(shape: Shape, axis: int) -> int:
    """Return the length of an axis; axes count from the batch, which `shape` has not."""
    return shape[axis if axis < 0 else axis - 1]


def _learnt(arguments: Arguments) -> int:
    return sum(bool(arguments.get(name, True)) for name in ('scale', 'center'))


def _batch_norm(arguments: Arguments, shape: Shape) -> list[Shape]:
    side = _side(shape, int(arguments.get('axis', -1)))
    return [(side,)] * (_learnt(arguments) + 2)


def _layer_norm(arguments: Arguments, shape: Shape) -> list[Shape]:
    axis = arguments.get('axis', -1)
    axes = axis if isinstance(axis, list) else [axis]
    return [tuple(_side(shape, int(axis)) for axis in axes)] * _learnt(arguments)


def _group_norm(arguments: Arguments, shape: Shape) -> list[Shape]:
    return [(_side(shape, int(arguments.get('axis', -1))),)] * _learnt(arguments)


def _prelu(arguments: Arguments, shape: Shape) -> list[Shape]:
    shared = arguments.get('shared_axes') or ()
    return [tuple(1 if axis + 1 in shared else side for axis, side in enumerate(shape))]


_CONV = ('kernel_size', 'strides', 'padding', 'dilation_rate', 'activation', 'use_bias')
_POOL = ('pool_size', 'strides', 'padding')
_RESIZE = (
    'height', 'width', 'interpolation', 'crop_to_aspect_ratio', 'pad_to_aspect_ratio', 'fill_mode',
    'fill_value',
)  # fmt: skip
MERGING = ('Add', 'Average', 'Concatenate', 'Maximum', 'Minimum', 'Multiply', 'Subtract')
"""Kinds that take several layers."""
INTERNAL = ('Arctan', 'Hsv', 'Resample', 'Slice')
"""Kinds that are no layers of Keras; `build` makes operations or other layers of them."""
KINDS = {
    'Activation': Kind(('activation',)),
    **{kind: Kind(('axis',) if kind == 'Concatenate' else ()) for kind in MERGING},
    'Arctan': Kind(()),
    'CenterCrop': Kind(('height', 'width')),
    'AlphaDropout': Kind(('rate',)),
    'AveragePooling2D': Kind(_POOL),
    'BatchNormalization': Kind(('axis', 'epsilon', 'center', 'scale'), _batch_norm),
    'Conv2D': Kind((*_CONV, 'filters', 'groups'), _conv),
    'Conv2DTranspose': Kind((*_CONV, 'filters', 'output_padding'), _transposed),
    'Cropping2D': Kind(('cropping',)),
    'Dense': Kind(('units', 'activation', 'use_bias'), _dense),
    'DepthwiseConv2D': Kind((*_CONV, 'depth_multiplier'), _depthwise),
    'Dropout': Kind(('rate',)),
    'ELU': Kind(('alpha',)),
    'Flatten': Kind(()),
    'GaussianDropout': Kind(('rate',)),
    'GaussianNoise': Kind(('stddev',)),
    'GlobalAveragePooling2D': Kind(('keepdims',)),
    'GlobalMaxPooling2D': Kind(('keepdims',)),
    'GroupNormalization': Kind(('groups', 'axis', 'epsilon', 'center', 'scale'), _group_norm),
    'Hsv': Kind(()),
    'LayerNormalization': Kind(('axis', 'epsilon', 'center', 'scale'), _layer_norm),
    'LeakyReLU': Kind(('negative_slope',)),
    'MaxPooling2D': Kind(_POOL),
    'Normalization': Kind(('axis', 'mean', 'variance', 'invert')),
    'PReLU': Kind(('shared_axes',), _prelu),
    'Permute': Kind(('dims',)),
    'ReLU': Kind(('max_value', 'negative_slope', 'threshold')),
    'Rescaling': Kind(('scale', 'offset')),
    'Reshape': Kind(('target_shape',)),
    'Resample': Kind(('height', 'width', 'method')),
    'Resizing': Kind(_RESIZE),
    'SeparableConv2D': Kind((*_CONV, 'filters', 'depth_multiplier'), _separable),
    'Slice': Kind(('rows', 'columns')),
    'Softmax': Kind(('axis',)),
    'SpatialDropout2D': Kind(('rate',)),
    'UnitNormalization': Kind(('axis',)),
    'UpSampling2D': Kind(('size', 'interpolation')),
    'ZeroPadding2D': Kind(('padding',)),
}
"""The allow-list: kinds of layers, with the arguments that change their output."""


def resizing(height: int, width: int, method: str) -> tuple[str, Arguments]:
    """Return kind and arguments of the layer that resizes a frame.

    `method` is `bilinear`, `nearest`, or a method of `resampling`.
    """
    size = {'height': height, 'width': width}
    if method in ('bilinear', 'nearest'):
        return 'Resizing', size | {'interpolation': method}
    return 'Resample', size | {'method': method}


def weighted(layer: Layer) -> bool:
    """Whether a layer has weights, according to its description."""
    return count_weights(layer) > 0


def count_weights(layer: Layer) -> int:
    """Return the number of a layer's arrays of weights, according to its description."""
    return len(KINDS[layer.kind].weight_shapes(layer.arguments, (1, 1, 1)))


def build(layers: Sequence[Layer], input_shape: Shape, outputs: Sequence[int] = ()) -> Any:
    """Return the uncompiled `keras.Model` of layers for inputs (h, w, c).

    Layers for inputs (c, h, w) get the frame with its axes turned.
    `outputs` are the numbers of the layers that are outputs; without any it is the last one. The
    shapes of the weights are checked before memory is allocated for them. Raises ModelError,
    naming the layer, if one does not fit.
    """
    import keras

    if len(layers) > MAX_LAYERS:
        raise ModelError(f'it has {len(layers)} layers, more than the {MAX_LAYERS} allowed')
    check_values(input_shape, 'the input')
    frame, start = _inputs(input_shape)
    made = [start]
    names: set[str] = {'frame', 'to_first'}
    for number, layer in enumerate(layers):
        parents = (number - 1,) if layer.parents is None else layer.parents
        # The frame stands first.
        taken = [made[parent + 1] for parent in parents]
        try:
            made.append(_append(layer, taken, _unique(layer, names)))
        except ModelError:
            raise
        except READ_ERRORS as error:
            raise ModelError(f'layer {layer.name}: {one_line(error)}') from error
    ends = [made[number + 1] for number in outputs] or made[-1:]
    return keras.Model(frame, ends if len(ends) > 1 else ends[0])


def _inputs(shape: Shape) -> tuple[Any, Any]:
    """Return the frame, (h, w, c), and what the layers take: it, or it as (c, h, w)."""
    import keras

    if shape[0] not in FRAME_CHANNELS or shape[2] in FRAME_CHANNELS:
        frame = keras.Input(shape, name='frame')
        return frame, frame
    frame = keras.Input((*shape[1:], shape[0]), name='frame')
    return frame, keras.layers.Permute(TO_FIRST, name='to_first')(frame)


def _append(layer: Layer, taken: Sequence[Any], name: str) -> Any:
    import keras

    if layer.kind in MERGING:
        check_values((len(taken), *taken[0].shape[1:]), f'layer {layer.name}')
        return getattr(keras.layers, layer.kind)(name=name, **layer.arguments)(list(taken))
    if len(taken) != 1:
        raise ModelError(f'layer {layer.name} takes {len(taken)} inputs, not one')
    x = taken[0]
    expected = KINDS[layer.kind].weight_shapes(layer.arguments, tuple(x.shape[1:]))
    actual = [weights.shape for weights in layer.weights]
    if expected != actual:
        raise ModelError(f'layer {layer.name} needs weights {expected}, the file has {actual}')
    if not all(np.isfinite(weights).all() for weights in layer.weights):
        raise ModelError(f'layer {layer.name} has weights that are not finite numbers')
    if layer.kind == 'Arctan':
        # With two arguments, because LiteRT has no arc tangent of one.
        return keras.ops.arctan2(x, keras.ops.ones_like(x))
    if layer.kind == 'Hsv':
        return hsv(x)
    if layer.kind == 'Slice':
        cropping = _cropping(layer, tuple(x.shape[1:]))
        return keras.layers.Cropping2D(cropping, name=name)(x)
    if layer.kind == 'Resample':
        return resampled(x, name=name, **layer.arguments)
    made = getattr(keras.layers, layer.kind)(name=name, **layer.arguments)
    y = made(x)
    check_values(y.shape[1:], f'layer {layer.name}')
    if layer.weights:
        made.set_weights(list(layer.weights))
    return y


def _cropping(layer: Layer, shape: Shape) -> list[list[int]]:
    """Return the cropping of a Slice; its ends may be None, or count from the other end."""
    if len(shape) != 3:
        raise ModelError(f'layer {layer.name} slices {shape}, which is not a frame')
    cropping = []
    for side, key in zip(shape, ('rows', 'columns'), strict=False):
        first, last, _ = slice(*layer.arguments[key]).indices(side)
        if first >= last:
            raise ModelError(f'layer {layer.name} leaves nothing of a side of {side}')
        cropping.append([first, side - last])
    return cropping


def _unique(layer: Layer, taken: set[str]) -> str:
    """Return a name that Keras accepts: that of the layer if possible, numbered if it is taken."""
    stem = re.sub(r'[^A-Za-z0-9_]', '_', layer.name)[:60].strip('_') or layer.kind.lower()
    name, number = stem, 1
    while name in taken:
        name, number = f'{stem}_{number}', number + 1
    taken.add(name)
    return name
