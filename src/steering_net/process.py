# SPDX-License-Identifier: Apache-2.0
"""Processes that end with the program that started them or in time, and pools of workers."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

PARENT_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Environment variable with the process id of the program that this process must not outlive."""

_THREAD_VARIABLES = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block SIGINT, also in processes that are started meanwhile.

    A SIGINT in the first moments of a Python program gives a traceback. `sim-bridge` unblocks it
    when it can end cleanly.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def process_pool(count: int) -> ProcessPoolExecutor:
    """Start `count` worker processes, and return their executor.

    A worker has one thread, ignores SIGINT and ends with this process.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # Spawned, because a fork would copy locks that other threads of this process hold.
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(count, context, _begin, (os.getpid(),))
    with interrupts_blocked():
        # The first call starts all processes.
        pool.submit(os.getpid)
    return pool


def _begin(parent: int) -> None:
    """Prepare a worker, before it imports NumPy."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, '1'))
    os.environ[PARENT_VARIABLE] = str(parent)
    end_with_parent()


@contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """Let the kernel end this process if the block takes longer than this.

    Nothing in Python could, while a call in C neither returns nor lets other threads run.
    """
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def end_with_parent() -> None:
    """Send SIGTERM to this process when the process in PARENT_VARIABLE ends.

    Without that variable nothing happens, because a person started the program. A process
    descriptor becomes readable when its process ends. PR_SET_PDEATHSIG cannot be used, because
    the process to watch need not be the parent: `ros2 launch` can start a node through a prefix.
    """
    parent = os.environ.get(PARENT_VARIABLE, '')
    if not parent.isdecimal():
        return
    try:
        descriptor = os.pidfd_open(int(parent))
    except ProcessLookupError:
        _end()
    except OSError as error:
        print(
            f'process {parent} cannot be watched ({error.strerror}): this program does not end '
            'with it; Linux 5.3 or later is needed',
            file=sys.stderr,
        )
    else:
        threading.Thread(
            target=_wait_and_end, args=(descriptor,), name='end-with-parent', daemon=True
        ).start()


def _wait_and_end(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
