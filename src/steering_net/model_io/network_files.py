# SPDX-License-Identifier: Apache-2.0
"""Network files: which files belong to one network, by their names."""

from collections.abc import Iterator
from pathlib import Path

SUFFIXES = ('.keras', '.h5', '.hdf5', '.json', '.onnx', '.tflite')
"""Endings of the files that can be read; a SavedModel is a folder."""

ORIGIN_SUFFIX = '.origin.json'
"""Ending of the file with the origin of a converted network."""

_ALONE = tuple(suffix for suffix in SUFFIXES if suffix != '.json')
_MOST_NAMES = 3
_WEIGHTS = ('.h5', '.weights.h5', '.hdf5')
SAVED_MODEL = 'saved_model.pb'
_FOLDERS_OF_A_SAVED_MODEL = ('variables', 'assets')


def network_path(path: Path) -> Path:
    """Return the path that stands for a network: a SavedModel's folder for its `saved_model.pb`.

    The path of a folder always has a name, also for `.` and `..`.
    """
    if path.name == SAVED_MODEL:
        path = path.parent
    return path if path.name not in ('', '..') else path.resolve()


def parts_of(folder: Path) -> list[Path]:
    """Return the paths of a SavedModel's graph, variables and assets, of which some may not exist.

    The folder may have other files.
    """
    return [folder / name for name in (SAVED_MODEL, *_FOLDERS_OF_A_SAVED_MODEL)]


def lacking(folder: Path) -> str:
    """Return why a folder is no SavedModel, with networks that it holds."""
    inside = (path for pattern in ('*', '*/*') for path in sorted(folder.glob(pattern)))
    names = [str(path.relative_to(folder)) for path in inside if is_network(path.name)]
    held = f'; it holds {", ".join(names[:_MOST_NAMES])}: give one of them' if names else ''
    return f'it is a folder without {SAVED_MODEL}{held}'


def is_network(name: str) -> bool:
    """Whether a file with this name is a network, or the weights of one."""
    return Path(name).suffix in _ALONE or Path(name).name == SAVED_MODEL


def belonging(path: Path) -> Iterator[Path]:
    """Yield the usual paths of all files of a network, of which most do not exist.

    These are its file or folder, the other half that `other_half` finds, its sidecar, and the
    files that are made of it.
    """
    from steering_net.model_io.importers.onnx_tensors import external_data

    yield from parts_of(path) if path.is_dir() else [path]
    yield from external_data(path)
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
    from steering_net.model_io.importers.onnx_tensors import external_data

    if path.suffix == '.onnx':
        return next((file for file in external_data(path) if file.is_file()), None)
    if path.suffix == '.json':
        beside = [path.with_suffix(suffix) for suffix in _WEIGHTS]
        return next((file for file in beside if file.is_file()), None)
    beside = [path.with_name(f'{stem}.json') for stem in _stems(path)]
    return next((file for file in beside if file.is_file() and is_architecture(file)), None)


def _stems(path: Path) -> tuple[str, str]:
    return path.stem, path.stem.removesuffix('.weights')
