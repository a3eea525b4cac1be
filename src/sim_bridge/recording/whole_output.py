# SPDX-License-Identifier: Apache-2.0
"""Output that appears when it is complete, and not at all after an error or Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write, which becomes `path` at the end of the context.

    The file has the same name, in a temporary folder beside `path`. After any exception it is
    removed.
    """
    with _part_of(path, path.absolute().parent) as folder:
        part = folder / path.name
        yield part
        os.replace(part, path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, whose content becomes that of `path` at the end.

    `path` is a new folder, or one without the names that are written. The folder that is yielded
    is on its file system. After any exception it is removed.
    """
    is_new = not path.is_dir()
    if is_new:
        path.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(path, path.absolute().parent if is_new else path) as folder:
        part = folder / 'content'
        part.mkdir()
        yield part
        if is_new:
            os.replace(part, path)
        else:
            for one in sorted(part.iterdir()):
                os.replace(one, path / one.name)


@contextmanager
def _part_of(path: Path, place: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix=f'{path.name}.part_', dir=place) as folder:
        yield Path(folder)
