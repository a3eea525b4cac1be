"""Ends a program together with the one that started it, even one that was killed."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

PARENT_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Environment variable: process id of the program without which this one has no reason to live."""


def end_with_parent() -> None:
    """Have this process receive SIGTERM once the process that PARENT_VARIABLE names has ended.

    Without that variable nothing happens, because a person started the program. The kernel tells
    of the end through a process descriptor. A parent's death signal (prctl) would not do, because
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
            target=_wait_and_end, args=(descriptor,), name='lifeline', daemon=True
        ).start()


def _wait_and_end(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
