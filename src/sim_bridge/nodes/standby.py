"""The bridge's side of its guard (`bridge_guard.py`): waiting as a spare, and heartbeats."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

STANDBY_VARIABLE = 'SIM_BRIDGE_STANDBY'
"""Environment variable of a spare: a node that starts after it has read a line from stdin."""

BEAT_VARIABLE = 'SIM_BRIDGE_BEAT_FD'
"""Environment variable: descriptor of the pipe to which a guarded bridge writes heartbeats."""

BEAT_PERIOD_S = 0.25


def is_spare() -> bool:
    """Whether this process is a spare."""
    return STANDBY_VARIABLE in os.environ


def wait_for_start() -> bool:
    """Return True at once, or for a spare when its guard starts it; False if the guard ended."""
    return not is_spare() or bool(sys.stdin.readline())


def heartbeat() -> Callable[[], None] | None:
    """Return a function that writes one heartbeat; None for a bridge without a guard."""
    descriptor = os.environ.get(BEAT_VARIABLE, '')
    if not descriptor.isdecimal():
        return None
    number = int(descriptor)
    os.set_blocking(number, False)

    def beat() -> None:
        # A frozen guard does not empty the pipe. A killed guard closes it, and this process ends.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(number, b'.')

    return beat
