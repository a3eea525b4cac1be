# SPDX-License-Identifier: Apache-2.0
"""Import of a network into the project's three files: `sim-bridge import-model`.

The user's files are read in a sandboxed process. This process never imports TensorFlow.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io.files import publish, sha256_of
from steering_net.model_io.found_profile import SEARCH, measure, wished_profile
from steering_net.model_io.isolated import run_isolated
from steering_net.model_io.litert_converter import keep_converted
from steering_net.model_io.metadata import Origin, read_origin
from steering_net.model_io.model_config import (
    read_sidecar,
    sidecar_of_pair,
    unrelated_json,
    write_sidecar,
)
from steering_net.model_io.network_files import network_path
from steering_net.model_io.profiles import ProfileChoice, choose_profile, from_sidecar
from steering_net.model_io.reader import kind_of
from steering_net.vision.profile import format_profile


@dataclass(frozen=True)
class Imported:
    """Origin and profile of an imported network, and the files that were written.

    `candidates` are lines about the best profiles of a search. `notes` are lines about a JSON file
    beside the network that was not used, and about an uncertain profile.
    """

    origin: Origin
    choice: ProfileChoice
    files: tuple[Path, ...]
    candidates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def import_model(
    sources: Sequence[Path], out: Path, profile: str = '', output: str = '', *, int8: bool = False
) -> Imported:
    """Write a clean `out` (`.keras`), its LiteRT file and its sidecar from one or two files.

    `output` is the output that steers, as in `with_one_output`. Without `profile` it is that of
    the sidecar, or a measured one; `search` measures in any case. `int8` is that of `convert`.
    Nothing is written unless all three files can be. Raises ModelError, in one line, for a file
    that cannot be read, and for an `out` that would overwrite another file.
    """
    sources = [network_path(source) for source in sources]
    _check(sources, out)
    source, *others = sources
    wish = wished_profile(profile)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix='.import-') as folder:
        keras, litert = Path(folder, out.name), Path(folder, out.name).with_suffix('.tflite')
        arguments = [*map(str, others), '--out', str(litert), '--keras', str(keras)]
        arguments += ['--profile', wish.name] if wish else []
        arguments += ['--output', output] if output else []
        arguments += ['--int8'] if int8 else []
        run_isolated(
            'steering_net.model_io.litert_converter',
            source,
            arguments,
            more=others,
            out=Path(folder),
        )
        origin = read_origin(litert)
        if origin.input_shape is None:
            raise ModelError(f'{source.name}: the size of its frames is not known')
        unused, found = unrelated_json(source), None
        if wish is None and (profile == SEARCH or from_sidecar(source) is None):
            found = measure(litert, profile == SEARCH, source.name)
            choice = ProfileChoice(found.profile, found.reason)
        else:
            choice = choose_profile(wish, origin.input_shape, source, origin)
        scale = choice.profile.steering_scale_rad
        keep_converted(litert, origin)
        write_sidecar(keras, sidecar_of_pair(keras, format_profile(choice.profile), scale))
        # The sidecar first, because a sidecar with the hash of another network is ignored.
        files = tuple(out.with_suffix(suffix) for suffix in ('.json', '.tflite', '.keras'))
        for file in files:
            publish(Path(folder, file.name), file)
    candidates, doubt = (found.candidates, found.doubt) if found else ((), '')
    notes = tuple(filter(None, (unused, doubt)))
    return Imported(origin, choice, files[::-1], tuple(map(str, candidates)), notes)


def _check(sources: Sequence[Path], out: Path) -> None:
    """Raise ModelError for wrong paths, before a file is read."""
    if len(sources) > 2:
        raise ModelError(f'{len(sources)} files are too many: one, or architecture and weights')
    for source in sources:
        if not source.exists():
            raise ModelError(f'there is no model file {source}')
    if out.suffix != '.keras':
        raise ModelError(f'--out is {out.name}, it must end in .keras')
    for source in sources:
        kind_of(source)
    targets = [out.with_suffix(suffix) for suffix in ('.keras', '.tflite', '.json')]
    for target in targets:
        if any(target.exists() and target.samefile(source) for source in sources):
            raise ModelError(f'--out would overwrite {target.name}: choose another name')
    _, litert, json = targets
    sidecar = read_sidecar(out)
    if json.exists() and sidecar is None:
        raise ModelError(f'--out would overwrite {json.name}, which is not a sidecar')
    if litert.exists() and (sidecar is None or sidecar.litert_sha256 != sha256_of(litert)):
        raise ModelError(
            f'--out would overwrite {litert.name}, whose hash is not in a sidecar {json.name}: '
            'choose another name'
        )
