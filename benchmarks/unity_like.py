"""What every benchmark drives with: recorded frames, and a client that behaves as Unity does."""

from __future__ import annotations

import csv
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import CULTURES, encode_telemetry
from sim_bridge.simulator.client import Client

ROOT = Path(__file__).parents[1]
LAP = ROOT.parent / 'shared' / 'data' / 'lake_lap_a'
EMBEDDED_FRAMES = 60
SPEED_MPS = 5.0
HZ = 60.0
_CULTURE = CULTURES['en-US']
_PATIENCE_S = 20.0
QUIET_S = 0.35
"""Longer than an answer takes, and shorter than the silence after which the bridge speaks up."""


def jpegs(at_most: int = 1000) -> tuple[list[bytes], str]:
    """Frames to drive with, and where they are from: the recorded lap, else the embedded track."""
    if LAP.is_dir():
        with (LAP / 'frames.csv').open(encoding='utf-8', newline='') as file:
            names = [row['frame'] for row in csv.DictReader(file)]
        return [Path(LAP, 'IMG', name).read_bytes() for name in names[:at_most]], 'a recorded lap'
    import numpy as np

    from sim_bridge.simulator.camera import encode_jpeg
    from sim_bridge.simulator.expert import TEST_SEEDS, samples

    drawn = samples(TEST_SEEDS[0], EMBEDDED_FRAMES, np.random.default_rng(1))
    return [encode_jpeg(sample.rgb) for sample in drawn], 'the embedded track, for want of a lap'


@dataclass
class Turn:
    """What a drive of some seconds gave: each latency, s, from a telemetry to its own answer."""

    latencies_s: list[float] = field(default_factory=list)
    sent: int = 0
    seconds: float = 0.0


class Car:
    """A client that acts at frame boundaries only, 60 a second, as Unity does.

    There it spends every token that it has on a telemetry, in 1016-byte continuation frames, each
    its own write, with Nagle's algorithm on. A server answers in order, so the oldest telemetry
    that is under way is the one that an answer belongs to.
    """

    def __init__(
        self,
        url: str,
        frames: Sequence[bytes],
        *,
        hz: float = HZ,
        tokens: int | None = None,
        quiet_s: float = QUIET_S,
    ) -> None:
        """Connect; `tokens`: how many may be under way at once, None: as many as there are.

        `quiet_s`: after so long without an answer none is under way any more.
        """
        self.client = Client(url, _CULTURE)
        self._payloads = [
            encode_telemetry(Telemetry(0.0, 0.0, SPEED_MPS, jpeg), _CULTURE) for jpeg in frames
        ]
        self._period_s = 1.0 / hz
        self._tokens = tokens
        self._quiet_s = quiet_s
        self._next = 0
        self._under_way: deque[float] = deque()
        self._answers = 0
        self._due_s = time.perf_counter()

    def open(self, seconds: float = 1.0) -> None:
        """Drive until the server is warm; then only tokens that really circulate are left."""
        self._serve(lambda: self.client.tokens > 0)
        self.drive(seconds)
        self.drain()

    def drive(self, seconds: float) -> Turn:
        """Drive for so long."""
        turn = Turn()
        started_s = time.perf_counter()
        self._due_s = started_s
        while (now_s := time.perf_counter()) < started_s + seconds:
            if now_s >= self._due_s:
                self._frame(turn)
            self._poll(self._due_s - time.perf_counter(), turn)
        turn.seconds = time.perf_counter() - started_s
        return turn

    def drain(self) -> None:
        """Send nothing until nothing comes any more: every token is here then."""
        quiet_s = time.perf_counter() + self._quiet_s
        turn = Turn()
        while time.perf_counter() < quiet_s:
            before = self._answers
            self._poll(0.02, turn)
            if self._answers != before:
                quiet_s = time.perf_counter() + self._quiet_s
        self._under_way.clear()

    def leave(self) -> None:
        """Disconnect as the simulator does."""
        self.client.quit()

    def _frame(self, turn: Turn) -> None:
        free = self.client.tokens
        if self._tokens is not None:
            free = min(free, self._tokens - len(self._under_way))
        for _ in range(free):
            self.client.send_telemetry(self._payloads[self._next % len(self._payloads)])
            self._next += 1
            self._under_way.append(self.client.sent_at_s or time.perf_counter())
            turn.sent += 1
        self._due_s = max(self._due_s + self._period_s, time.perf_counter() - self._period_s)

    def _poll(self, seconds: float, turn: Turn) -> None:
        self.client.poll(max(0.0, seconds))
        now_s = time.perf_counter()
        while self._answers < self.client.answers:
            self._answers += 1
            if self._under_way:
                turn.latencies_s.append(now_s - self._under_way.popleft())

    def _serve(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.perf_counter() + _PATIENCE_S
        while not condition():
            if time.perf_counter() > deadline_s:
                raise TimeoutError(f'no server within {_PATIENCE_S:.0f} s')
            self.client.poll(0.01)
