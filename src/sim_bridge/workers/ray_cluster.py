# SPDX-License-Identifier: Apache-2.0
"""Workers on a Ray cluster. Each of its machines needs this package, of the same version."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any

from sim_bridge.errors import UsageError
from sim_bridge.workers.attempt import (
    LOST,
    MAX_LOSSES,
    Failure,
    Item,
    Result,
    attempt_on_one_thread,
)

_PATIENCE_S = 5.0


def on_ray(
    function: Callable[[Item], Result], items: Sequence[Item], address: str
) -> Generator[tuple[int, Result | Failure], None, None]:
    """Yield index and result of each item, in the order in which they are finished.

    Every item takes one processor of the cluster. What a lost worker or machine had is done again.
    Raises UsageError if there is no cluster at the address, or if Ray is not installed.
    """
    ray = _connected(address)
    try:
        remote = ray.remote(num_cpus=1, max_retries=MAX_LOSSES - 1)(attempt_on_one_thread)
        shared = ray.put(function)
        running = {remote.remote(shared, item): index for index, item in enumerate(items)}
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            index = running.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.WorkerCrashedError:
                outcome = LOST
            except ray.exceptions.RayError as error:
                # The lines before the last one are a traceback.
                outcome = Failure(str(error).strip().splitlines()[-1])
            yield index, outcome
    finally:
        ray.shutdown()


def _connected(address: str) -> Any:
    """Return the module `ray`, connected to a cluster."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--ray needs Ray; install it: pip install 'sim_bridge[scale]'") from error
    _check_reachable(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f'--ray: {address} is not a Ray cluster: {reason}') from error
    return ray


def _check_reachable(address: str) -> None:
    """Raise UsageError if nothing listens at HOST:PORT, because Ray itself tries for minutes."""
    host, colon, port = address.removeprefix('ray://').rpartition(':')
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), _PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f'--ray: there is no Ray cluster at {address}: {error}; start one: ray start --head'
        ) from error
