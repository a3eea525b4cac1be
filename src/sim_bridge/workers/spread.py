# SPDX-License-Identifier: Apache-2.0
"""Workers: calls one function for many items, in processes or on a Ray cluster.

The function and the items are pickled, so the function is one of a module, or a dataclass with
`__call__`. Each result depends only on its item, so it is the same wherever it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from sim_bridge.workers.attempt import Failure, Item, Result, WorkError, attempt

MAX_WORKERS = 1024


@dataclass(frozen=True)
class Workers:
    """`count` processes of this machine; one is this process. Or a Ray cluster, by its address."""

    count: int = 1
    ray_address: str = ''

    def each(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result | Failure], None, None]:
        """Yield index and result of each item, in the order in which they are finished.

        An error of the function is a Failure. Close the iterator, or exhaust it, to end the
        workers. Raises UsageError if the Ray cluster cannot be used.
        """
        if self.ray_address:
            from sim_bridge.workers.ray_cluster import on_ray

            return on_ray(function, items, self.ray_address)
        if min(self.count, len(items)) > 1:
            from sim_bridge.workers.processes import in_processes

            return in_processes(function, items, self.count)
        return ((index, attempt(function, item)) for index, item in enumerate(items))

    def in_order(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        """Yield the result of each item, in the order of the items.

        Raises WorkError, which names the item, for a Failure.
        """
        early: dict[int, Result] = {}
        wanted = 0
        with closing(self.each(function, items)) as finished:
            for index, outcome in finished:
                if isinstance(outcome, Failure):
                    raise WorkError(f'{items[index]}: {outcome.reason}')
                early[index] = outcome
                while wanted in early:
                    yield early.pop(wanted)
                    wanted += 1


ONE_PROCESS = Workers()
"""This process alone."""
