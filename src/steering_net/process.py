# SPDX-License-Identifier: Apache-2.0
"""end_with_parent: ends this process when the program that started it has ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

PARENT_VARIABLE = 'SIM_BRIDGE_PARENT_PID'
"""Environment variable with the process id of the program that this process must not outlive."""


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
