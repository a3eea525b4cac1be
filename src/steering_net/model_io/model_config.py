# SPDX-License-Identifier: Apache-2.0
"""Sidecar: the JSON file beside a network, with its profile and the hashes of its files."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from steering_net.errors import READ_ERRORS, ModelError, one_line
from steering_net.model_io.files import sha256_of
from steering_net.model_io.importers.limits import MAX_JSON_BYTES, Json, read_file, read_json
from steering_net.vision.profile import profile_from_json


@dataclass(frozen=True)
class Sidecar:
    """Profile, sha256 of the `.keras` file and rad per unit of the network's output.

    `litert_sha256` is the sha256 of the `.tflite` file beside it. The hashes may be '', and
    `steering_scale_rad` None for that of the profile. The profile is a text as `find_profile`
    takes it. In the file it may also be an object with the fields of a custom profile, such as
    `{"rows": [60, 136], "colour": "rgb"}`.
    """

    profile: str
    sha256: str = ''
    steering_scale_rad: float | None = None
    litert_sha256: str = ''

    def is_of(self, model_path: Path) -> bool:
        """Whether a network is the one of this sidecar; one without hashes is of any network."""
        hashes = {self.sha256, self.litert_sha256} - {''}
        return not hashes or sha256_of(model_path) in hashes


def read_sidecar(model_path: Path) -> Sidecar | None:
    """Return the sidecar `<stem>.json` beside a model; None without one.

    JSON of that name without a profile is not a sidecar. Raises ModelError, naming the field, for
    a value that cannot be, and for a file that is not JSON.
    """
    path = model_path.with_suffix('.json')
    fields: Json = _read(path) if path.is_file() else None
    if not _is_sidecar(fields):
        return None
    known = [field.name for field in dataclasses.fields(Sidecar)]
    for name, value in fields.items():
        if name not in known:
            raise ModelError(f'{path.name} has a field {name[:40]}; known: {", ".join(known)}')
        good, allowed = _ALLOWED[name]
        if not good(value):
            raise ModelError(f'{path.name}: {name} is {value!r:.40}; it must be {allowed}')
    if isinstance(fields['profile'], dict):
        fields |= {'profile': profile_from_json(fields['profile'])}
    return Sidecar(**fields)


def unrelated_json(model_path: Path) -> str:
    """Return a line about a file `<stem>.json` beside a model that is not its sidecar, or ''.

    The description of a Keras network is not unrelated.
    """
    path = model_path.with_suffix('.json')
    sidecar = read_sidecar(model_path)
    if sidecar is not None and not sidecar.is_of(model_path):
        return (
            f'{path.name} is not used, because its sha256 is not that of {model_path.name}; '
            'if its profile is right, remove the hashes from it'
        )
    if sidecar is not None or not path.is_file():
        return ''
    fields = _read(path)
    if isinstance(fields, str) or _is_keras(fields):
        return ''
    return f'{path.name} is not a sidecar, because it has no profile; it is not used'


def _read(path: Path) -> Json:
    try:
        # Some editors put a byte order mark first.
        return read_json(read_file(path, MAX_JSON_BYTES).decode('utf-8-sig'))
    except READ_ERRORS as error:
        reason = 'nested too deeply' if isinstance(error, RecursionError) else one_line(error)
        raise ModelError(
            f'{path.name} is not JSON ({reason}); a file of this name must be the sidecar of the '
            'network: correct it, or rename it'
        ) from error


def _is_sidecar(fields: Json) -> bool:
    return isinstance(fields, dict) and 'profile' in fields and not _is_keras(fields)


def _is_keras(fields: Json) -> bool:
    """Whether these are the description of a Keras network."""
    return isinstance(fields, dict) and 'class_name' in fields


def _is_number(value: Json) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


_ALLOWED: dict[str, tuple[Callable[[Json], bool], str]] = {
    'profile': (lambda value: isinstance(value, str | dict), 'a text or an object'),
    'sha256': (_is_text, 'a text'),
    'steering_scale_rad': (_is_number, 'a finite number, rad'),
    'litert_sha256': (_is_text, 'a text'),
}


def sidecar_of_pair(model_path: Path, profile: str, steering_scale_rad: float) -> Sidecar:
    """Return the sidecar of a `.keras` file and the `.tflite` beside it."""
    hashes = [sha256_of(path) for path in (model_path, model_path.with_suffix('.tflite'))]
    return Sidecar(profile, hashes[0], steering_scale_rad, hashes[1])


def write_sidecar(model_path: Path, sidecar: Sidecar) -> None:
    """Write `<stem>.json` beside the model."""
    text = json.dumps(asdict(sidecar), indent=2) + '\n'
    model_path.with_suffix('.json').write_text(text, encoding='utf-8')
