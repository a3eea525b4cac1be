# SPDX-License-Identifier: Apache-2.0
"""Functions for workers, in a module that they can import."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2


def inverse(number):
    return 1 / number


def pid_of(_):
    return os.getpid()


def threads_of(_):
    """Threads of OpenCV, of a BLAS library, and whether the runtime of networks is imported."""
    blas = os.environ['OPENBLAS_NUM_THREADS']
    return cv2.getNumThreads(), blas, 'ai_edge_litert' in sys.modules


@dataclass(frozen=True)
class Killing:
    """Kills the process that calls it with `item`, at most `times` times; else calls `function`.

    The folder remembers how often.
    """

    function: object
    item: object
    times: int
    folder: Path

    def __call__(self, item):
        if item == self.item:
            count = len(list(self.folder.iterdir()))
            if count < self.times:
                Path(self.folder, f'killed_{count}').touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.function(item)


@dataclass(frozen=True)
class Sleeping:
    """Writes its process id into a folder, then sleeps; item 0 returns at once."""

    folder: Path

    def __call__(self, item):
        if item:
            Path(self.folder, str(os.getpid())).touch()
            time.sleep(60)
