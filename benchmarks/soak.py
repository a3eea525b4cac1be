# SPDX-License-Identifier: Apache-2.0
"""Drive for a long time; fail if memory, threads, descriptors or latency grow, or a token is lost.

    make soak MINUTES=60

The three nodes and the embedded simulator run as in `make drive`. The first minute is warm-up.
After it, each process is sampled every ten seconds. The table compares the first third of the
samples with the last third. The exit code is 1 if memory grew by more than 5 %, if threads or
descriptors grew, if the median latency grew by more than 50 % and 1 ms, or if a token was lost.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from options import at_least

from helpers.graph import Graph
from helpers.network import own_domain_id
from sim_bridge.process import ManagedProcess

WARM_UP_S = 60.0
SAMPLE_S = 10.0
GROWTH_AT_MOST = 0.05
LATENCY_GROWTH_AT_MOST = 0.5
LATENCY_SLACK_MS = 1.0
PAGE_MB = os.sysconf('SC_PAGE_SIZE') / 1e6


@dataclass
class Series:
    """One figure of one process over time, and the condition for too much growth."""

    name: str
    unit: str
    is_bad: Callable[[float, float], bool]
    values: list[float] = field(default_factory=list)

    @property
    def ends(self) -> tuple[float, float]:
        """Medians of the first and the last third of the samples."""
        third = max(1, len(self.values) // 3)
        return statistics.median(self.values[:third]), statistics.median(self.values[-third:])

    def row(self) -> str:
        """Return one line of the table."""
        first, last = self.ends
        growth = 100.0 * (last - first) / first if first else 0.0
        outcome = 'GROWS' if self.is_bad(first, last) else 'ok'
        figures = f'{first:10.2f} {last:10.2f} {max(self.values):10.2f} {growth:+8.1f} %'
        return f'{self.name:26} {self.unit:6} {figures}  {outcome}'


def memory_mb(pid: int) -> float:
    """Return the resident memory, MB."""
    return int(Path(f'/proc/{pid}/statm').read_text(encoding='ascii').split()[1]) * PAGE_MB


def threads(pid: int) -> float:
    """Return the number of threads."""
    return len(os.listdir(f'/proc/{pid}/task'))


def descriptors(pid: int) -> float:
    """Return the number of open file descriptors."""
    return len(os.listdir(f'/proc/{pid}/fd'))


FIGURES: tuple[tuple[str, str, Callable[[int], float], Callable[[float, float], bool]], ...] = (
    ('memory', 'MB', memory_mb, lambda first, last: last > first * (1 + GROWTH_AT_MOST)),
    ('threads', '', threads, lambda first, last: last > first),
    ('descriptors', '', descriptors, lambda first, last: last > first),
)


class Soak:
    """The processes of a drive and their figures over time."""

    def __init__(self, graph: Graph, simulator: ManagedProcess) -> None:
        self._graph = graph
        self._children = {**graph.nodes, 'simulator': simulator}
        self.series = {
            (child, figure): Series(f'{child} {figure}', unit, is_bad)
            for child in self._children
            for figure, unit, _, is_bad in FIGURES
        }
        self.latency = Series('answer latency p50', 'ms', has_drifted)
        self.state: dict[str, Any] = {}

    def sample(self) -> None:
        """Sample every process once."""
        for child, process in self._children.items():
            if process.exit_code is not None:
                raise SystemExit(f'the {child} ended with {process.exit_code}')
            for figure, _, read, _ in FIGURES:
                self.series[child, figure].values.append(read(process.pid))
        self.read_state()
        if (p50 := self.state['latency_ms']['p50']) is not None:
            self.latency.values.append(p50)

    def read_state(self) -> None:
        """Read the bridge's counters while it runs."""
        self.state = self._graph.state() or self.state

    def failures(self) -> list[str]:
        """Return one line for each failed check."""
        everything = [*self.series.values(), self.latency]
        bad = [one.name for one in everything if one.is_bad(*one.ends)]
        lost = self.lost_tokens
        return bad + ([f'{lost} tokens lost'] if lost else [])

    @property
    def lost_tokens(self) -> int:
        """Number of telemetries without an answer, and of keepalives.

        The last telemetry may still wait for its commands when the simulator leaves.
        """
        state = self.state
        unanswered = state['telemetry'] - state['answers'] - state['superseded']
        lost = max(unanswered - 1, -unanswered)
        return int(lost + state['keepalives'] + state['unsent_answers'])

    def print_table(self, seconds: float) -> None:
        """Print all figures."""
        print(f'{"":26} {"":6} {"first":>10} {"last":>10} {"highest":>10} {"growth":>10}')
        for one in [*self.series.values(), self.latency]:
            print(one.row())
        counts = ('telemetry', 'answers', 'superseded', 'timeouts', 'late_commands', 'bad_packets')
        totals = ', '.join(f'{self.state[count]} {count}' for count in counts)
        print(f'{seconds / 60:.1f} minutes: {totals}, {self.lost_tokens} tokens lost')


def has_drifted(first_ms: float, last_ms: float) -> bool:
    """Return whether the latency has grown by too much."""
    return last_ms > first_ms * (1 + LATENCY_GROWTH_AT_MOST) + LATENCY_SLACK_MS


def soak(minutes: float) -> int:
    """Drive and print the table; return the exit code."""
    os.environ |= {
        'ROS_DOMAIN_ID': str(own_domain_id()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    with Graph() as graph:
        simulator = ManagedProcess('simulator', ['simulate', '--url', graph.url()])
        try:
            seen = Soak(graph, simulator)
            watch(seen, minutes)
        finally:
            simulator.ask_to_end()
            simulator.wait(10.0)
        time.sleep(0.5)
        seen.read_state()
    seen.print_table(60.0 * minutes)
    failures = seen.failures()
    print(f'failed: {"; ".join(failures)}' if failures else 'nothing grew, and no token was lost')
    return 1 if failures else 0


def watch(seen: Soak, minutes: float) -> None:
    """Take samples until the time is over; show the progress on a terminal."""
    started_s = time.monotonic()
    end_s = started_s + 60.0 * minutes
    time.sleep(min(WARM_UP_S, 20.0 * minutes))
    while time.monotonic() < end_s:
        seen.sample()
        if sys.stderr.isatty():
            passed = (time.monotonic() - started_s) / 60.0
            print(f'\r{passed:.1f} of {minutes:g} minutes', end='', file=sys.stderr, flush=True)
        time.sleep(min(SAMPLE_S, max(0.1, end_s - time.monotonic())))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark with the options of the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument(
        '--minutes', type=at_least(0.1, 10_000), default=60.0, help='duration of the drive'
    )
    args = parser.parse_args(argv)
    with suppress(KeyboardInterrupt):
        return soak(args.minutes)
    return 130


if __name__ == '__main__':
    sys.exit(main())
