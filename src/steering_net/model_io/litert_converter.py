# SPDX-License-Identifier: Apache-2.0
"""LiteRT converter: turns a network into a LiteRT file, compares it with Keras, and caches it.

The conversion runs as a program in a sandboxed process (`isolated.py`): `IN --out OUT`. It needs
TensorFlow, seconds and hundreds of megabytes, which the driving process must not need, and it
reads files of unknown origin.
"""

import argparse
import atexit
import contextlib
import io
import os
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError, one_line
from steering_net.model_io.files import combined, sha256_of, write_atomically
from steering_net.model_io.importers.limits import read_file
from steering_net.model_io.isolated import run_isolated
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.metadata import (
    UNKNOWN,
    Origin,
    read_origin,
    write_origin,
)
from steering_net.model_io.model_config import read_sidecar
from steering_net.model_io.network_files import network_path, other_half
from steering_net.model_io.profiles import choose_profile, complete
from steering_net.model_io.reader import kind_of, read_network
from steering_net.vision.camera_model import Rgb
from steering_net.vision.jpeg import decode_jpeg
from steering_net.vision.preprocessing import Tensor, preprocess
from steering_net.vision.profile import Profile, find_profile

CONVERTER_VERSION = 8
"""Increase it with each change by which the same file gives another LiteRT file or origin."""

MAX_DIFFERENCE = 1e-4
"""Largest allowed difference between the outputs of both networks, in units of the output."""

MAX_INT8_DIFFERENCE = 0.05
"""The same for weights of 8 bits: 1.2 degrees of the car's 25."""


def default_cache_dir() -> Path:
    """Return `$XDG_CACHE_HOME/sim_bridge`, by default `~/.cache/sim_bridge`."""
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'sim_bridge'


def usable_cache(cache_dir: Path | None = None) -> Path:
    """Return a folder for converted networks that can be written.

    That is `cache_dir`, by default `default_cache_dir`. If it cannot be written, as in a container
    with a read-only disk, it is a temporary folder until this process ends. One line on stderr
    reports it, and the processes that this one starts use it too. Raises ModelError if there is no
    such folder.
    """
    folder = cache_dir or default_cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = f'the cache {folder} cannot be written ({error.strerror})'
    try:
        base = tempfile.mkdtemp(prefix='sim_bridge-')
    except OSError as error:
        raise ModelError(f'{reason}: set XDG_CACHE_HOME to another folder') from error
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    os.environ['XDG_CACHE_HOME'] = base
    print(
        f'{reason}: the network is converted in {base}, and again at the next start; '
        'set XDG_CACHE_HOME to another folder',
        file=sys.stderr,
        flush=True,
    )
    temporary = default_cache_dir()
    temporary.mkdir()
    return temporary


def ensure_litert(
    model_path: Path, cache_dir: Path | None = None, profile: Profile | None = None
) -> Path:
    """Return a LiteRT file of a network: a copy in the cache that the sandbox has checked.

    It is converted, or is the `.tflite` itself: the given one, or the one beside a `.keras` if the
    sidecar has the hashes of both. The shipped pair is used as it is. TensorFlow is never imported
    here. Raises ModelError if the network cannot be read or converted, or if no cache is usable.
    """
    model_path = network_path(model_path)
    digest = sha256_of(model_path)
    sibling, sidecar = model_path.with_suffix('.tflite'), read_sidecar(model_path)
    if sidecar is not None and sidecar.sha256 == digest and sibling.is_file():
        litert_digest = sha256_of(sibling)
        if sidecar.litert_sha256 == litert_digest:
            if model_path.resolve().parent == _shipped_models():
                return sibling
            model_path, digest = sibling, litert_digest
    other = other_half(model_path)
    if other is not None:
        digest = combined([digest, sha256_of(other)])
    cached = _in_cache(digest, cache_dir)
    if not cached.is_file():
        cached = usable_cache(cache_dir) / cached.name
        try:
            _convert_in_subprocess(model_path, cached, profile)
        except OSError as error:
            raise ModelError(
                f'{model_path.name} cannot be converted in {cached.parent} ({one_line(error)}): '
                'set XDG_CACHE_HOME to another folder'
            ) from error
    return cached


def keep_converted(litert: Path, origin: Origin) -> None:
    """Copy a LiteRT file that was just converted to the cache, so that it need not be checked.

    Does nothing if the cache cannot be written.
    """
    cached = _in_cache(sha256_of(litert))
    with contextlib.suppress(OSError):
        _write_converted(cached, litert.read_bytes(), origin)


def _write_converted(target: Path, content: bytes, origin: Origin) -> None:
    """Write a converted network, and its origin beside it."""
    # The origin first, because a network in the cache is not converted again without one.
    write_origin(target, origin)
    write_atomically(target, content)


def _in_cache(digest: str, cache_dir: Path | None = None) -> Path:
    return (cache_dir or default_cache_dir()) / f'{digest}-{CONVERTER_VERSION}.tflite'


def _shipped_models() -> Path:
    return Path(str(resources.files('steering_net')), 'models').resolve()


def _convert_in_subprocess(model_path: Path, target: Path, profile: Profile | None) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.convert-') as folder:
        made = Path(folder, target.name)
        arguments = ['--out', str(made), *(['--profile', profile.name] if profile else [])]
        run_isolated(
            'steering_net.model_io.litert_converter', model_path, arguments, out=Path(folder)
        )
        _write_converted(target, made.read_bytes(), read_origin(made))


