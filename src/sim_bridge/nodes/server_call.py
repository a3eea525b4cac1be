# SPDX-License-Identifier: Apache-2.0
"""Lets the server's thread call a function, and waits for its result."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from sim_bridge.session.car_session import ControlError
from steering_net.errors import one_line

ServerCall = Callable[[Callable[[float], object]], None]
"""Runs `function(now_s)` on the server's thread, see `SimulatorServer.call_soon`."""

SERVER_S = 1.0
"""Longest wait for the server's thread, which owns the sessions."""

T = TypeVar('T')


def call_on_server(
    call_soon: ServerCall, function: Callable[[float], T], *, if_late: str = ''
) -> T:
    """Let the server's thread call `function` with the time; return its result.

    Raises ControlError if `function` raises it, if `function` fails with another error, or if the
    server's thread has not called it within `SERVER_S`. It is not called after that, unless
    `if_late` says, for the error, what it does then.
    """
    outcome: Future[T] = Future()

    def call(now_s: float) -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(function(now_s))
        except ControlError as error:
            outcome.set_exception(error)
        except Exception as error:
            outcome.set_exception(ControlError(f'the bridge failed: {one_line(error)}'))
            raise  # The server logs it.

    call_soon(call)
    try:
        return outcome.result(SERVER_S)
    except TimeoutError:
        if if_late or outcome.cancel():
            consequence = if_late or 'the request is cancelled'
            raise ControlError(f'the server of the bridge does not react; {consequence}') from None
        # It has begun just now, and takes microseconds.
        return outcome.result()
