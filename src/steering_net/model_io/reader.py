# SPDX-License-Identifier: Apache-2.0
"""Reader of networks in files of Keras, ONNX, TensorFlow and LiteRT, without running their code.

The content of a file determines its kind. It becomes a clean Keras model, layer by layer from an
allow-list (package `importers`).
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import READ_ERRORS, ModelError, one_line
from steering_net.model_io.metadata import Origin, describe
from steering_net.model_io.network_files import (
    SAVED_MODEL,
    SUFFIXES,
    is_network,
    lacking,
    network_path,
    other_half,
)
from steering_net.model_io.steering_output import with_one_output
from steering_net.vision.frame_size import MAX_SIDE_PX

_TORCH_SUFFIXES = ('.pt', '.pth', '.ckpt', '.torch')
_GIT_LFS = b'version https://git-lfs'
_PACKED = (b'\x1f\x8b', b'BZh', b'\xfd7zXZ', b'7z\xbc\xaf', b'Rar!')
_WEB_PAGE = (b'<!doctype', b'<html')


@dataclass(frozen=True)
class LoadedNetwork:
    """An uncompiled `keras.Model` from one frame to one number, and its origin."""

    model: Any
    origin: Origin


def load_keras(path: Path) -> Any:
    """Return the uncompiled `keras.Model` of a file or folder; Keras is imported here.

    Raises ModelError as `read_network` does.
    """
    return read_network(path).model


def read_network(path: Path, other: Path | None = None, output: str = '') -> LoadedNetwork:
    """Return the network of a `.keras`, `.h5`, `.onnx` or `.tflite` file, JSON or a SavedModel.

    `other` is the second file if architecture and weights are in two files, in any order. A second
    file of the same stem beside `path` is found without it. `output` is the output that steers, if
    there are several, as in `with_one_output`. Raises ModelError if a file is missing, broken, too
    large, needs code of its own to run, or does not map one frame to one finite number.
    """
    path = network_path(path)
    for part in (path, other):
        if part is not None:
            _check_exists(part)
    try:
        model, saved_by = _read(path, other)
    except ModelError as error:
        raise ModelError(f'{path.name} cannot be loaded: {error}') from error
    except READ_ERRORS as error:
        reason = f'it is broken or cut short ({one_line(error)})'
        raise ModelError(f'{path.name} cannot be loaded: {reason}') from error
    _check_input(model, path.name)
    model = with_one_output(model, output, path.name)
    _check_output(model, path.name)
    return LoadedNetwork(model, describe(model, saved_by))


def _read(path: Path, other: Path | None) -> tuple[Any, str]:
    """Return the model and the program that saved it, by the reader for this kind of file."""
    from steering_net.model_io.importers import keras_files

    kind = _kind_of(path)
    if kind == 'json' or (other is not None and _kind_of(other) == 'json'):
        return _read_pair(path, other)
    if other is not None:
        raise ModelError(f'{other.name} is not an architecture (.json) to go with it')
    if kind == 'h5':
        return keras_files.read_h5(path, other_half(path))
    if kind == 'keras':
        _check_archive(path)
        return keras_files.read_archive(path)
    return _other_readers()[kind](path)


def _check_archive(path: Path) -> None:
    """Raise ModelError for an archive that holds a network and is none itself."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    held = next(filter(is_network, names), '')
    if held and 'config.json' not in names:
        raise ModelError(f'it is an archive with {held}: unpack it, and give that file')


def _read_pair(path: Path, other: Path | None) -> tuple[Any, str]:
    from steering_net.model_io.importers import keras_files

    weights, architecture = (path, other) if _kind_of(path) != 'json' else (other, path)
    if weights is None and not keras_files.is_architecture(path):
        raise ModelError('this JSON describes no Keras network')
    weights = weights or other_half(path)
    if weights is None or _kind_of(weights) != 'h5':
        raise ModelError(
            'it holds the architecture only: give the weights too, '
            f'as in `sim-bridge import-model {path.name} {path.stem}.h5`'
        )
    return keras_files.read_h5(weights, architecture)


