# SPDX-License-Identifier: Apache-2.0
"""Files: hashes, and writing so that a file appears only when it is complete."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io.network_files import lacking, parts_of

_PART_BYTES = 1 << 20


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file that appears only when it is complete; create its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix='.part-') as folder:
        part = Path(folder, target.name)
        part.write_bytes(content)
        publish(part, target)


def publish(made: Path, target: Path) -> None:
    """Move a complete file to its place on the same disk, readable for all.

    Temporary files are private, but networks are shared.
    """
    made.chmod(0o644)
    os.replace(made, target)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's content, or of all files of a SavedModel.

    Raises ModelError if it cannot be read, and for any other folder.
    """
    try:
        if not path.is_dir():
            return _sha256_of_file(path)
        graph, *folders = parts_of(path)
        if not graph.is_file():
            raise ModelError(f'{path.name} cannot be loaded: {lacking(path)}')
        inside = (file for folder in folders for file in folder.rglob('*') if file.is_file())
        files = [graph, *sorted(inside)]
        return combined(f'{file.relative_to(path)} {sha256_of(file)}' for file in files)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ModelError(f'cannot read the model {path}: {reason}') from error


def _sha256_of_file(path: Path) -> str:
    found = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(_PART_BYTES):
            found.update(part)
    return found.hexdigest()


def combined(hashes: Iterable[str]) -> str:
    """Return one sha256 of several lines."""
    return hashlib.sha256('\n'.join(hashes).encode()).hexdigest()
