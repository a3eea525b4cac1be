# SPDX-License-Identifier: Apache-2.0
"""Reads the weights of an HDF5 file in its order, without following links to other files."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ModelError
from steering_net.model_io.importers.keras_graph import NETWORKS, Stored
from steering_net.model_io.importers.layers import Weights
from steering_net.model_io.importers.limits import MAX_WEIGHT_BYTES, check_bytes

_CONTAINERS = ('layers', '_layer_checkpoint_dependencies')


def attribute(group: Any, name: str) -> str:
    """Return a text attribute of an HDF5 group, '' if it is missing."""
    value = group.attrs.get(name, '')
    return value.decode('utf-8') if isinstance(value, bytes) else str(value)


def read_weights(
    file: Any, stored: Sequence[Stored], count: Callable[[Stored], int]
) -> list[Weights]:
    """Return the weights of all layers with weights, in the order of the layers.

    `file` is an open h5py.File, and `stored` are all layers in order, because the format of
    Keras 3 names its groups by class. `count` is the number of arrays that a layer has. Raises
    ModelError for a file without weights, with links to other files, or that is too large.
    """
    reader = _Reader()
    if 'model_weights' in file or 'layer_names' in file.attrs or 'layer_names0' in file.attrs:
        root = reader.group(file, 'model_weights') if 'model_weights' in file else file
        is_keras_3 = attribute(root, 'keras_version').startswith('3')
        layers = [
            weights
            for name, layer in _named(_names(root, 'layer_names'), stored)
            for weights in _divided(list(reader.by_names(root, name)), layer, count, is_keras_3)
        ]
    else:
        layers = list(_numbered(reader, file, stored))
    return [tuple(weights) for weights in layers if weights]


def _named(names: Sequence[str], stored: Sequence[Stored]) -> Iterator[tuple[str, Stored | None]]:
    """Yield the stored names with their layers.

    A file may have more layers than its description, such as an InputLayer, or fewer, without
    operations. A file of weights alone may have other names than its description.
    """
    described_as = {layer.name: layer for layer in stored}
    if set(names) <= set(described_as):
        yield from ((name, described_as[name]) for name in names)
        return
    if len(names) == len(stored):
        yield from zip(names, stored, strict=True)
        return
    described = [layer for layer in stored if layer.kind != 'InputLayer']
    if len(names) == len(described):
        yield from zip(names, described, strict=True)
        return
    yield from ((name, None) for name in names)


def _divided(
    arrays: list[NDArray[np.float32]],
    layer: Stored | None,
    count: Callable[[Stored], int],
    is_keras_3: bool,
) -> list[list[NDArray[np.float32]]]:
    """Return the arrays of each layer of a network inside, of which the file has one list.

    Keras stores all arrays that can be trained, and then all others. A BatchNormalization has two
    of the others, mean and variance, and a layer that is not trainable has only others. Keras 3
    stores the arrays of a network that is not trainable layer by layer, whatever its layers are.
    """
    if layer is None or layer.kind not in NETWORKS:
        return [arrays]
    leaves = [(leaf, count(leaf)) for leaf in layer.leaves() if count(leaf)]
    if sum(number for _, number in leaves) != len(arrays):
        return [arrays]
    by_layer = is_keras_3 and not layer.trainable
    trained = [0 if by_layer else _trained(leaf, number) for leaf, number in leaves]
    first, last, divided = 0, sum(trained), []
    for (_, number), learnt in zip(leaves, trained, strict=True):
        others = number - learnt
        divided.append([*arrays[first : first + learnt], *arrays[last : last + others]])
        first, last = first + learnt, last + others
    return divided


def _trained(leaf: Stored, number: int) -> int:
    if not leaf.trainable:
        return 0
    others = {'BatchNormalization': 2, 'Normalization': number}
    kind = leaf.kind.removesuffix('V1').removesuffix('V2')
    return number - others.get(kind, 0)


def _numbered(
    reader: '_Reader', parent: Any, stored: Sequence[Stored]
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the weights of each layer in the format of Keras 3, also of networks inside."""
    container = next((name for name in _CONTAINERS if name in parent), None)
    if container is None:
        raise ModelError('it holds no weights')
    root = reader.group(parent, container)
    for name, layer in zip(_groups([layer.kind for layer in stored]), stored, strict=True):
        if layer.kind in NETWORKS and name in root:
            yield from _numbered(reader, reader.group(root, name), layer.children)
        else:
            yield list(reader.by_number(root, name))


def _names(group: Any, attribute_name: str) -> list[str]:
    """Return a list of names; a list too long for one attribute is in numbered attributes."""
    values = group.attrs.get(attribute_name)
    if values is None:
        values, part = [], 0
        while (chunk := group.attrs.get(f'{attribute_name}{part}')) is not None:
            values.extend(chunk)
            part += 1
    return [v.decode('utf-8') if isinstance(v, bytes) else str(v) for v in values]


def _groups(class_names: Sequence[str]) -> Iterator[str]:
    """Yield the groups of Keras 3: the class in snake case, numbered from the second one on."""
    seen: dict[str, int] = {}
    for name in class_names:
        spaced = re.sub(r'\W+', '', name)
        spaced = re.sub(r'(.)([A-Z][a-z]+)', r'\1_\2', spaced)
        stem = re.sub(r'([a-z])([A-Z])', r'\1_\2', spaced).lower()
        count = seen[stem] = seen.get(stem, -1) + 1
        yield f'{stem}_{count}' if count else stem


class _Reader:
    """Reads arrays, and limits their total size before reading."""

    def __init__(self) -> None:
        self._bytes = 0

    def group(self, parent: Any, path: str) -> Any:
        """Return a group or dataset by hard links only, because others can lead to other files."""
        import h5py

        for name in path.strip('/').split('/'):
            if not isinstance(parent, h5py.Group) or name not in parent:
                raise ModelError(f'it lacks {path}')
            if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
                raise ModelError(f'{path} is stored outside of this file')
            parent = parent[name]
        return parent

    def by_names(self, root: Any, layer: str) -> Iterator[NDArray[np.float32]]:
        """Yield the weights of a layer in the format of Keras 1 and 2."""
        group = self.group(root, layer)
        for name in _names(group, 'weight_names'):
            yield self._array(self.group(group, name))

    def by_number(self, root: Any, layer: str) -> Iterator[NDArray[np.float32]]:
        """Yield the weights of a layer in the format of Keras 3."""
        if layer not in root:
            return
        variables = self.group(root, f'{layer}/vars')
        for number in range(len(variables)):
            yield self._array(self.group(variables, str(number)))

    def _array(self, dataset: Any) -> NDArray[np.float32]:
        import h5py

        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in 'fiu':
            raise ModelError('a weight is not an array of numbers')
        if dataset.external or dataset.is_virtual:
            raise ModelError(f'{dataset.name} is stored outside of this file')
        self._bytes += 4 * dataset.size  # as float32
        check_bytes(self._bytes, MAX_WEIGHT_BYTES, 'all weights together')
        return np.asarray(dataset[()], np.float32)
