"""Turn a Keras model into a LiteRT file, checked against Keras, and cache the result.

The conversion runs in a process of its own, as a program: `IN --out OUT`. It needs TensorFlow,
seconds and hundreds of megabytes that the driving process never has to load, and files of unknown
origin are read in a sandbox (`apart.py`).
"""

import argparse
import os
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError, one_line
from steering_net.model_io import sandbox
from steering_net.model_io.importers.limits import read_file
from steering_net.model_io.isolated import run_isolated
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.metadata import (
    UNKNOWN,
    Origin,
    origin_path,
    read_origin,
    write_atomically,
    write_origin,
)
from steering_net.model_io.model_config import combined, read_sidecar, sha256_of
from steering_net.model_io.profiles import (
    ProfileChoice,
    choose_profile,
    complete,
    from_sidecar,
)
from steering_net.model_io.reader import other_half, read_network
from steering_net.vision.camera_model import Rgb
from steering_net.vision.preprocessing import (
    Profile,
    Tensor,
    decode_jpeg,
    find_profile,
    preprocess,
)

CONVERTER_VERSION = 3
"""To be raised whenever the same file would give another LiteRT file, or another origin."""

MAX_DIFFERENCE = 1e-4
"""Largest difference allowed between both networks' outputs, in units of the output."""


def default_cache_dir() -> Path:
    """Return `$XDG_CACHE_HOME/sim_bridge`, by default `~/.cache/sim_bridge`."""
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'sim_bridge'


def ensure_litert(
    model_path: Path, cache_dir: Path | None = None, profile: Profile | None = None
) -> Path:
    """Return a LiteRT file for a model: its sibling, the cached one or a new one.

    A sibling `.tflite` counts where the sidecar's hash is that of the `.keras` file. What is a
    `.tflite` itself comes back as the copy that was checked. TensorFlow is never imported here.
    Raises ModelError if the model cannot be read or converted.
    """
    digest = sha256_of(model_path)
    sibling, sidecar = model_path.with_suffix('.tflite'), read_sidecar(model_path)
    if sidecar is not None and sidecar.sha256 == digest and sibling.is_file():
        return sibling
    other = other_half(model_path)
    if other is not None:
        digest = combined([digest, sha256_of(other)])
    cached = (cache_dir or default_cache_dir()) / f'{digest}-{CONVERTER_VERSION}.tflite'
    if not cached.is_file():
        _convert_in_subprocess(model_path, cached, profile)
    return cached


def prepare(model_path: Path, profile: Profile | None = None) -> str:
    """Have a network's LiteRT file ready, and return a line on what it is and its profile.

    Raises ModelError if it cannot drive.
    """
    origin = read_origin(ensure_litert(model_path, profile=profile))
    if origin.input_shape is None:
        choice = ProfileChoice(profile, 'as asked for') if profile else from_sidecar(model_path)
    else:
        choice = choose_profile(profile, origin.input_shape, model_path, origin)
    told = [model_path.name, f'saved by {origin.saved_by}' if origin.saved_by else '']
    told.append(f'profile {choice}' if choice else '')
    told.append(sandbox.missing())
    return ', '.join(filter(None, told))


