# SPDX-License-Identifier: Apache-2.0
"""Reads files of Keras: `.keras`, `.h5`, and an architecture with weights in a second file."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from steering_net.errors import READ_ERRORS, ModelError, one_line
from steering_net.model_io.importers.keras_config import (
    Architecture,
    is_config,
    parse_config,
    read_config,
)
from steering_net.model_io.importers.keras_graph import Stored
from steering_net.model_io.importers.keras_layers import NotSupportedError
from steering_net.model_io.importers.keras_safe_mode import load_in_safe_mode
from steering_net.model_io.importers.keras_weights import attribute, read_weights
from steering_net.model_io.importers.layers import (
    Layer,
    Shape,
    Weights,
    build,
    count_weights,
    weighted,
)
from steering_net.model_io.importers.limits import (
    MAX_FILE_BYTES,
    MAX_JSON_BYTES,
    check_bytes,
    read_file,
    read_json,
    read_member,
)

USUAL_SHAPES = ((66, 200, 3), (160, 320, 3), (64, 64, 3))
"""Input shapes that are tried if a description has none; the weights fit only one of them."""


def read_archive(path: Path) -> tuple[Any, str]:
    """Return the `keras.Model` of a `.keras` file and the program that saved it."""
    check_bytes(path.stat().st_size, MAX_FILE_BYTES, path.name)
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith('data.pkl') for name in archive.namelist()):
            raise ModelError('it is a PyTorch file: export the network to ONNX')
        config = parse_config(read_member(archive, 'config.json', MAX_JSON_BYTES))
        version = ''
        if 'metadata.json' in archive.namelist():
            metadata = read_json(read_member(archive, 'metadata.json', MAX_JSON_BYTES))
            version = str(metadata.get('keras_version', ''))
        weights = io.BytesIO(read_member(archive, 'model.weights.h5'))
    with _open(weights) as file:
        return _model(path, config, version, file), _saved_by(version)


def read_h5(path: Path, architecture: Path | None = None) -> tuple[Any, str]:
    """Return the `keras.Model` of an HDF5 file and the program that saved it.

    A file of weights alone takes its layers from `architecture`, a JSON file.
    """
    check_bytes(path.stat().st_size, MAX_FILE_BYTES, path.name)
    with _open(path) as file:
        text = attribute(file, 'model_config')
        if text:
            version = attribute(file, 'keras_version')
            config = parse_config(text)
        elif architecture is not None:
            config = parse_config(read_file(architecture, MAX_JSON_BYTES))
            version = str(config.get('keras_version', ''))
        else:
            raise ModelError(
                'it holds weights only: give the architecture too, '
                f'as in `sim-bridge import-model ARCHITECTURE.json {path.name}`; if there is '
                'none, load the weights in the program that made them, and save the whole '
                "network by `model.save('whole.keras')`"
            )
        whole = None if architecture and not text else path
        return _model(whole, config, version, file), _saved_by(version)


def _saved_by(version: str) -> str:
    return f'Keras {version}'.strip()


def is_architecture(path: Path) -> bool:
    """Whether a file is the JSON description of a Keras network."""
    try:
        value = read_json(read_file(path, MAX_JSON_BYTES))
        return is_config(read_json(value) if isinstance(value, str) else value)
    except (OSError, ValueError, RecursionError):
        return False


@contextmanager
def _open(source: Any) -> Iterator[Any]:
    import h5py

    with h5py.File(source, 'r') as file:
        yield file


def _model(path: Path | None, config: dict[str, Any], version: str, file: Any) -> Any:
    """Return the network of a description and its weights.

    Keras builds it if it has layers of Keras that are not on the allow-list.
    """
    of_theano = (attribute(file, 'backend') or config.get('backend')) == 'theano'
    try:
        architecture = read_config(config, version)
    except NotSupportedError as error:
        if of_theano:
            raise ModelError(f'{error}; with Theano only the usual layers are known') from error
        harmful = next(_lambdas(config), None)
        if harmful is not None:
            raise ModelError(f'{error}; layer {harmful} is a Lambda') from error
        if path is None:
            raise
        try:
            return load_in_safe_mode(path, config, _sides(file))
        except READ_ERRORS as reason:
            raise ModelError(f'{error}; nor can Keras load it: {one_line(reason)}') from reason
    layers = _with_weights(architecture, file)
    return _build(architecture, [_turned(layer) for layer in layers] if of_theano else layers)


def _turned(layer: Layer) -> Layer:
    """Return a layer trained with Theano, whose convolution turns kernels by 180 degrees."""
    if layer.kind in ('DepthwiseConv2D', 'SeparableConv2D'):
        raise ModelError(f'layer {layer.name} is a {layer.kind} of Theano, which is not supported')
    if layer.kind != 'Conv2D':
        return layer
    kernel, *bias = layer.weights
    return replace(layer, weights=(kernel[::-1, ::-1], *bias))


def _lambdas(value: Any) -> Iterator[str]:
    """Yield the names of all Lambda layers in a nested description."""
    if isinstance(value, dict):
        inner = value.get('config')
        if value.get('class_name') in ('Lambda', '__lambda__'):
            yield str(inner.get('name') if isinstance(inner, dict) else value.get('name'))[:80]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _lambdas(item)


def _sides(file: Any) -> set[int]:
    """Return the lengths of the sides of all arrays in an HDF5 file."""
    sides: set[int] = set()
    file.visititems(lambda _, item: sides.update(getattr(item, 'shape', None) or ()))
    return sides


def _with_weights(architecture: Architecture, file: Any) -> list[Layer]:
    """Return the layers with the stored weights; a layer that is used twice has them twice."""
    layers = list(architecture.layers)
    leaves = [leaf for stored in architecture.stored for leaf in stored.leaves()]

    def takers(leaf: Stored) -> list[int]:
        return [n for use in leaf.uses for n in use if _takes_weights(architecture.layers[n])]

    needed = [leaf for leaf in leaves if takers(leaf)]
    counts = {id(leaf): _count(architecture.layers[takers(leaf)[0]]) for leaf in needed}
    found = read_weights(file, architecture.stored, lambda leaf: counts.get(id(leaf), 0))
    if len(needed) != len(found):
        raise ModelError(f'{len(needed)} layers need weights, the file has {len(found)}')
    for leaf, arrays in zip(needed, found, strict=True):
        for number in takers(leaf):
            layers[number] = _filled(layers[number], arrays)
    return layers


def _takes_weights(layer: Layer) -> bool:
    # A layer that has weights already is a part of a Lambda.
    return not layer.weights and (weighted(layer) or _is_adapted(layer))


def _count(layer: Layer) -> int:
    """Return the number of a layer's arrays in a file; a Normalization also counts its batches."""
    return 3 if _is_adapted(layer) else count_weights(layer)


