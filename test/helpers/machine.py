# SPDX-License-Identifier: Apache-2.0
"""Lets a test with real deadlines have the machine to itself when other workers run tests too."""

import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


class Machine:
    """A lock of one test run: many tests share the machine, or one test has it alone.

    A test takes the gate before it takes the machine. One that waits for the machine keeps the
    gate, so that no later test overtakes it.
    """

    def __init__(self, run):
        """`run` names the test run; its workers get the same lock."""
        self._path = Path(tempfile.gettempdir(), f'sim_bridge-tests-{os.getuid()}-{run}.lock')
        self._machine = self._path.open('wb')
        self._gate = self._path.with_suffix('.gate').open('wb')

    @contextmanager
    def used(self, *, alone):
        """Wait for the machine, then have it until the context ends."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._machine, fcntl.LOCK_UN)

    def close(self):
        """Remove the files; workers that have them open go on with them."""
        for file in (self._machine, self._gate):
            file.close()
            Path(file.name).unlink(missing_ok=True)
