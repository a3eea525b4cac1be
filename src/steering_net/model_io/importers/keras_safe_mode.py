# SPDX-License-Identifier: Apache-2.0
"""Loads a network with layers that are not on the allow-list, by Keras in its safe mode.

Keras 3 in `safe_mode` refuses a Lambda and layers that are not its own, also in `.h5` files. The
description is checked before, because some of Keras' own layers read files or run code.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steering_net.errors import ModelError
from steering_net.model_io.importers.limits import MAX_ARGUMENT, MAX_JSON_BYTES, read_member

SAFE_KERAS = (3, 13, 1)
"""The first version whose loader follows no links to other HDF5 files (Python 3.11 and later)."""

_UNSAFE = {
    'FlaxLayer', 'Hashing', 'IntegerLookup', 'JaxLayer', 'Lambda', 'StringLookup', 'TFSMLayer',
    'TextVectorization', 'TorchModuleWrapper', '__lambda__',
}  # fmt: skip
_PARTS = {'Functional', 'Model', 'Sequential', 'DTypePolicy', 'Policy', '__keras_tensor__'}
_WEIGHTS = 'model.weights.h5'
_SPACES = ('layers', 'initializers', 'regularizers', 'constraints')
_COUNTS = ('units', 'filters', 'nb_filter', 'output_dim')
_NO_SIZES = ('seed', 'shared_object_id')
_LAYERS_OF_TF_KERAS = '_layer_checkpoint_dependencies'


def load_in_safe_mode(path: Path, config: dict[str, Any], sides: set[int]) -> Any:
    """Return the `keras.Model` of a file whose description has only Keras' own layers.

    `sides` are the lengths of all sides of the stored weights. A layer whose size is not among
    them is refused, with ModelError, before anything is built.
    """
    import keras

    if tuple(int(number) for number in keras.__version__.split('.')[:3]) < SAFE_KERAS:
        needed = '.'.join(map(str, SAFE_KERAS))
        raise ModelError(
            f'Keras is {keras.__version__}; it must be {needed} or later to load such a network '
            'safely: upgrade Keras'
        )
    config = _modern(config)
    for part in _objects(config.get('config')):
        _check_part(part, keras)
        for key in _COUNTS:
            if isinstance(part.get(key), int) and part[key] not in sides:
                raise ModelError(f'{key} {part[key]} has no weights in the file')
    with tempfile.TemporaryDirectory(prefix='sim_bridge-') as folder:
        copy = _copy(path, config, Path(folder))
        return keras.saving.load_model(copy, compile=False, safe_mode=True)


def _copy(path: Path, config: dict[str, Any], folder: Path) -> Path:
    """Return a copy of a file with another description, under a name that Keras 3 accepts."""
    import h5py

    if not zipfile.is_zipfile(path):
        copy = folder / 'network.h5'
        shutil.copyfile(path, copy)
        with h5py.File(copy, 'r+') as file:
            file.attrs['model_config'] = json.dumps(config)
        return copy
    copy, weights = folder / 'network.keras', folder / _WEIGHTS
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, 'w') as made:
        made.writestr('config.json', json.dumps(config))
        if 'metadata.json' in archive.namelist():
            made.writestr('metadata.json', read_member(archive, 'metadata.json', MAX_JSON_BYTES))
        weights.write_bytes(read_member(archive, _WEIGHTS))
        with h5py.File(weights, 'r+') as file:
            _rename_layers(file, set())
        made.write(weights, _WEIGHTS)
    return copy


def _rename_layers(group: Any, seen: set[int]) -> None:
    """Give the groups of layers of tf.keras 2 their names in Keras 3, each group once."""
    import h5py

    address = h5py.h5o.get_info(group.id).addr
    if address in seen:
        return
    seen.add(address)
    if _LAYERS_OF_TF_KERAS in group:
        group.move(_LAYERS_OF_TF_KERAS, 'layers')
    for name in group:
        # No links, because they can lead to other files.
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            inner = group[name]
            if isinstance(inner, h5py.Group):
                _rename_layers(inner, seen)


def _modern(value: Any) -> Any:
    """Return a description by tf.keras 2 with the modules and arguments of Keras 3."""
    if isinstance(value, list):
        return [_modern(part) for part in value]
    if not isinstance(value, dict):
        return value
    value = {key: _modern(part) for key, part in value.items()}
    if value.get('time_major') is False:
        del value['time_major']
    if str(value.get('module')).removeprefix('tf_').startswith('keras.src.engine.'):
        is_graph = value.get('class_name') == 'Functional'
        value['module'] = 'keras.src.models.functional' if is_graph else 'keras'
    return value


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = [
            inner
            for key, inner in value.items()
            if key not in _NO_SIZES or isinstance(inner, dict | list)
        ]
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, int | float) and abs(value) > MAX_ARGUMENT:
        raise ModelError(f'{value} is not a size of a layer')


def _check_part(part: dict[str, Any], keras: Any) -> None:
    name = part.get('class_name')
    if name is None:
        return
    known = name in _PARTS or any(hasattr(getattr(keras, space), str(name)) for space in _SPACES)
    is_activation = name == 'function' and hasattr(keras.activations, str(part.get('config')))
    of_keras = str(part.get('module') or 'keras').split('.')[0] in ('keras', 'builtins')
    if name in _UNSAFE or not of_keras or not (known or is_activation):
        raise ModelError(
            f'{name} is not supported, and code from a file is never run: in the program that '
            'made it, save it by `model.export(FOLDER)`, a SavedModel, and give the folder'
        )
    if part.get('registered_name') not in (None, name):
        raise ModelError(f'{part["registered_name"]} is not a layer of Keras itself')
