# SPDX-License-Identifier: Apache-2.0
"""Frames for benchmarks, and a client that behaves as Unity does."""

from __future__ import annotations

import csv
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.client import Client

ROOT = Path(__file__).parents[1]
LAP = ROOT.parent / 'shared' / 'data' / 'lake_lap_a'
EMBEDDED_TRACK = 0
EMBEDDED_FRAMES = 60
SPEED_MPS = 5.0
HZ = 60.0
_CULTURE = CULTURES['en-US']
_PATIENCE_S = 20.0
QUIET_S = 0.35
"""Longer than an answer takes, and shorter than the silence after which a keepalive is sent."""


def jpegs(at_most: int = 1000) -> tuple[list[bytes], str]:
    """Return frames and their origin: the recorded lap, or the embedded track without it."""
    if LAP.is_dir():
        with (LAP / 'frames.csv').open(encoding='utf-8', newline='') as file:
            names = [row['frame'] for row in csv.DictReader(file)]
        return [Path(LAP, 'IMG', name).read_bytes() for name in names[:at_most]], 'a recorded lap'
    import numpy as np

    from sim_bridge.simulator.samples import samples
    from steering_net.vision.jpeg import encode_jpeg

    drawn = samples(EMBEDDED_TRACK, EMBEDDED_FRAMES, np.random.default_rng(1))
    return [encode_jpeg(sample.rgb) for sample in drawn], 'the embedded track (no recorded lap)'


@dataclass
class Turn:
    """Result of a drive: latencies from a telemetry to its answer, s, and counts."""

    latencies_s: list[float] = field(default_factory=list)
    sent: int = 0
    seconds: float = 0.0


class Car:
    """A client that acts only at frame boundaries, 60 per second, as Unity does.

    At each boundary it sends one telemetry per token, in continuation frames of 1016 bytes, each
    in its own write, with Nagle's algorithm on. A server answers in sequence, so an answer belongs
    to the oldest telemetry in flight.
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
        """Connect.

        tokens: largest number of telemetries in flight; None: no limit. quiet_s: after this time
        without an answer no telemetry is in flight.
        """
        self.client = Client(url, _CULTURE)
        self._telemetries = [Telemetry(0.0, 0.0, SPEED_MPS, jpeg) for jpeg in frames]
        self._period_s = 1.0 / hz
        self._tokens = tokens
        self._quiet_s = quiet_s
        self._next = 0
        self._in_flight: deque[float] = deque()
        self._answers = 0
        self._due_s = time.perf_counter()

    def open(self, seconds: float = 1.0) -> None:
        """Drive until the server is warm and only circulating tokens are left."""
        self._serve(lambda: self.client.tokens > 0)
        self.drive(seconds)
        self.drain()

    def drive(self, seconds: float) -> Turn:
        """Drive for `seconds`."""
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
        """Wait without sending until no answers arrive, so that this client has every token."""
        quiet_s = time.perf_counter() + self._quiet_s
        turn = Turn()
        while time.perf_counter() < quiet_s:
            before = self._answers
            self._poll(0.02, turn)
            if self._answers != before:
                quiet_s = time.perf_counter() + self._quiet_s
        self._in_flight.clear()

    def leave(self) -> None:
        """Disconnect as the simulator does."""
        self.client.quit()

    def _frame(self, turn: Turn) -> None:
        free = self.client.tokens
        if self._tokens is not None:
            free = min(free, self._tokens - len(self._in_flight))
        for _ in range(free):
            self.client.send_telemetry(self._telemetries[self._next % len(self._telemetries)])
            self._next += 1
            self._in_flight.append(self.client.sent_at_s or time.perf_counter())
            turn.sent += 1
        self._due_s = max(self._due_s + self._period_s, time.perf_counter() - self._period_s)

    def _poll(self, seconds: float, turn: Turn) -> None:
        self.client.poll(max(0.0, seconds))
        now_s = time.perf_counter()
        while self._answers < self.client.answers:
            self._answers += 1
            if self._in_flight:
                turn.latencies_s.append(now_s - self._in_flight.popleft())

    def _serve(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.perf_counter() + _PATIENCE_S
        while not condition():
            if time.perf_counter() > deadline_s:
                raise TimeoutError(f'no server within {_PATIENCE_S:.0f} s')
            self.client.poll(0.01)
