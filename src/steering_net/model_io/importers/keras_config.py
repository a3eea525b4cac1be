# SPDX-License-Identifier: Apache-2.0
"""Reads the description of a network by Keras 1, 2 or 3, as data: its layers and their order."""

from dataclasses import dataclass

from steering_net.errors import ModelError
from steering_net.model_io.importers.keras_graph import Stored, read_graph
from steering_net.model_io.importers.keras_layers import as_dict
from steering_net.model_io.importers.layers import Layer
from steering_net.model_io.importers.limits import MAX_ARGUMENT, Json, read_json

_FRAME = (160, 320)
"""Height and width of a network that takes frames of any size."""


@dataclass(frozen=True)
class Architecture:
    """A graph of layers without their weights.

    `outputs` are name and number of the layers that are outputs. `input_shape` is (h, w, c), None
    if it is not described. `keras` is the version that saved it, '' if unknown. `stored` are the
    described layers in the order of the file, which is the order of the weights.
    """

    layers: tuple[Layer, ...]
    outputs: tuple[tuple[str, int], ...]
    input_shape: tuple[int, int, int] | None
    keras: str
    stored: tuple[Stored, ...]


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
    """Return the layers of a description.

    Raises NotSupportedError for layers that are not on the allow-list, and ModelError, naming the
    layer, for any other fault.
    """
    keras = str(config.get('keras_version', keras))
    graph, stored, outputs = read_graph(config, keras)
    inner = config['config']
    entries = inner if isinstance(inner, list) else inner['layers']
    shape = _input_shape(entries, inner)
    return Architecture(tuple(graph.layers), tuple(outputs), shape, keras, tuple(stored))


def _input_shape(entries: list[dict[str, Json]], model: Json) -> tuple[int, int, int] | None:
    first = as_dict(entries[0]['config'], 'layer')
    shapes = [first.get(key) for key in ('batch_input_shape', 'batch_shape')]
    if isinstance(model, dict):
        shapes.append(model.get('build_input_shape'))
    if isinstance(first.get('input_shape'), list):
        shapes.append([None, *first['input_shape']])
    if isinstance(first.get('layers'), list) and first['layers']:
        # The first layer is a network itself.
        return _input_shape(first['layers'], first)
    for shape in shapes:
        if isinstance(shape, list) and len(shape) == 4 and _is_side(shape[3]):
            height, width = (
                usual if side is None else side
                for side, usual in zip(shape[1:3], _FRAME, strict=True)
            )
            if _is_side(height) and _is_side(width):
                return (int(height), int(width), int(shape[3]))
    if any(isinstance(shape, list) and len(shape) != 4 for shape in shapes):
        raise ModelError(f'it takes {next(s for s in shapes if s)}, not one colour frame')
    return None


def _is_side(value: Json) -> bool:
    """Whether a value is a length, perhaps stored as 66.0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= MAX_ARGUMENT and value == int(value)
