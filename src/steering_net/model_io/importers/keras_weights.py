"""Read the weights of an HDF5 file in its own order, without following it anywhere else."""

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
    """Return a text attribute of an HDF5 group, '' where there is none."""
    value = group.attrs.get(name, '')
    return value.decode('utf-8') if isinstance(value, bytes) else str(value)


def read_weights(file: Any, class_names: Sequence[str]) -> list[Weights]:
    """Return the weights of all layers that have some, in the order of the layers.

    `file` is an open h5py.File, `class_names` the classes of all layers in order, by which the
    format of Keras 3 names its groups. Raises ModelError for a file without weights, for one
    that refers to other files, and for one that is too large.
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
    """A list of names; one that is too long for an attribute is split into numbered ones."""
    values = group.attrs.get(attribute_name)
    if values is None:
        values, part = [], 0
        while (chunk := group.attrs.get(f'{attribute_name}{part}')) is not None:
            values.extend(chunk)
            part += 1
    return [v.decode('utf-8') if isinstance(v, bytes) else str(v) for v in values]


def _groups(class_names: Sequence[str]) -> Iterator[str]:
    """The groups of Keras 3: the class in snake case, numbered from the second one on."""
    seen: dict[str, int] = {}
    for name in class_names:
        spaced = re.sub(r'\W+', '', name)
        spaced = re.sub(r'(.)([A-Z][a-z]+)', r'\1_\2', spaced)
        stem = re.sub(r'([a-z])([A-Z])', r'\1_\2', spaced).lower()
        count = seen[stem] = seen.get(stem, -1) + 1
        yield f'{stem}_{count}' if count else stem


class _Reader:
    """Reads arrays and adds up their sizes before they are read."""

    def __init__(self) -> None:
        self._bytes = 0

    def group(self, parent: Any, path: str) -> Any:
        """A group or dataset, reached by hard links only: others may lead to another file."""
        import h5py

        for name in path.strip('/').split('/'):
            if not isinstance(parent, h5py.Group) or name not in parent:
                raise ModelError(f'it lacks {path}')
            if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
                raise ModelError(f'{path} lies somewhere else than in this file')
            parent = parent[name]
        return parent

    def by_names(self, root: Any, layer: str) -> Iterator[NDArray[np.float32]]:
        """The weights of a layer in the format of Keras 1 and 2."""
        group = self.group(root, layer)
        for name in _names(group, 'weight_names'):
            yield self._array(self.group(group, name))

    def by_number(self, root: Any, layer: str) -> Iterator[NDArray[np.float32]]:
        """The weights of a layer in the format of Keras 3."""
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
            raise ModelError(f'{dataset.name} lies somewhere else than in this file')
        self._bytes += dataset.size * 8
        check_bytes(self._bytes // 2, MAX_WEIGHT_BYTES, 'all weights together')
        return np.asarray(dataset[()], np.float32)