def _is_adapted(layer: Layer) -> bool:
    return layer.kind == 'Normalization' and layer.arguments.get('mean') is None


def _filled(layer: Layer, arrays: Weights) -> Layer:
    if layer.kind == 'Conv2D' and _is_first(layer, arrays[0].shape):
        arrays = (arrays[0].transpose(2, 3, 1, 0), *arrays[1:])
    if layer.kind != 'Normalization':
        return replace(layer, weights=arrays)
    if len(arrays) < 2 or arrays[0].ndim > 1 or arrays[0].shape != arrays[1].shape:
        raise ModelError(f'layer {layer.name} has no mean and variance')
    learnt = {'mean': arrays[0].tolist(), 'variance': arrays[1].tolist()}
    return replace(layer, arguments=layer.arguments | learnt)


def _is_first(layer: Layer, shape: Shape) -> bool:
    """Whether a kernel is (filters, channels, h, w), as Keras 1 stored it with channels first."""
    filters, size = layer.arguments.get('filters'), layer.arguments.get('kernel_size')
    size = tuple(size) if isinstance(size, list) else (size, size)
    return shape[:2] != size and (shape[:1], shape[2:]) == ((filters,), size)


def _build(architecture: Architecture, layers: list[Layer]) -> Any:
    numbers = [number for _, number in architecture.outputs]
    if architecture.input_shape is not None:
        return build(layers, architecture.input_shape, numbers)
    return _build_for_usual_shape(layers, numbers)


def _build_for_usual_shape(layers: list[Layer], outputs: list[int]) -> Any:
    for shape in USUAL_SHAPES:
        try:
            return build(layers, shape, outputs)
        except ModelError as error:
            reason = error
    raise ModelError(f'the size of its frames is not stored, and no usual one fits: {reason}')
