# SPDX-License-Identifier: Apache-2.0
"""Network files: which files belong to one network, by their names."""

from collections.abc import Iterator
from pathlib import Path

SUFFIXES = ('.keras', '.h5', '.hdf5', '.json', '.onnx', '.tflite')
"""Endings of the files that can be read; a SavedModel is a folder."""

ORIGIN_SUFFIX = '.origin.json'
"""Ending of the file with the origin of a converted network."""

_WEIGHTS = ('.h5', '.weights.h5', '.hdf5')
_ONNX_WEIGHTS = ('.data', '_data')
_FOLDERS_OF_A_SAVED_MODEL = ('variables', 'assets')


def belonging(path: Path) -> Iterator[Path]:
    """Yield the usual paths of all files of a network, of which most do not exist.

    These are its file or folder, the other half that `other_half` finds, its sidecar, and the
    files that are made of it.
    """
    yield path
    if path.name == 'saved_model.pb':
        yield from (path.with_name(name) for name in _FOLDERS_OF_A_SAVED_MODEL)
    yield from _external_data(path)
    for stem in _stems(path):
        for suffix in (*SUFFIXES, *_WEIGHTS, ORIGIN_SUFFIX):
            yield path.with_name(stem + suffix)


def other_half(path: Path) -> Path | None:
    """Return the second file of a network, of the same stem, if there is one.

    That is the file of weights beside a Keras architecture, or the architecture beside weights:
    `model.json` beside `model.h5` or `model.weights.h5`. For ONNX it is the file with its large
    weights.
    """
    from steering_net.model_io.importers.keras_files import is_architecture

    if path.suffix == '.onnx':
        return next((file for file in _external_data(path) if file.is_file()), None)
    if path.suffix == '.json':
        beside = [path.with_suffix(suffix) for suffix in _WEIGHTS]
        return next((file for file in beside if file.is_file()), None)
    beside = [path.with_name(f'{stem}.json') for stem in _stems(path)]
    return next((file for file in beside if file.is_file() and is_architecture(file)), None)


def _external_data(path: Path) -> list[Path]:
    """Return the usual paths of the large weights of an ONNX file."""
    return [path.with_name(path.name + ending) for ending in _ONNX_WEIGHTS]


def _stems(path: Path) -> tuple[str, str]:
    return path.stem, path.stem.removesuffix('.weights')
