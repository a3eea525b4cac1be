"""Turn a Keras model into a LiteRT file, checked against Keras, and cache the result.

The conversion runs in a process of its own (`python -m steering_net.convert IN OUT`): it needs
TensorFlow, seconds and hundreds of megabytes that the driving process never has to load.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.loader import ModelError, check_frame_shape, load_keras, one_line
from steering_net.preprocess import Profile, Rgb, Tensor, decode_jpeg, find_profile, preprocess
from steering_net.sidecar import read_sidecar, sha256_of

CONVERTER_VERSION = 1
"""To be raised whenever the same Keras file would give another LiteRT file."""

MAX_DIFFERENCE = 1e-4
"""Largest difference allowed between both networks' outputs, in units of the output."""

_BY_SHAPE = {(66, 200): 'course', (160, 320): 'carnd_raw_rgb', (64, 64): 'ksakmann'}


def infer_profile(input_shape: tuple[int, int, int], model_path: Path) -> Profile:
    """Return the profile named by the model's sidecar, else the usual one for its (h, w, 3).

    Raises ModelError where neither says.
    """
    sidecar = read_sidecar(model_path)
    name = sidecar.profile if sidecar else _BY_SHAPE.get(input_shape[:2])
    if name is None:
        raise ModelError(f'{model_path.name} takes {input_shape}: say with which profile')
    try:
        return find_profile(name)
    except ValueError as error:
        raise ModelError(f'{model_path.with_suffix(".json").name}: {error}') from error


def fitting_profile(
    profile: Profile | None, input_shape: tuple[int, int, int], model_path: Path
) -> Profile:
    """Return `profile`, or the inferred one; ModelError if it does not make (h, w, 3) frames."""
    profile = profile or infer_profile(input_shape, model_path)
    made = profile.output_shape()
    if made != input_shape:
        takes = f'{model_path.name} takes {input_shape}'
        raise ModelError(f'{takes}, but profile {profile.name} makes {made}')
    return profile


def default_cache_dir() -> Path:
    """Return `$XDG_CACHE_HOME/sim_bridge`, by default `~/.cache/sim_bridge`."""
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'sim_bridge'


def ensure_litert(
    model_path: Path, cache_dir: Path | None = None, profile: Profile | None = None
) -> Path:
    """Return a LiteRT file for a model: itself, its sibling, the cached one or a new one.

    A sibling `.tflite` counts where the sidecar's hash is that of the `.keras` file. TensorFlow
    is never imported here. Raises ModelError if the model cannot be read or converted.
    """
    if model_path.suffix == '.tflite':
        return model_path
    digest = sha256_of(model_path)
    sibling, sidecar = model_path.with_suffix('.tflite'), read_sidecar(model_path)
    if sidecar is not None and sidecar.sha256 == digest and sibling.is_file():
        return sibling
    cached = (cache_dir or default_cache_dir()) / f'{digest}-{CONVERTER_VERSION}.tflite'
    if not cached.is_file():
        _convert_in_subprocess(model_path, cached, profile)
    return cached


def _convert_in_subprocess(model_path: Path, target: Path, profile: Profile | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    words = ['--profile', profile.name] if profile else []
    run_apart('steering_net.convert', str(model_path), str(target), *words)


def run_apart(module: str, *words: str) -> None:
    """Run a module of this package in a process of its own; ModelError with its last line."""
    source_root = str(Path(__file__).resolve().parents[1])
    paths = [source_root, os.environ.get('PYTHONPATH', '')]
    environment = os.environ | {
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'TF_CPP_MIN_LOG_LEVEL': '3',
    }
    command = [sys.executable, '-m', module, *words]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode < 0:
        raise ModelError(f'{words[0]} brought the process that loads it down')
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ['it ended without a word']
        raise ModelError(lines[-1])


def convert(source: Path, target: Path, profile: Profile | None = None) -> None:
    """Convert a `.keras` or `.h5` file to LiteRT; imports TensorFlow.

    `target` appears only once it is complete and agrees with Keras on the probe frames. Raises
    ModelError if the model cannot be loaded or converted, or if the outputs differ.
    """
    model = load_keras(source)
    shape = check_frame_shape(tuple(model.inputs[0].shape), source.name)
    frames = probe_inputs(fitting_profile(profile, shape, source))
    expected = np.ravel(model.predict_on_batch(np.stack(frames)))
    content = _to_litert(model, shape, source.name)
    actual = np.array([_run_litert(content, frame) for frame in frames])
    difference = float(np.max(np.abs(actual - expected)))
    if not difference < MAX_DIFFERENCE:
        raise ModelError(f'{source.name} converts to a network that differs by {difference:.2g}')
    _write_atomically(target, content)


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


def _run_litert(content: bytes, frame: Tensor) -> float:
    from steering_net.predictor import load_interpreter

    interpreter = load_interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]['index'], frame[None])
    interpreter.invoke()
    return float(np.ravel(interpreter.get_tensor(interpreter.get_output_details()[0]['index']))[0])


def _write_atomically(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.stem, suffix='.part')
    with os.fdopen(handle, 'wb') as part:
        part.write(content)
    # mkstemp makes private files; a model that is shipped or shared must be readable.
    os.chmod(name, 0o644)
    os.replace(name, target)


def probe_frames() -> list[Rgb]:
    """Return the package's probe frames, uint8 (160, 320, 3) RGB, decoded from JPEG."""
    folder = resources.files('steering_net') / 'probe_frames'
    files = sorted((f for f in folder.iterdir() if f.name.endswith('.jpg')), key=lambda f: f.name)
    return [decode_jpeg(file.read_bytes()) for file in files]


def probe_inputs(profile: Profile) -> list[Tensor]:
    """Return what a network with this profile sees of the probe frames, float32 (h, w, 3)."""
    return [preprocess(frame, profile) for frame in probe_frames()]


def main(arguments: list[str] | None = None) -> int:
    """Convert one file; 0 on success, 2 with one line on stderr if that cannot be done."""
    parser = argparse.ArgumentParser(description='Convert a Keras model to LiteRT, checked.')
    parser.add_argument('source', type=Path, help='a .keras or .h5 file')
    parser.add_argument('target', type=Path, help='the .tflite file to write')
    parser.add_argument('--profile', help='preprocessing profile (default: inferred)')
    options = parser.parse_args(arguments)
    try:
        profile = find_profile(options.profile) if options.profile else None
        convert(options.source, options.target, profile)
    except (OSError, ValueError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
