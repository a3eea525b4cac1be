# SPDX-License-Identifier: Apache-2.0
"""Keeps tests with real deadlines apart from tests that take all of the processor."""

import fcntl
import os
import tempfile
from pathlib import Path


class Machine:
    """A lock of one test run with two groups: tests of one group never run beside the other's.

    A worker stays in its group until it takes the other one, so that two workers do not alternate
    at the end of the first group.
    """

    def __init__(self, run):
        """`run` names the test run; its workers get the same lock."""
        path = Path(tempfile.gettempdir(), f'sim_bridge-tests-{os.getuid()}-{run}')
        self._gate, *self._groups = (
            path.with_suffix(f'.{name}').open('wb') for name in ('gate', 'usual', 'real_time')
        )
        self._joined = None

    def join(self, *, real_time):
        """Wait until the other group is empty, and keep it empty until `leave`."""
        own, other = self._groups[real_time], self._groups[not real_time]
        if own is self._joined:
            return
        self.leave()
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(own, fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._joined = own

    def leave(self):
        if self._joined is not None:
            fcntl.flock(self._joined, fcntl.LOCK_UN)
            self._joined = None

    def close(self):
        """Remove the files; workers that have them open go on with them."""
        for file in (self._gate, *self._groups):
            file.close()
            Path(file.name).unlink(missing_ok=True)
