# SPDX-License-Identifier: Apache-2.0
"""Loads a network with layers that are not on the allow-list, by Keras in its safe mode.

Keras 3 in `safe_mode` refuses a Lambda and layers that are not its own, also in `.h5` files. The
description is checked before, because some of Keras' own layers read files or run code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steering_net.errors import ModelError
from steering_net.model_io.importers.limits import MAX_ARGUMENT

SAFE_KERAS = (3, 13, 1)
"""The first version whose loader follows no links to other HDF5 files (Python 3.11 and later)."""

_UNSAFE = {
    'FlaxLayer', 'Hashing', 'IntegerLookup', 'JaxLayer', 'Lambda', 'StringLookup', 'TFSMLayer',
    'TextVectorization', 'TorchModuleWrapper', '__lambda__',
}  # fmt: skip
_PARTS = {'Functional', 'Model', 'Sequential', 'DTypePolicy', 'Policy', '__keras_tensor__'}
_SPACES = ('layers', 'initializers', 'regularizers', 'constraints')
_COUNTS = ('units', 'filters', 'nb_filter', 'output_dim')


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
    for part in _objects(config.get('config')):
        _check_part(part, keras)
        for key in _COUNTS:
            if isinstance(part.get(key), int) and part[key] not in sides:
                raise ModelError(f'{key} {part[key]} has no weights in the file')
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = [inner for key, inner in value.items() if key != 'shared_object_id']
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, int | float) and abs(value) > MAX_ARGUMENT:
        raise ModelError(f'{value} is no size of a layer')


def _check_part(part: dict[str, Any], keras: Any) -> None:
    name = part.get('class_name')
    if name is None:
        return
    known = name in _PARTS or any(hasattr(getattr(keras, space), str(name)) for space in _SPACES)
    is_activation = name == 'function' and hasattr(keras.activations, str(part.get('config')))
    of_keras = str(part.get('module') or 'keras').split('.')[0] in ('keras', 'builtins')
    if name in _UNSAFE or not of_keras or not (known or is_activation):
        raise ModelError(f'{name} is not supported, and code from a file is never run')
    if part.get('registered_name') not in (None, name):
        raise ModelError(f'{part["registered_name"]} is not a layer of Keras itself')
