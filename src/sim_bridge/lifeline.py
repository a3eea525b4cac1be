"""Ends a program when the one that started it was killed and could not end it itself."""

from __future__ import annotations

import os

PARENT_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Environment variable naming the process without which the program has no reason to live."""


_parent = os.environ.get(PARENT_VARIABLE, '')
_is_own_parent = _parent == str(os.getppid())


def parent_is_gone() -> bool:
    """Whether the process that PARENT_VARIABLE names has ended; False if it is not set."""
    if not _parent.isdecimal():
        return False
    if _is_own_parent:
        return str(os.getppid()) != _parent
    try:
        os.kill(int(_parent), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
