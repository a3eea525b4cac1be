"""Origin of a network: facts from its file, stored as JSON beside the LiteRT file."""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import READ_ERRORS

_SCALES_PIXELS = 0.1
"""A network that scales its input by less expects pixels of 0 to 255, not of 0 to 1."""


@dataclass(frozen=True)
class Origin:
    """Facts about a network from its file, besides its weights.

    `saved_by` is a program and its version, `layers` a line for each layer. `scales_pixels` is
    whether its first layers scale 0..255 to a small range, None if that is unknown. `input_shape`
    is (h, w, 3), None if it is unknown.
    """

    saved_by: str = ''
    scales_pixels: bool | None = None
    layers: tuple[str, ...] = ()
    input_shape: tuple[int, int, int] | None = None

    @property
    def is_keras_1(self) -> bool:
        """Whether Keras 1 saved it, at a time when OpenCV was older than 3.2."""
        return self.saved_by.startswith('Keras 1')


UNKNOWN = Origin()
"""The origin of a network without any known facts."""


def describe(model: Any, saved_by: str) -> Origin:
    """Return the origin of a `keras.Model`."""
    kinds = [layer for layer in model.layers if type(layer).__name__ != 'InputLayer']
    height, width, channels = model.inputs[0].shape[1:]
    lines = tuple(_line(layer) for layer in kinds)
    return Origin(saved_by, _scales_pixels(kinds), lines, (height, width, channels))


def _line(layer: Any) -> str:
    config, kind = layer.get_config(), type(layer).__name__
    shown = {
        'Activation': ('activation',),
        'Conv2D': ('filters', 'kernel_size', 'strides', 'activation'),
        'Cropping2D': ('cropping',),
        'Dense': ('units', 'activation'),
        'Dropout': ('rate',),
        'Rescaling': ('scale', 'offset'),
    }.get(kind, ())
    return ' '.join([kind, *(_short(config[key]) for key in shown)])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:g}'
    if isinstance(value, list):
        return f'({len(value)} values)'
    return str(value).replace(' ', '')


def _scales_pixels(layers: list[Any]) -> bool:
    """Whether the layers before the first weights scale pixels of 0..255 to a small range."""
    import keras

    for layer in layers:
        kind = type(layer).__name__
        if kind == 'Rescaling' and np.max(np.abs(layer.scale)) < _SCALES_PIXELS:
            return True
        variance = {'Normalization': 'variance', 'BatchNormalization': 'moving_variance'}
        if kind in variance:
            values = keras.ops.convert_to_numpy(getattr(layer, variance[kind]))
            return float(np.mean(values)) > 1.0
        if kind in ('Conv2D', 'Dense', 'DepthwiseConv2D', 'SeparableConv2D'):
            return False
    return False


def origin_path(litert: Path) -> Path:
    """Return the path of the origin's file beside a converted network."""
    return litert.with_suffix('.origin.json')


def write_origin(litert: Path, origin: Origin) -> None:
    """Write an origin beside a converted network."""
    text = json.dumps(asdict(origin), indent=2) + '\n'
    write_atomically(origin_path(litert), text.encode())


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file that appears only when it is complete; create its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix='.part')
    with os.fdopen(handle, 'wb') as part:
        part.write(content)
    # Readable for all, because mkstemp makes private files and networks are shared.
    os.chmod(name, 0o644)
    os.replace(name, target)


def read_origin(litert: Path) -> Origin:
    """Return the origin that `write_origin` wrote; an empty Origin if it is missing or broken."""
    try:
        fields = json.loads(origin_path(litert).read_text(encoding='utf-8'))
        shape = fields['input_shape']
        return Origin(
            fields['saved_by'],
            fields['scales_pixels'],
            tuple(fields['layers']),
            (shape[0], shape[1], shape[2]) if shape else None,
        )
    except READ_ERRORS:
        return Origin()
