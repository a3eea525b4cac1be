"""Turn a Keras model into a LiteRT file, checked against Keras, and cache the result.

The conversion runs in a process of its own, as a program: `IN --out OUT`. It needs TensorFlow,
seconds and hundreds of megabytes that the driving process never has to load, and files of unknown
origin are read in a sandbox (`apart.py`).
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from steering_net import sandbox
from steering_net.apart import run_apart
from steering_net.foreign.limits import read_file
from steering_net.loader import ModelError, one_line, other_half, read_network
from steering_net.origin import (
    UNKNOWN,
    Origin,
    complete,
    infer_profile,
    origin_path,
    read_origin,
    write_atomically,
    write_origin,
)
from steering_net.pinhole import Rgb
from steering_net.preprocess import Profile, Tensor, decode_jpeg, find_profile, preprocess, spell
from steering_net.sidecar import combined, read_sidecar, sha256_of

CONVERTER_VERSION = 4
"""To be raised whenever the same file would give another LiteRT file, or another origin."""

MAX_DIFFERENCE = 1e-4
"""Largest difference allowed between both networks' outputs, in units of the output."""


@dataclass(frozen=True)
class Choice:
    """The profile of a network, and why it is that one."""

    profile: Profile
    reason: str

    def __str__(self) -> str:
        """Both, for people."""
        return f'{spell(self.profile)}, {self.reason}'


def choose_profile(
    profile: Profile | None,
    input_shape: tuple[int, int, int],
    model_path: Path,
    origin: Origin = UNKNOWN,
) -> Choice:
    """Return `profile`, or the sidecar's, or the one inferred, for a network that takes (h, w, 3).

    What the profile leaves to the network is filled in. Raises ModelError where nothing says
    which one it is, or if it does not make frames of that shape.
    """
    choice = Choice(profile, 'as asked for') if profile else _from_sidecar(model_path)
    if choice is None:
        try:
            found, reason = infer_profile(input_shape, origin)
            choice = Choice(found, f'because {reason}')
        except ModelError as error:
            raise ModelError(f'{model_path.name}: {error}') from error
    whole = complete(choice.profile, input_shape, origin)
    made = whole.output_shape()
    if made != input_shape:
        takes = f'{model_path.name} takes {input_shape}'
        raise ModelError(f'{takes}, but profile {whole.name} makes {made}')
    return Choice(whole, choice.reason)


def _from_sidecar(model_path: Path) -> Choice | None:
    sidecar, name = read_sidecar(model_path), model_path.with_suffix('.json').name
    if sidecar is None:
        return None
    try:
        profile = find_profile(sidecar.profile)
        scaled = replace(profile, steering_scale_rad=sidecar.steering_scale_rad)
        return Choice(scaled, f'{name} says so')
    except (ValueError, AttributeError) as error:
        raise ModelError(f'{name}: {error}') from error


def fitting_profile(
    profile: Profile | None,
    input_shape: tuple[int, int, int],
    model_path: Path,
    origin: Origin = UNKNOWN,
) -> Profile:
    """Return the profile that `choose_profile` chooses."""
    return choose_profile(profile, input_shape, model_path, origin).profile


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
        choice = Choice(profile, 'as asked for') if profile else _from_sidecar(model_path)
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
        run_apart('steering_net.convert', *words, out=Path(folder))
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
    frames = probe_inputs(fitting_profile(profile, shape, source, network.origin))
    expected = np.ravel(model.predict_on_batch(np.stack(frames)))
    content = _to_litert(model, shape, source.name)
    actual = np.array([_run_litert(content, frame) for frame in frames])
    difference = float(np.max(np.abs(actual - expected)))
    if not difference < MAX_DIFFERENCE * max(1.0, float(np.max(np.abs(expected)))):
        raise ModelError(f'{source.name} converts to a network that differs by {difference:.2g}')
    if keras_target is not None:
        model.save(keras_target)
    return content, network.origin


def _adopted(source: Path) -> tuple[bytes, Origin]:
    """A `.tflite` file, once it has run and is known to have only built-in operators."""
    from steering_net.foreign.litert import check_operators
    from steering_net.predictor import LiteRtPredictor, PredictionError

    content = read_file(source)
    check_operators(content, source.name)
    # This profile fits every size; whether the network steers well is not the question here.
    predictor = LiteRtPredictor(source, find_profile('custom'))
    try:
        for frame in probe_frames():
            predictor.predict(frame)
    except PredictionError as error:
        raise ModelError(f'{source.name}: {error}') from error
    try:
        return content, read_network(source).origin
    except (ModelError, ImportError):
        # It drives all the same, also without TensorFlow, but its layers are not known.
        return content, Origin('LiteRT', input_shape=predictor.profile.output_shape())


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
