# SPDX-License-Identifier: Apache-2.0
"""without_notices: keeps the notices of TensorFlow's start off stderr, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LEVEL_VARIABLE = 'TF_CPP_MIN_LOG_LEVEL'
"""Environment variable of TensorFlow: the lowest level that its C++ code logs."""

_NOTICES = '^I0000 |^WARNING: All log messages before absl::InitializeLog|^To enable the following'


@contextmanager
def without_notices() -> Iterator[None]:
    """Import TensorFlow inside of this; nothing changes if the user has set LEVEL_VARIABLE.

    The C++ code writes some notices whatever the level. So `grep` reads stderr meanwhile and lets
    all other lines through. It is a process of its own, so that a crash does not hide its reason.
    """
    if LEVEL_VARIABLE in os.environ:
        yield
        return
    os.environ[LEVEL_VARIABLE] = '3'
    sys.stderr.flush()
    stderr = os.dup(2)
    command = ['grep', '--line-buffered', '-Ev', _NOTICES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stderr) as others:
        assert others.stdin is not None
        os.dup2(others.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
