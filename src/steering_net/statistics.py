# SPDX-License-Identifier: Apache-2.0
"""Percentiles, correlation, autonomy, and the rate of recent events. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Series: TypeAlias = Sequence[float] | NDArray[np.float64]

_INTERVENTION_COST_S = 6.0
_CONSTANT_STD = 1e-12
_MOST_EVENTS = 240


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least `percent` of the values (0..100) do not exceed.

    That is the nearest-rank percentile: one of the values itself. Raises ValueError without any.
    """
    if not len(values):
        raise ValueError('no values have no percentile')
    rank = -(-percent * len(values) // 100)
    return float(sorted(values)[max(0, rank - 1)])


def percentiles_ms(latencies_s: Sequence[float]) -> dict[str, float | None]:
    """Return p50, p99 and max, in ms, of latencies in s; None each where there are none."""
    if not latencies_s:
        return {'p50': None, 'p99': None, 'max': None}
    ordered = sorted(latencies_s)
    percents = {'p50': 50, 'p99': 99, 'max': 100}
    return {name: round(1e3 * percentile(ordered, p), 3) for name, p in percents.items()}


def correlation(a: Series, b: Series) -> float | None:
    """Return Pearson's correlation, -1..1, of two series; None where one of them is constant."""
    if min(np.std(a), np.std(b)) < _CONSTANT_STD:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def autonomy_percent(interventions: int, duration_s: float) -> float:
    """Return the share of the time without interventions, %; each intervention counts 6 s.

    Bojarski et al., End to End Learning for Self-Driving Cars, arXiv 1604.07316, section 7.
    """
    return max(0.0, 100.0 * (1.0 - _INTERVENTION_COST_S * interventions / duration_s))


class RateMeter:
    """Rate of the newest 240 events, 1/s; 0 once they are older than `memory_s`."""

    def __init__(self, memory_s: float = 2.0) -> None:
        self._memory_s = memory_s
        self._times_s: deque[float] = deque(maxlen=_MOST_EVENTS)

    def tick(self, now_s: float) -> None:
        """Count one event."""
        self._times_s.append(now_s)

    def hz(self, now_s: float) -> float:
        """Return the mean rate, 1/s."""
        recent = [at for at in tuple(self._times_s) if now_s - at <= self._memory_s]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / (recent[-1] - recent[0])
