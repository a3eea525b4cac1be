"""A process that waits, with its imports done, to replace another."""

from __future__ import annotations

import os
import sys

STANDBY_VARIABLE = 'SIM_BRIDGE_STANDBY'
"""Environment variable of a node that waits to replace another: it starts on a line of input."""


def is_spare() -> bool:
    """Whether this process waits to replace another."""
    return STANDBY_VARIABLE in os.environ


def told_to_go() -> bool:
    """Whether to start: at once, or, a spare, when told so. False when nobody is left to."""
    return not is_spare() or bool(sys.stdin.readline())