def _other_readers() -> dict[str, Callable[[Path], tuple[Any, str]]]:
    from steering_net.model_io.importers import litert, onnx, saved_model

    return {
        'onnx': onnx.read_onnx,
        'saved_model': saved_model.read_saved_model,
        'tflite': litert.read_litert,
    }


def kind_of(path: Path) -> str:
    """Return the kind of a file or folder: keras, h5, json, onnx, tflite, saved_model.

    Raises ModelError, with what to do, for a missing file and a kind that cannot be read.
    """
    _check_exists(path)
    try:
        return _kind_of(path)
    except (OSError, ModelError) as error:
        raise ModelError(f'{path.name} cannot be loaded: {error}') from error


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise ModelError(f'there is no model file {path}')


def _kind_of(path: Path) -> str:
    if path.is_dir():
        if not (path / SAVED_MODEL).is_file():
            raise ModelError(lacking(path))
        return 'saved_model'
    if not path.is_file():
        raise ModelError('it is not a file')
    with path.open('rb') as file:
        head = file.read(len(_GIT_LFS))
    if head.startswith(b'\x89HDF\r\n\x1a\n'):
        return 'h5'
    if path.suffix in _TORCH_SUFFIXES or head.startswith((b'\x80\x02', b'\x80\x03', b'\x80\x04')):
        raise ModelError(
            'it is a PyTorch or pickle file: export the network to ONNX, in the program that made '
            "it by `torch.onnx.export(network, frame, 'net.onnx')`"
        )
    if head.startswith(b'PK'):
        return 'keras'
    if head[4:8] == b'TFL3':
        return 'tflite'
    if head == _GIT_LFS:
        raise ModelError('it is a pointer of Git LFS: get the file itself by `git lfs pull`')
    if head.startswith(_PACKED):
        raise ModelError('it is packed: unpack it first')
    if head.lstrip().lower().startswith(_WEB_PAGE):
        raise ModelError('it is a web page: download the file itself')
    if head.lstrip()[:1] in (b'{', b'"'):
        return 'json'
    if path.suffix == '.onnx':
        return 'onnx'
    if path.suffix in SUFFIXES:
        raise ModelError(f'its content is not that of a {path.suffix} file')
    raise ModelError(f'it is none of {", ".join(SUFFIXES)} and no SavedModel folder')


def _check_input(model: Any, name: str) -> None:
    if len(model.inputs) != 1:
        raise ModelError(
            f'{name} has {len(model.inputs)} inputs; a network that drives takes one frame only'
        )
    check_frame_shape(tuple(model.inputs[0].shape), name)


def _check_output(model: Any, name: str) -> None:
    """Run the network on noise, values 0 to 1, because broken weights often make it overflow."""
    noise = np.random.default_rng(0).random((1, *model.inputs[0].shape[1:]), np.float32)
    try:
        output = model(noise, training=False).numpy().ravel()
    except READ_ERRORS as error:
        raise ModelError(f'{name} does not run: {one_line(error)}') from error
    if not np.isfinite(output).all():
        raise ModelError(f'the output of {name} is {output[0]}; it must be a finite number')


def check_frame_shape(shape: tuple[int | None, ...], name: str) -> tuple[int, int, int]:
    """Return (h, w, c) of a network's input (n, h, w, c), c 1 or 3; ModelError for any other."""
    if len(shape) != 4 or shape[3] not in (1, 3) or not shape[1] or not shape[2]:
        raise ModelError(f'{name} takes {shape}, not one frame (n, h, w, 3) or (n, h, w, 1)')
    if max(shape[1], shape[2]) > MAX_SIDE_PX:
        raise ModelError(f'{name} takes frames of {shape[2]} x {shape[1]} pixels')
    return (shape[1], shape[2], shape[3])
