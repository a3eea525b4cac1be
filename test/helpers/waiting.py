# SPDX-License-Identifier: Apache-2.0
"""Waits for a condition in place of a time."""

import time

PATIENCE_S = 60.0
"""How long a test waits for what has no deadline: longer than the busiest machine needs, s."""


def wait_for(condition, seconds=PATIENCE_S, what='it'):
    """Wait until `condition()` is true and return its value.

    Give `seconds` only where the product has a deadline. Nothing else may fail on a busy machine.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f'{what} did not happen within {seconds} s'
        time.sleep(0.02)
    return value


def poll_until(client, condition):
    """Let a simulator's client serve its socket until `condition()` is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f'it did not happen within {PATIENCE_S} s'
        client.poll(0.01)
