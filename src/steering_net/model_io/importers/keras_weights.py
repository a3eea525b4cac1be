# SPDX-License-Identifier: Apache-2.0
"""Reads the weights of an HDF5 file in its order, without following links to other files."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ModelError
from steering_net.model_io.importers.layers import Weights
from steering_net.model_io.importers.limits import MAX_WEIGHT_BYTES, check_bytes

_CONTAINERS = ('layers', '_layer_checkpoint_dependencies')


def attribute(group: Any, name: str) -> str:
    """Return a text attribute of an HDF5 group, '' if it is missing."""
    value = group.attrs.get(name, '')
    return value.decode('utf-8') if isinstance(value, bytes) else str(value)


def read_weights(file: Any, class_names: Sequence[str]) -> list[Weights]:
    """Return the weights of all layers with weights, in the order of the layers.

    `file` is an open h5py.File. `class_names` are the classes of all layers in order, because the
    format of Keras 3 names its groups by class. Raises ModelError for a file without weights, with
    links to other files, or that is too large.
    """
    reader = _Reader()
    if 'model_weights' in file or 'layer_names' in file.attrs or 'layer_names0' in file.attrs:
        root = reader.group(file, 'model_weights') if 'model_weights' in file else file
        layers = [list(reader.by_names(root, name)) for name in _names(root, 'layer_names')]
    else:
        container = next((name for name in _CONTAINERS if name in file), None)
        if container is None:
            raise ModelError('it holds no weights')
        root = reader.group(file, container)
        layers = [list(reader.by_number(root, name)) for name in _groups(class_names)]
    return [tuple(weights) for weights in layers if weights]


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
            raise ModelError('a weight is no array of numbers')
        if dataset.external or dataset.is_virtual:
            raise ModelError(f'{dataset.name} is stored outside of this file')
        self._bytes += dataset.size * 8
        check_bytes(self._bytes // 2, MAX_WEIGHT_BYTES, 'all weights together')
        return np.asarray(dataset[()], np.float32)
