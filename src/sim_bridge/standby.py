"""The bridge's side of its guard (`guard.py`): it waits as a spare, and shows that it is alive."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

STANDBY_VARIABLE = 'SIM_BRIDGE_STANDBY'
"""Environment variable of a node that waits to replace another: it starts on a line of input."""

BEAT_VARIABLE = 'SIM_BRIDGE_BEAT_FD'
"""Environment variable: the descriptor to which a guarded bridge writes a byte with each beat."""

BEAT_PERIOD_S = 0.25


def is_spare() -> bool:
    """Whether this process waits to replace another."""
    return STANDBY_VARIABLE in os.environ


def told_to_go() -> bool:
    """Whether to start: at once, or, for a spare, once its guard says so. False if that ended."""
    return not is_spare() or bool(sys.stdin.readline())


def heart() -> Callable[[], None] | None:
    """A function that beats once; None where no guard listens."""
    descriptor = os.environ.get(BEAT_VARIABLE, '')
    if not descriptor.isdecimal():
        return None
    number = int(descriptor)
    os.set_blocking(number, False)

    def beat() -> None:
        # A guard that is frozen reads nothing, one that was killed is followed by our own end.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(number, b'.')

    return beat
