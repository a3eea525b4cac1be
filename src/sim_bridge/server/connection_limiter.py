# SPDX-License-Identifier: Apache-2.0
"""Limits the number of connections and their pace, and chooses the one to close for a new one.

A full server that accepts nothing locks out a simulator that wants to reconnect. A server that
rejects it makes it try again a thousand times a second. So the newest connection always gets in,
and the one that has been silent for longest is closed, first of those that have not opened a
WebSocket. The connection of a client that drives stays.

Pure: no socket, no clock; belongs to one thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Generic, TypeVar

K = TypeVar('K')


class ConnectionLimiter(Generic[K]):
    """The connections, by any hashable key, in the order in which they were last heard."""

    def __init__(
        self,
        drives: Callable[[K], bool],
        at_most: int = 128,
        per_second: float = 100.0,
        burst: int = 10,
    ) -> None:
        """Allow `at_most` connections, and `per_second` new ones after a burst.

        `drives` returns whether a WebSocket has to stay. If all have to, one is closed anyway.
        """
        self._drives = drives
        self._at_most = at_most
        self._per_second = per_second
        self._burst = float(burst)
        self._credit = float(burst)
        self._counted_s = 0.0
        self._pending: OrderedDict[K, None] = OrderedDict()
        self._established: OrderedDict[K, None] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._pending) + len(self._established)

    def pause_s(self, now_s: float) -> float:
        """Return the time to wait before the next connection is accepted, s."""
        gained = max(0.0, now_s - self._counted_s) * self._per_second
        self._credit = min(self._burst, self._credit + gained)
        self._counted_s = now_s
        return max(0.0, 1.0 - self._credit) / self._per_second

    def admit(self, key: K) -> K | None:
        """Add an accepted connection; return the one to close for it, if any."""
        self._credit -= 1.0
        evicted = None
        if len(self) >= self._at_most:
            evicted = self._longest_silent()
            self.leave(evicted)
            self.evicted += 1
        self._pending[key] = None
        return evicted

    def promote(self, key: K) -> None:
        """Note that a connection became a WebSocket."""
        if key in self._pending:
            del self._pending[key]
            self._established[key] = None

    def heard(self, key: K) -> None:
        """Note that a WebSocket has received something."""
        if key in self._established:
            self._established.move_to_end(key)

    def leave(self, key: K) -> None:
        """Remove a connection that has ended."""
        self._pending.pop(key, None)
        self._established.pop(key, None)

    def _longest_silent(self) -> K:
        others = (key for key in self._established if not self._drives(key))
        return next(chain(self._pending, others, self._established))
