# SPDX-License-Identifier: Apache-2.0
"""Found profile: the profile of a network without a sidecar, measured once and then cached.

The search runs as a program in a sandboxed process (`isolated.py`): `NET.tflite --out FILE`. It
takes up to 15 s of processor time, and it runs a network of unknown origin.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from steering_net.errors import READ_ERRORS, ModelError, one_line
from steering_net.model_io import sandbox
from steering_net.model_io.files import sha256_of, write_atomically
from steering_net.model_io.isolated import run_isolated
from steering_net.model_io.litert_converter import default_cache_dir, ensure_litert
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.metadata import read_origin
from steering_net.model_io.model_config import unrelated_json
from steering_net.model_io.network_files import network_path
from steering_net.model_io.profile_search import FoundProfile, described, find
from steering_net.model_io.profiles import (
    choose_profile,
    complete,
    from_sidecar,
    infer_profile,
)
from steering_net.vision.profile import Profile, find_profile

SEARCH = 'search'
"""The profile that asks for a search, also if the network has a sidecar or a good guess."""

SEARCH_VERSION = 3
"""Increase it with each change by which the same network gets another profile or doubt."""


def wished_profile(text: str | None) -> Profile | None:
    """Return the profile that a text names; None for '', None and `search`.

    Raises ValueError, with the known names, for any other text.
    """
    return find_profile(text) if text and text != SEARCH else None


def found_profile(
    model_path: Path, cache_dir: Path | None = None, wish: str | None = None
) -> FoundProfile | None:
    """Return the measured profile of a network, from the cache if it was measured before.

    None if `wish` names a profile, or if the sidecar does and `wish` is not `search`. Raises
    ModelError if the network cannot be read.
    """
    model_path = network_path(model_path)
    if wished_profile(wish) is not None or (wish != SEARCH and from_sidecar(model_path)):
        return None
    litert = ensure_litert(model_path, cache_dir)
    digest = sha256_of(litert)
    name = f'{digest}-{SEARCH_VERSION}{"-all" if wish == SEARCH else ""}.profile.json'
    cached = (cache_dir or default_cache_dir()) / name
    found = _read(cached)
    if found is None:
        found = measure(litert, wish == SEARCH, model_path.name)
        # A full or read-only disk must not keep a network from driving.
        with contextlib.suppress(OSError):
            write_atomically(cached, found.to_json().encode())
    return found


def prepare(model_path: Path, wish: str | None = None, cache_dir: Path | None = None) -> list[str]:
    """Convert and measure a network; return lines with its origin, its profile, and any doubt.

    Raises ModelError if it cannot drive.
    """
    model_path = network_path(model_path)
    found = found_profile(model_path, cache_dir, wish)
    profile = wished_profile(wish)
    origin = read_origin(ensure_litert(model_path, cache_dir, profile))
    choice = f'{described(found.profile)}, {found.reason}' if found else ''
    if not choice and origin.input_shape is not None:
        choice = str(choose_profile(profile, origin.input_shape, model_path, origin))
    parts = [model_path.name, f'saved by {origin.saved_by}' if origin.saved_by else '']
    parts += [f'profile {choice}' if choice else '', sandbox.risks()]
    others = [found.doubt if found else '', unrelated_json(model_path)]
    return [', '.join(filter(None, parts)), *filter(None, others)]


def measure(litert: Path, search: bool, name: str) -> FoundProfile:
    """Measure a LiteRT network in a sandboxed process; `search` also if the guess is good."""
    with tempfile.TemporaryDirectory(prefix='sim_bridge-') as folder:
        out = Path(folder, 'found.json')
        arguments = ['--out', str(out), *(['--search'] if search else [])]
        failure = f'{name}: its profile could not be measured'
        try:
            run_isolated(
                'steering_net.model_io.found_profile', litert, arguments, out=Path(folder)
            )
        except ModelError as error:
            raise ModelError(f'{failure} ({error}); give --profile') from error
        found = _read(out)
    if found is None:
        raise ModelError(f'{failure}; give --profile')
    return found


def _read(path: Path) -> FoundProfile | None:
    """Return what a file holds; None if it is missing or broken."""
    try:
        return FoundProfile.from_json(path.read_text(encoding='utf-8'))
    except READ_ERRORS:
        return None


def _found(litert: Path, search: bool) -> FoundProfile:
    network, origin = LiteRtModel(litert, litert.name), read_origin(litert)
    shape = network.input_shape
    try:
        guess, why = infer_profile(shape, origin)
        guess = complete(guess, shape, origin)
    except ModelError:
        guess, why = None, ''
    found = find(network.predict, shape, origin.scales_pixels, guess, search)
    if found.profile != guess:
        return found
    return replace(found, reason=f'because {why}; {found.reason}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one network; return 0, or 2 with one line on stderr if it cannot be run."""
    parser = argparse.ArgumentParser(description="Find a network's profile.")
    parser.add_argument('litert', type=Path, help='a .tflite file')
    parser.add_argument('--out', type=Path, required=True, help='the file to write, JSON')
    parser.add_argument('--search', action='store_true', help='also if the guess is good')
    options = parser.parse_args(arguments)
    try:
        found = _found(options.litert, options.search)
        write_atomically(options.out, found.to_json().encode())
    except (OSError, ValueError, MemoryError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
