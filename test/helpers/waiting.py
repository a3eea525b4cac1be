# SPDX-License-Identifier: Apache-2.0
"""Waits for a condition in place of a time."""

import time


def wait_for(condition, seconds=10.0, what='it'):
    """Wait until `condition()` is true and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f'{what} did not happen within {seconds} s'
        time.sleep(0.02)
    return value