def convert(
    source: Path,
    target: Path,
    profile: Profile | None = None,
    *,
    keras_target: Path | None = None,
    int8: bool = False,
) -> Origin:
    """Convert a file that `read_network` reads to LiteRT, and optionally to a clean `.keras`.

    A `.tflite` file without `keras_target` is only checked and copied. `int8` stores the weights
    in 8 bits, and LiteRT computes with them: about twice as fast. `target` appears when it is
    complete and its outputs for the probe frames equal those of Keras. Raises ModelError if the
    network cannot be loaded or converted, or if the outputs differ. Imports TensorFlow.
    """
    content, origin = _converted(source, profile, keras_target=keras_target, int8=int8)
    write_atomically(target, content)
    return origin


def _converted(
    source: Path,
    profile: Profile | None,
    *,
    other: Path | None = None,
    keras_target: Path | None = None,
    output: str = '',
    int8: bool = False,
) -> tuple[bytes, Origin]:
    source = network_path(source)
    if keras_target is None and kind_of(source) == 'tflite':
        return _adopted(source)
    network = read_network(source, other, output)
    model, shape = network.model, network.origin.input_shape
    assert shape is not None
    frames = probe_inputs(_probed(source, profile, network.origin, shape))
    expected = np.ravel(model.predict_on_batch(np.stack(frames)))
    content = _to_litert(model, shape, source.name, int8)
    converted = LiteRtModel(content, source.name)
    actual = np.array([converted.predict(frame) for frame in frames])
    difference = float(np.max(np.abs(actual - expected)))
    allowed = MAX_INT8_DIFFERENCE if int8 else MAX_DIFFERENCE
    if not difference < allowed * max(1.0, float(np.max(np.abs(expected)))):
        raise ModelError(
            f'{source.name} converts to a network that differs by {difference:.2g}'
            f'{": import it without --int8" if int8 else ""}'
        )
    if keras_target is not None:
        model.save(keras_target)
    return content, network.origin


def _adopted(source: Path) -> tuple[bytes, Origin]:
    """Return content and origin of a `.tflite` file that runs and has only built-in operators."""
    from steering_net.model_io.importers.litert import check_operators

    content = read_file(source)
    check_operators(content, source.name)
    model = LiteRtModel(content, source.name)
    profile = complete(_whole(model.input_shape), model.input_shape, UNKNOWN)
    for frame in probe_inputs(profile):
        output = model.predict(frame)
        if not np.isfinite(output):
            raise ModelError(f'{source.name}: the output of the network is {output}')
    try:
        return content, read_network(source).origin
    except (ModelError, ImportError):
        # It can drive all the same, even without TensorFlow, but its layers are unknown.
        return content, Origin('LiteRT', input_shape=model.input_shape)


def _probed(
    source: Path, profile: Profile | None, origin: Origin, shape: tuple[int, int, int]
) -> Profile:
    """Return the given or inferred profile; if none can be inferred, one that fits."""
    try:
        return choose_profile(profile, shape, source, origin).profile
    except ModelError:
        if profile is not None:
            raise
        return complete(_whole(shape), shape, origin)


def _whole(shape: tuple[int, int, int]) -> Profile:
    """Return a profile that fits every network; for probes it need not be the right one."""
    return find_profile('custom' if shape[2] == 3 else 'custom:colour=grey')


def _to_litert(model: Any, shape: tuple[int, int, int], name: str, int8: bool) -> bytes:
    import keras
    import tensorflow as tf

    # With a batch of exactly one, LiteRT plans its memory once and never resizes it.
    frame = keras.Input(batch_shape=(1, *shape))
    try:
        single = keras.Model(frame, model(frame))
        # Keras prints the signature of the network on stdout, between the lines of the command.
        with contextlib.redirect_stdout(io.StringIO()):
            converter = tf.lite.TFLiteConverter.from_keras_model(single)
            converter.optimizations = [tf.lite.Optimize.DEFAULT] if int8 else []
            return bytes(converter.convert())
    except (ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError(f'{name} cannot be converted: {one_line(error)}') from error


def probe_frames() -> list[Rgb]:
    """Return the package's probe frames, uint8 (160, 320, 3) RGB, decoded from JPEG."""
    folder = resources.files('steering_net') / 'probe_frames'
    files = sorted((f for f in folder.iterdir() if f.name.endswith('.jpg')), key=lambda f: f.name)
    return [decode_jpeg(file.read_bytes()) for file in files]


def probe_inputs(profile: Profile) -> list[Tensor]:
    """Return the probe frames as a network with this profile gets them, float32 (h, w, 3)."""
    return [preprocess(frame, profile) for frame in probe_frames()]


def main(arguments: list[str] | None = None) -> int:
    """Convert one network; return 0, or 2 with one line on stderr if it cannot be converted."""
    parser = argparse.ArgumentParser(description='Convert a model to LiteRT, checked.')
    parser.add_argument('sources', type=Path, nargs='+', help='a model, or its two files')
    parser.add_argument('--out', type=Path, required=True, help='the .tflite file to write')
    parser.add_argument('--keras', type=Path, help='a clean .keras file to write as well')
    parser.add_argument('--profile', help='preprocessing profile (default: inferred)')
    parser.add_argument('--output', default='', help='the output that steers')
    parser.add_argument('--int8', action='store_true', help='weights of 8 bits')
    options = parser.parse_args(arguments)
    other = options.sources[1] if len(options.sources) > 1 else None
    try:
        profile = find_profile(options.profile) if options.profile else None
        content, origin = _converted(
            options.sources[0],
            profile,
            other=other,
            keras_target=options.keras,
            output=options.output,
            int8=options.int8,
        )
        _write_converted(options.out, content, origin)
    except (OSError, ValueError, MemoryError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
