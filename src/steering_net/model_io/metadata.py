# SPDX-License-Identifier: Apache-2.0
"""Origin of a network: facts from its file, stored as JSON beside the LiteRT file."""

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import READ_ERRORS
from steering_net.model_io.files import write_atomically
from steering_net.model_io.network_files import ORIGIN_SUFFIX

_SCALES_PIXELS = 0.1
"""A network that scales its input by less expects pixels of 0 to 255, not of 0 to 1."""
_BY_PIXEL = ('Activation', 'BatchNormalization', 'Dropout', 'Normalization', 'Rescaling')
"""Layers whose output at a pixel depends on their input at that pixel only."""


@dataclass(frozen=True)
class Origin:
    """Facts about a network from its file, besides its weights.

    `saved_by` is a program and its version, `layers` a line for each layer. `scales_pixels` is
    whether its first layers scale 0..255 to a small range, None if that is unknown. `input_shape`
    is (h, w, 3), None if it is unknown. `rows` is the half-open range of the input's rows that
    remain if its first layers crop the others; None if all remain, or if it is unknown.
    """

    saved_by: str = ''
    scales_pixels: bool | None = None
    layers: tuple[str, ...] = ()
    input_shape: tuple[int, int, int] | None = None
    rows: tuple[int, int] | None = None

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
    shape = (height, width, channels)
    return Origin(saved_by, _scales_pixels(kinds), lines, shape, _rows_that_count(kinds, height))


def _rows_that_count(layers: list[Any], height: int) -> tuple[int, int] | None:
    """Return the rows that remain after a `Cropping2D`, if only per-pixel layers precede it."""
    before = [*itertools.takewhile(lambda layer: type(layer).__name__ in _BY_PIXEL, layers)]
    if len(before) == len(layers) or type(layers[len(before)]).__name__ != 'Cropping2D':
        return None
    if not _is_chain(layers):
        return None
    (top, bottom), _ = layers[len(before)].cropping
    return (top, height - bottom)


def _is_chain(layers: list[Any]) -> bool:
    """Whether each layer works on what the one before it puts out, and on nothing else."""
    try:
        return all(after.input is before.output for before, after in itertools.pairwise(layers))
    except AttributeError:
        # A layer that is used twice has no single input.
        return False


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
        if kind == 'Dense' and not layer.trainable:
            # It resizes the frame (`importers.resampling`).
            continue
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
    return litert.with_suffix(ORIGIN_SUFFIX)


def write_origin(litert: Path, origin: Origin) -> None:
    """Write an origin beside a converted network."""
    text = json.dumps(asdict(origin), indent=2) + '\n'
    write_atomically(origin_path(litert), text.encode())


def read_origin(litert: Path) -> Origin:
    """Return the origin that `write_origin` wrote; an empty Origin if it is missing or broken."""
    try:
        fields = json.loads(origin_path(litert).read_text(encoding='utf-8'))
        shape, rows = fields['input_shape'], fields['rows']
        return Origin(
            fields['saved_by'],
            fields['scales_pixels'],
            tuple(fields['layers']),
            (shape[0], shape[1], shape[2]) if shape else None,
            (rows[0], rows[1]) if rows else None,
        )
    except READ_ERRORS:
        return Origin()
