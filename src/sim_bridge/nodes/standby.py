"""The bridge's side of its guard (`guard.py`): waiting as a spare, and the heartbeat."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

STANDBY_VARIABLE = 'SIM_BRIDGE_STANDBY'
"""Environment variable of a node that waits to replace another: it starts on a line of input."""

BEAT_VARIABLE = 'SIM_BRIDGE_BEAT_FD'
"""Environment variable: descriptor of the pipe into which a guarded bridge writes heartbeats."""

BEAT_PERIOD_S = 0.25


def is_spare() -> bool:
    """Whether this process waits to replace another."""
    return STANDBY_VARIABLE in os.environ


def told_to_go() -> bool:
    """Whether to start: at once, or, for a spare, once its guard says so. False if that ended."""
    return not is_spare() or bool(sys.stdin.readline())


def heartbeat() -> Callable[[], None] | None:
    """Return a function that sends one heartbeat; None for a bridge without a guard."""
    descriptor = os.environ.get(BEAT_VARIABLE, '')
    if not descriptor.isdecimal():
        return None
    number = int(descriptor)
    os.set_blocking(number, False)

    def beat() -> None:
        # A frozen guard does not empty the pipe. A killed guard closes it, and we end too.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(number, b'.')

    return beat