def _convert_in_subprocess(model_path: Path, target: Path, profile: Profile | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    words = ['--profile', profile.name] if profile else []
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.convert-') as folder:
        made = Path(folder, target.name)
        words = [str(model_path), '--out', str(made), *words]
        run_isolated('steering_net.model_io.litert_converter', *words, out=Path(folder))
        # The origin first: a network that is there counts as done, and would stay without one.
        for file in (origin_path(made), made):
            os.replace(file, target.parent / file.name)


def convert(
    source: Path,
    target: Path,
    profile: Profile | None = None,
    other: Path | None = None,
    keras_target: Path | None = None,
) -> Origin:
    """Convert what `read_network` reads to LiteRT, and on wish to a clean `.keras` file.

    A `.tflite` file is only checked and copied where no `.keras` file is wished for. `target`
    appears only once it is complete and agrees with Keras on the probe frames. Raises ModelError
    if the model cannot be loaded or converted, or if the outputs differ. Imports TensorFlow.
    """
    content, origin = _converted(source, profile, other, keras_target)
    write_atomically(target, content)
    return origin


def _converted(
    source: Path, profile: Profile | None, other: Path | None, keras_target: Path | None
) -> tuple[bytes, Origin]:
    if source.suffix == '.tflite' and keras_target is None:
        return _adopted(source)
    network = read_network(source, other)
    model, shape = network.model, network.origin.input_shape
    assert shape is not None
    frames = probe_inputs(choose_profile(profile, shape, source, network.origin).profile)
    expected = np.ravel(model.predict_on_batch(np.stack(frames)))
    content = _to_litert(model, shape, source.name)
    converted = LiteRtModel(content, source.name)
    actual = np.array([converted.predict(frame) for frame in frames])
    difference = float(np.max(np.abs(actual - expected)))
    if not difference < MAX_DIFFERENCE * max(1.0, float(np.max(np.abs(expected)))):
        raise ModelError(f'{source.name} converts to a network that differs by {difference:.2g}')
    if keras_target is not None:
        model.save(keras_target)
    return content, network.origin


def _adopted(source: Path) -> tuple[bytes, Origin]:
    """A `.tflite` file, once it has run and is known to have only built-in operators."""
    from steering_net.model_io.importers.litert import check_operators

    content = read_file(source)
    check_operators(content, source.name)
    model = LiteRtModel(content, source.name)
    # This profile fits every size; whether the network steers well is not the question here.
    profile = complete(find_profile('custom'), model.input_shape, UNKNOWN)
    for frame in probe_inputs(profile):
        output = model.predict(frame)
        if not np.isfinite(output):
            raise ModelError(f'{source.name}: the output of the network is {output}')
    try:
        return content, read_network(source).origin
    except (ModelError, ImportError):
        # It drives all the same, also without TensorFlow, but its layers are not known.
        return content, Origin('LiteRT', input_shape=model.input_shape)


def _to_litert(model: Any, shape: tuple[int, int, int], name: str) -> bytes:
    import keras
    import tensorflow as tf

    # With a batch of exactly one LiteRT plans its memory once and never resizes.
    frame = keras.Input(batch_shape=(1, *shape))
    try:
        single = keras.Model(frame, model(frame))
        return bytes(tf.lite.TFLiteConverter.from_keras_model(single).convert())
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f'{name} cannot be converted: {one_line(error)}') from error


def probe_frames() -> list[Rgb]:
    """Return the package's probe frames, uint8 (160, 320, 3) RGB, decoded from JPEG."""
    folder = resources.files('steering_net') / 'probe_frames'
    files = sorted((f for f in folder.iterdir() if f.name.endswith('.jpg')), key=lambda f: f.name)
    return [decode_jpeg(file.read_bytes()) for file in files]


def probe_inputs(profile: Profile) -> list[Tensor]:
    """Return what a network with this profile sees of the probe frames, float32 (h, w, 3)."""
    return [preprocess(frame, profile) for frame in probe_frames()]


def main(arguments: list[str] | None = None) -> int:
    """Convert one model; 0 on success, 2 with one line on stderr if that cannot be done."""
    parser = argparse.ArgumentParser(description='Convert a model to LiteRT, checked.')
    parser.add_argument('sources', type=Path, nargs='+', help='a model, or its two files')
    parser.add_argument('--out', type=Path, required=True, help='the .tflite file to write')
    parser.add_argument('--keras', type=Path, help='a clean .keras file to write too')
    parser.add_argument('--profile', help='preprocessing profile (default: inferred)')
    options = parser.parse_args(arguments)
    other = options.sources[1] if len(options.sources) > 1 else None
    try:
        profile = find_profile(options.profile) if options.profile else None
        content, origin = _converted(options.sources[0], profile, other, options.keras)
        # The origin first: a network that is there counts as done, and would stay without one.
        write_origin(options.out, origin)
        write_atomically(options.out, content)
    except (OSError, ValueError, MemoryError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
