"""The small JSON file beside a trained network: how to feed it, and which weights it describes."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from steering_net.loader import ModelError


@dataclass(frozen=True)
class Sidecar:
    """Profile name, sha256 of the `.keras` file and rad per unit of the network's output."""

    profile: str
    sha256: str
    steering_scale_rad: float


def read_sidecar(model_path: Path) -> Sidecar | None:
    """Return what `<stem>.json` beside the model says, None where there is no such file.

    Raises ModelError for a file that is there but is no sidecar.
    """
    path = model_path.with_suffix('.json')
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding='utf-8'))
        return Sidecar(**fields)
    except (ValueError, TypeError) as error:
        raise ModelError(f'{path} does not describe a network: {error}') from error


def write_sidecar(model_path: Path, sidecar: Sidecar) -> None:
    """Write `<stem>.json` beside the model."""
    text = json.dumps(asdict(sidecar), indent=2) + '\n'
    model_path.with_suffix('.json').write_text(text, encoding='utf-8')


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's content; ModelError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ModelError(f'cannot read the model {path}: {reason}') from error
