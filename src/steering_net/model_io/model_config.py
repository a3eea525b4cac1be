# SPDX-License-Identifier: Apache-2.0
"""Sidecar: the JSON file beside a network, with its profile and the hashes of its files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io.files import sha256_of
from steering_net.vision.profile import profile_from_json


@dataclass(frozen=True)
class Sidecar:
    """Profile, sha256 of the `.keras` file and rad per unit of the network's output.

    `litert_sha256` is the sha256 of the `.tflite` file beside it, '' without one. The profile is a
    text as `find_profile` takes it. In the file it may also be an object with the fields of a
    custom profile, such as `{"rows": [60, 136], "colour": "rgb"}`.
    """

    profile: str
    sha256: str
    steering_scale_rad: float
    litert_sha256: str = ''


def read_sidecar(model_path: Path) -> Sidecar | None:
    """Return the sidecar `<stem>.json` beside a model; None without one.

    A Keras architecture of that name is no sidecar. Raises ModelError for any other content.
    """
    path = model_path.with_suffix('.json')
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding='utf-8'))
        if isinstance(fields, str) or 'class_name' in fields:
            return None
        if isinstance(fields.get('profile'), dict):
            fields['profile'] = profile_from_json(fields['profile'])
        sidecar = Sidecar(**fields)
        if not isinstance(sidecar.steering_scale_rad, int | float):
            raise TypeError('steering_scale_rad is no number')
        return sidecar
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f'{path} does not describe a network: {error}') from error


def sidecar_of_pair(model_path: Path, profile: str, steering_scale_rad: float) -> Sidecar:
    """Return the sidecar of a `.keras` file and the `.tflite` beside it."""
    hashes = [sha256_of(path) for path in (model_path, model_path.with_suffix('.tflite'))]
    return Sidecar(profile, hashes[0], steering_scale_rad, hashes[1])


def write_sidecar(model_path: Path, sidecar: Sidecar) -> None:
    """Write `<stem>.json` beside the model."""
    text = json.dumps(asdict(sidecar), indent=2) + '\n'
    model_path.with_suffix('.json').write_text(text, encoding='utf-8')
