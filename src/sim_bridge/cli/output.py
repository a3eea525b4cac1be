# SPDX-License-Identifier: Apache-2.0
"""Output of verbs: JSON files, and a status line on a terminal."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from sim_bridge.errors import UsageError
from sim_bridge.recording.whole_output import whole_file


def write_json(path: Path, content: Any) -> None:
    """Write the content as indented JSON; other programs never see a half-written file.

    Numbers that are not finite become null, because JSON has none. A link stays a link. A pipe or
    a device is written to, and the standard output is printed to. Raises UsageError if the file
    cannot be written; so print what it holds before.
    """
    text = json.dumps(_finite(content), indent=2, allow_nan=False) + '\n'
    if path.exists() and _is_stdout(path):
        print(text, end='')
        return
    try:
        if is_stream(path):
            path.write_text(text, encoding='utf-8')
        else:
            with whole_file(path.resolve()) as part:
                part.write_text(text, encoding='utf-8')
    except OSError as error:
        raise UsageError(f'{path} cannot be written: {error.strerror}') from error


def is_stream(path: Path) -> bool:
    """Whether this is a pipe, a device or the standard output, such as /dev/stdout."""
    return path.exists() and (not path.is_file() or _is_stdout(path))


def _is_stdout(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except OSError:  # There is no standard output.
        return False


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class StatusLine:
    """One line on a terminal that is overwritten; prints nothing where there is no terminal."""

    def __init__(self) -> None:
        self.is_live = sys.stdout.isatty()
        self._shown = ''

    def show(self, line: str) -> None:
        """Replace the line."""
        if self.is_live and line != self._shown:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{line[:width]}\x1b[K', end='', flush=True)
            self._shown = line

    def report(self, line: str) -> None:
        """Print a message to stderr below the line."""
        self.close()
        print(line, file=sys.stderr)

    def close(self) -> None:
        """Keep the line as it is and begin a new one."""
        if self._shown:
            print()
            self._shown = ''
