"""Ends a program when the one that started it was killed and could not end it itself."""

from __future__ import annotations

import os
import sys

PARENT_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Environment variable naming the process without which the program has no reason to live."""

STANDBY_VARIABLE = 'SIM_BRIDGE_STANDBY'
"""Environment variable of a node that waits to replace another: it starts on a line of input."""


def told_to_go() -> bool:
    """Whether to start: at once, or, on standby, when told so. False when nobody is left to."""
    return STANDBY_VARIABLE not in os.environ or bool(sys.stdin.readline())


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
