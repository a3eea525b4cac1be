# SPDX-License-Identifier: Apache-2.0
"""The bridge's side of its guard (`bridge_guard.py`): waiting as a spare, and heartbeats.

Each heartbeat names the cars that are held, so that the guard passes them on to the next bridge.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterable

STANDBY_VARIABLE = 'SIM_BRIDGE_STANDBY'
"""Environment variable of a spare: a node that starts after it has read a line from stdin."""

BEAT_VARIABLE = 'SIM_BRIDGE_BEAT_FD'
"""Environment variable: descriptor of the pipe to which a guarded bridge writes heartbeats."""

HELD_VARIABLE = 'SIM_BRIDGE_HELD'
"""Environment variable: numbers of the cars that the bridge before held, with commas."""

TOKEN_VARIABLE = 'SIM_BRIDGE_CONTROL_TOKEN'
"""Environment variable: token of pages that control the drive, the same for the next bridge."""

BEAT_PERIOD_S = 0.25


def is_spare() -> bool:
    """Whether this process is a spare."""
    return STANDBY_VARIABLE in os.environ


def wait_for_start() -> bool:
    """Return True at once, or for a spare when its guard starts it; False if the guard ended."""
    if not is_spare():
        return True
    line = sys.stdin.readline()
    os.environ[HELD_VARIABLE] = line.strip()
    return bool(line)


def held_cars() -> list[int]:
    """Return the numbers, counted from 1, of the cars that the bridge before this one held."""
    return [int(number) for number in os.environ.get(HELD_VARIABLE, '').split(',') if number]


def control_token() -> str:
    """Return the token of the environment, or a new one, which child processes get too.

    An empty variable counts as none, because no token would let everyone control the drive.
    """
    token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(16)
    os.environ[TOKEN_VARIABLE] = token
    return token


def heartbeat(held: Callable[[], Iterable[int]]) -> Callable[[], None] | None:
    """Return a function that writes one heartbeat; None for a bridge without a guard.

    `held` returns the numbers of the cars that are held now.
    """
    descriptor = os.environ.get(BEAT_VARIABLE, '')
    if not descriptor.isdecimal():
        return None
    number = int(descriptor)
    os.set_blocking(number, False)

    def beat() -> None:
        # A frozen guard does not empty the pipe. A killed guard closes it, and this process ends.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(number, f'{",".join(map(str, held()))}\n'.encode())

    return beat
