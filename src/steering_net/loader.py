"""Load networks that people bring, without running code from the file."""

import zipfile
from pathlib import Path
from typing import Any

SUFFIXES = ('.keras', '.h5', '.hdf5')
_LOAD_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OSError,
    NotImplementedError,
    zipfile.BadZipFile,
)


class ModelError(ValueError):
    """A model that is missing, broken or not a steering network; the message is one line."""


def load_keras(path: Path) -> Any:
    """Return the uncompiled `keras.Model` of a `.keras` or `.h5` file; Keras is imported here.

    Raises ModelError if the file is missing, broken, needs code of its own to run, or does not
    map one frame to one number.
    """
    if not path.is_file():
        raise ModelError(f'there is no model file {path}')
    if path.suffix not in SUFFIXES:
        raise ModelError(f'{path.name} is none of {", ".join(SUFFIXES)}')
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except _LOAD_ERRORS as error:
        raise ModelError(f'{path.name} cannot be loaded: {one_line(error)}') from error
    _check_shapes(model, path.name)
    return model


def _check_shapes(model: Any, name: str) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(f'{name} has {len(model.inputs)} inputs, {len(model.outputs)} outputs')
    check_frame_shape(tuple(model.inputs[0].shape), name)
    if tuple(model.outputs[0].shape[1:]) not in ((), (1,)):
        raise ModelError(f'{name} puts out {model.outputs[0].shape}, not one number')


def check_frame_shape(shape: tuple[int | None, ...], name: str) -> tuple[int, int, int]:
    """Return (h, w, 3) of a network's input (n, h, w, 3); ModelError for any other shape."""
    if len(shape) != 4 or shape[3] != 3 or not shape[1] or not shape[2]:
        raise ModelError(f'{name} takes {shape}, not one colour frame (n, h, w, 3)')
    return (shape[1], shape[2], 3)


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return the first line of an error's message, or its type's name, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:limit] if lines else type(error).__name__
