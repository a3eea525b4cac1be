"""One simulator's tokens and deadlines: which answer is due, and when.

The simulator sends one telemetry for each answer it gets, so every telemetry is a token that has
to be answered exactly once: unanswered, the simulator falls silent and its car keeps the last
command; answered twice, tokens multiply. `Pairing` holds the token until the steering with the
token's own stamp and a fresh throttle are there, or until a deadline passes.

Pure: no clock, no socket, no thread of its own. Times are seconds of any monotonic clock that the
caller passes in. Whoever owns a `Pairing` calls it from one thread only and asks `next_deadline`
when to call `expire` next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from sim_bridge.pedals import Pedals
from sim_bridge.protocol import Command


class State(Enum):
    """What the car of a session is doing, as diagnostics say it."""

    WAITING = 'waiting for telemetry'
    DRIVING = 'driving'
    DEGRADED = 'late commands: rolling with zero throttle'
    STOPPED = 'stopped: no fresh command'
    MANUAL = 'driven by hand'


@dataclass(frozen=True)
class Limits:
    """Time limits, all in seconds. ValueError names the field that is out of range."""

    command_timeout_s: float = 0.1
    stop_timeout_s: float = 0.5
    settle_s: float = 0.05
    kick_after_s: float = 0.5
    kick_at_most_every_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f'{name} is {value}, it must be a positive number of seconds')
        if self.stop_timeout_s < self.command_timeout_s:
            raise ValueError(
                f'stop_timeout_s is {self.stop_timeout_s}, it must not be shorter than '
                f'command_timeout_s ({self.command_timeout_s})'
            )


@dataclass
class Counters:
    """What happened so far; one set may serve several pairings after each other."""

    telemetry: int = 0
    answers: int = 0
    timeouts: int = 0
    late_commands: int = 0
    rejected_commands: int = 0
    collapsed: int = 0
    kicks: int = 0
    bad_packets: int = 0


@dataclass
class _Token:
    stamp_ns: int
    received_s: float
    speed_mps: float
    answered_rad: float | None = None


@dataclass(frozen=True)
class Answer:
    """A command to send now. latency_s: since its telemetry came; None for a kick."""

    command: Command
    latency_s: float | None = None


class Pairing:
    """Token and deadline logic of one simulator; most inputs may return the answer now due.

    Each source of commands owes a value from the first telemetry that it has not reacted to;
    how long it has been owing decides between driving, rolling and braking. A pause of the
    simulator itself therefore never counts against anybody.
    """

    def __init__(self, limits: Limits, started_s: float, counters: Counters | None = None) -> None:
        self.limits = limits
        self.counters = counters or Counters()
        self.state = State.WAITING
        self.speed_mps = 0.0
        self._pedals = Pedals()
        self._token: _Token | None = None
        self._collapsed_stamp_ns: int | None = None
        self._steering_rad = 0.0
        self._throttle: float | None = None
        self._steering_owed_s: float | None = None
        self._throttle_owed_s: float | None = None
        self._hold_next = True
        self._hold_until_s = -math.inf
        self._heard_s = started_s
        self._kick_wait_s = limits.kick_after_s

    def telemetry(self, now_s: float, stamp_ns: int, speed_mps: float) -> None:
        """A telemetry came. One that still waits is given up: its token collapses into this.

        The first of a connection is held for a moment, for the simulator opens with two.
        """
        self._hear(now_s)
        if self._token is not None:
            self._collapsed_stamp_ns = self._token.stamp_ns
            self.counters.collapsed += 1
            self._hold_until_s = -math.inf
        self.speed_mps = speed_mps
        self._token = _Token(stamp_ns, now_s, speed_mps)
        self._steering_owed_s = _earliest(self._steering_owed_s, now_s)
        self._throttle_owed_s = _earliest(self._throttle_owed_s, now_s)

    @property
    def has_token(self) -> bool:
        """Whether a telemetry waits for its answer."""
        return self._token is not None

    def bad_packet(self, now_s: float) -> Answer | None:
        """A telemetry came that cannot be used. Its token lives on: it is answered at once."""
        self._hear(now_s)
        self.counters.bad_packets += 1
        if self._token is not None:
            self.counters.collapsed += 1
            return None
        self._steering_owed_s = _earliest(self._steering_owed_s, now_s)
        return self._fall_back(now_s, _Token(-1, now_s, self.speed_mps))

    def manual(self, now_s: float) -> None:
        """A person drives: the caller answers `manual`, and nobody owes a command."""
        self._hear(now_s)
        self.counters.answers += 1
        self._token = self._steering_owed_s = self._throttle_owed_s = None
        self.state = State.MANUAL

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> Answer | None:
        """A steering command came, computed from the frame with this stamp."""
        if not math.isfinite(steering_rad):
            self.counters.rejected_commands += 1
            return None
        if self._token is None or self._token.stamp_ns != stamp_ns:
            if stamp_ns != self._collapsed_stamp_ns:
                self.counters.late_commands += 1
            return None
        self._token.answered_rad = self._steering_rad = steering_rad
        self._steering_owed_s = None
        return self._pair(now_s)

    def throttle(self, now_s: float, throttle: float) -> Answer | None:
        """A throttle command came, -1..1."""
        if not math.isfinite(throttle):
            self.counters.rejected_commands += 1
            return None
        self._throttle = throttle
        self._throttle_owed_s = None
        return self._pair(now_s)

    def expire(self, now_s: float) -> Answer | None:
        """Give the answer whose time has come, if there is one."""
        if now_s >= self._hold_until_s:
            self._hold_until_s = -math.inf
        if self._token is None:
            return self._kick(now_s)
        paired = self._pair(now_s)
        if paired is not None or now_s < self._token_deadline(self._token):
            return paired
        self.counters.timeouts += 1
        return self._fall_back(now_s, self._token)

    def next_deadline(self) -> float:
        """When `expire` has to be called next at the latest, seconds of the caller's clock."""
        if self._token is None:
            return self._heard_s + self._kick_wait_s
        deadline = self._token_deadline(self._token)
        return min(deadline, self._hold_until_s) if math.isfinite(self._hold_until_s) else deadline

    def _hear(self, now_s: float) -> None:
        if self._hold_next:
            self._hold_next = False
            self._hold_until_s = now_s + self.limits.settle_s
        self.counters.telemetry += 1
        self._heard_s = now_s
        self._kick_wait_s = self.limits.kick_after_s

    def _pair(self, now_s: float) -> Answer | None:
        """Answer if the token's own steering and a fresh throttle are there."""
        token = self._token
        if token is None or token.answered_rad is None or now_s < self._hold_until_s:
            return None
        if self._throttle is None or self._owed(now_s, self._throttle_owed_s) > self._fresh_s:
            return None
        self.state = State.DRIVING
        throttle = self._pedals.drive(token.speed_mps, self._throttle)
        return self._answer(now_s, token, Command(token.answered_rad, throttle))

    def _fall_back(self, now_s: float, token: _Token) -> Answer:
        """The last steering, with zero throttle or, once something is owed for long, braking."""
        if self._longest_owed(now_s) >= self.limits.stop_timeout_s:
            self.state = State.STOPPED
            throttle = self._pedals.stop(token.speed_mps)
        else:
            self.state = State.DEGRADED
            throttle = self._pedals.drive(token.speed_mps, 0.0)
        return self._answer(now_s, token, Command(self._steering_rad, throttle))

    def _answer(self, now_s: float, token: _Token, command: Command) -> Answer:
        self._token = None
        self._heard_s = now_s
        self.counters.answers += 1
        return Answer(command, latency_s=now_s - token.received_s)

    def _kick(self, now_s: float) -> Answer | None:
        """After a silence, one command in case the token was lost; then with growing pauses.

        A simulator that sits in its menu queues every kick. Should the token not be lost after
        all, there are two now: the next telemetry is held as the first one was.
        """
        if now_s < self._heard_s + self._kick_wait_s:
            return None
        self._heard_s = now_s
        self._kick_wait_s = min(2.0 * self._kick_wait_s, self.limits.kick_at_most_every_s)
        self._hold_next = True
        self.counters.kicks += 1
        self.state = State.WAITING
        return Answer(Command(self._steering_rad, 0.0))

    @property
    def _fresh_s(self) -> float:
        """A throttle that was not renewed for longer than this is not used."""
        return self.limits.command_timeout_s

    @staticmethod
    def _owed(now_s: float, since_s: float | None) -> float:
        return 0.0 if since_s is None else now_s - since_s

    def _longest_owed(self, now_s: float) -> float:
        return max(
            self._owed(now_s, self._steering_owed_s), self._owed(now_s, self._throttle_owed_s)
        )

    def _token_deadline(self, token: _Token) -> float:
        """Command timeout, cut short where braking has to begin before it."""
        deadline_s = token.received_s + self.limits.command_timeout_s
        if self.state is State.STOPPED:
            return deadline_s
        brake_s = token.received_s - self._longest_owed(token.received_s)
        return min(deadline_s, max(token.received_s, brake_s + self.limits.stop_timeout_s))


def _earliest(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s
