# SPDX-License-Identifier: Apache-2.0
"""Worker processes on this machine.

Each worker is an executor with a single process. So a process that dies breaks one executor, and
it is known which item it had.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sim_bridge.workers.attempt import (
    LOST,
    MAX_LOSSES,
    Failure,
    Item,
    Result,
    attempt_on_one_thread,
)
from steering_net.process import process_pool


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Generator[tuple[int, Result | Failure], None, None]:
    """Yield index and result of each item, in the order in which they are finished.

    `count` processes share the items. An item whose process died is done again by a new one. The
    processes end when the iterator is closed.
    """
    before = set(multiprocessing.active_children())
    waiting = deque(range(len(items)))
    losses: Counter[int] = Counter()
    workers = [process_pool(1) for _ in range(min(count, len(items)))]
    running: dict[Future[Any], tuple[int, int]] = {}

    def replace(place: int) -> None:
        workers[place].shutdown()
        workers[place] = process_pool(1)

    def submit(place: int, index: int) -> None:
        future = workers[place].submit(attempt_on_one_thread, function, items[index])
        running[future] = place, index

    def start(place: int) -> None:
        if not waiting:
            return
        index = waiting.popleft()
        try:
            submit(place, index)
        except BrokenProcessPool:
            # The process died between two items.
            replace(place)
            submit(place, index)

    try:
        for place in range(len(workers)):
            start(place)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                place, index = running.pop(future)
                outcome = _outcome(future)
                if outcome is LOST:
                    replace(place)
                    losses[index] += 1
                    if losses[index] < MAX_LOSSES:
                        waiting.appendleft(index)
                start(place)
                if outcome is not LOST or losses[index] == MAX_LOSSES:
                    yield index, outcome
    finally:
        for process in set(multiprocessing.active_children()) - before if running else ():
            process.terminate()
        for worker in workers:
            worker.shutdown(cancel_futures=True)


def _outcome(future: Future[Result | Failure]) -> Result | Failure:
    """Return the outcome of an attempt, LOST if its process died."""
    try:
        return future.result()
    except BrokenProcessPool:
        return LOST
