# SPDX-License-Identifier: Apache-2.0
"""Other load of the machine during a measurement."""

from __future__ import annotations

import os
import statistics
import time
import zlib
from pathlib import Path
from typing import Any

_WORK = bytes(1_000_000)
_REPEATS = 30
QUIET_SPREAD = 1.15
QUIET_STEAL_PERCENT = 1.0


class Quietness:
    """Times of a fixed piece of work, load average, and stolen processor time."""

    def __init__(self) -> None:
        self._spins_ms: list[float] = []
        self._loads = [os.getloadavg()[0]]
        self._before = _cpu_times()
        self.look()

    def look(self) -> None:
        """Time the piece of work; call this between the measured turns."""
        started_s = time.perf_counter()
        for _ in range(_REPEATS):
            zlib.crc32(_WORK)
        self._spins_ms.append(1e3 * (time.perf_counter() - started_s))

    def report(self) -> dict[str, Any]:
        """Return the times of the work, ms, their spread, the load, and the stolen time, %."""
        after = _cpu_times()
        passed = {name: after[name] - self._before[name] for name in after}
        spread = statistics.median(self._spins_ms) / min(self._spins_ms)
        steal = 100.0 * passed['steal'] / max(1, sum(passed.values()))
        return {
            'spin_ms': {
                'min': round(min(self._spins_ms), 2),
                'p50': round(statistics.median(self._spins_ms), 2),
                'max': round(max(self._spins_ms), 2),
            },
            'spread': round(spread, 3),
            'steal_percent': round(steal, 2),
            'load_before': round(self._loads[0], 2),
            'load_after': round(os.getloadavg()[0], 2),
            'cpus': os.cpu_count(),
            'quiet': spread < QUIET_SPREAD and steal < QUIET_STEAL_PERCENT,
        }

    def line(self) -> str:
        """Return the report as one line."""
        return noise(self.report())


def noise(machine: dict[str, Any]) -> str:
    """Return one line about the machine's other load."""
    spin = machine['spin_ms']
    kind = 'quiet' if machine['quiet'] else 'NOISY: only the ratios are useful'
    return (
        f'machine: {machine["cpus"]} CPUs, {kind}; a fixed piece of work took '
        f'{spin["min"]:.1f} to {spin["max"]:.1f} ms (p50 {spin["p50"]:.1f}), '
        f'{machine["steal_percent"]:.1f} % stolen, '
        f'load {machine["load_before"]} before and {machine["load_after"]} after'
    )


def _cpu_times() -> dict[str, int]:
    """Return the ticks of all processors since the start by their use (man 5 proc)."""
    names = ('user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal')
    ticks = Path('/proc/stat').read_text(encoding='ascii').split('\n', 1)[0].split()[1:]
    return dict(zip(names, map(int, ticks), strict=False))
