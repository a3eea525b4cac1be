"""Tells a program when the one that started it was killed and could not end it itself."""

from __future__ import annotations

import os
from pathlib import Path

PARENT_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Environment variable naming the process without which the program has no reason to live."""


def parent_is_gone() -> bool:
    """Whether the process that PARENT_VARIABLE names has ended; False if it is not set."""
    parent = os.environ.get(PARENT_VARIABLE, '')
    return parent.isdecimal() and not _lives(parent)


def _lives(pid: str) -> bool:
    """Whether a process runs. One that has ended stays listed until somebody asks for its end."""
    try:
        stat = Path('/proc', pid, 'stat').read_text(encoding='ascii', errors='replace')
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(')')[2].split()[0] not in 'ZX'
