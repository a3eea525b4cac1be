"""Figures over recent events: percentiles of latencies and rates. Pure."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence


def percentiles_ms(latencies_s: Sequence[float]) -> dict[str, float | None]:
    """p50, p99 and max of latencies given in seconds, in milliseconds; None where there are none.

    Percentiles by the nearest-rank rule.
    """
    if not latencies_s:
        return {'p50': None, 'p99': None, 'max': None}
    ordered = sorted(latencies_s)
    rank_99 = max(0, -(-99 * len(ordered) // 100) - 1)
    return {
        'p50': round(1e3 * statistics.median_low(ordered), 3),
        'p99': round(1e3 * ordered[rank_99], 3),
        'max': round(1e3 * ordered[-1], 3),
    }


class RateMeter:
    """Events per second over the newest ones, 0 once they are older than `memory_s`."""

    def __init__(self, memory_s: float = 2.0, at_most: int = 240) -> None:
        self._memory_s = memory_s
        self._times_s: deque[float] = deque(maxlen=at_most)

    def tick(self, now_s: float) -> None:
        """One event happened."""
        self._times_s.append(now_s)

    def hz(self, now_s: float) -> float:
        """Mean rate, 1/s."""
        recent = [at for at in tuple(self._times_s) if now_s - at <= self._memory_s]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])
