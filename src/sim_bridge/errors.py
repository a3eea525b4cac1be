"""The one error that ends a program before it has begun, and what is checked for several."""

import os
from pathlib import Path


class UsageError(RuntimeError):
    """Something that a person has to change first; the message is one line: what, and the fix."""


def check_target(option: str, path: Path | None) -> None:
    """Raise UsageError where a file named by `option` could not be written when all is done."""
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f'{option}: there is no folder {folder}')
    if path.is_dir():
        raise UsageError(f'{option}: {path} is a folder, name a file in it')
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f'{option}: {path} cannot be written')
