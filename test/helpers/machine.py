# SPDX-License-Identifier: Apache-2.0
"""Keeps tests with real deadlines apart from tests that take all of the processor."""

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


class Machine:
    """A lock of one test run with two groups: tests of one group never run beside the other's.

    A test takes the gate first, and waits at it until the other group has left. So no later test
    overtakes it.
    """

    def __init__(self, run):
        """`run` names the test run; its workers get the same lock."""
        path = Path(tempfile.gettempdir(), f'sim_bridge-tests-{os.getuid()}-{run}')
        self._gate, *self._groups = (
            path.with_suffix(f'.{name}').open('wb') for name in ('gate', 'usual', 'real_time')
        )

    @contextmanager
    def used(self, *, real_time):
        """Wait until no test of the other group runs; keep it out until the context ends."""
        own, other = self._groups[real_time], self._groups[not real_time]
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_UN)
        fcntl.flock(own, fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(own, fcntl.LOCK_UN)

    def close(self):
        """Remove the files; workers that have them open go on with them."""
        for file in (self._gate, *self._groups):
            file.close()
            Path(file.name).unlink(missing_ok=True)
