# SPDX-License-Identifier: Apache-2.0
"""Output of verbs: JSON files, and a status line on a terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write the content as indented JSON; other programs never see a half-written file."""
    partial = path.with_name(f'{path.name}.part')
    partial.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    os.replace(partial, path)


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
