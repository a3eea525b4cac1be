"""One simulator's token and deadlines: which answer is due, and when.

The simulator sends one telemetry for each answer that it gets. So every telemetry is a token that
has to be answered once: unanswered, the simulator falls silent and its car keeps the last command;
answered twice, tokens multiply. `ResponseScheduler` holds the token until the steering with the
token's own stamp and a fresh throttle are there, or until a deadline passes. `tokens.py` says how
long a token waits for others, which end in it.

Pure: no clock, no socket, no thread of its own. Times are seconds of any monotonic clock that the
caller passes in. The owner of a `ResponseScheduler` calls it from one thread only and asks
`next_deadline` when to call `expire` next.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum

from sim_bridge.control.stop_controller import StopController
from sim_bridge.protocol.udacity import Command
from sim_bridge.session.tokens import Circulation, Limits

STANDING_MPS = 0.25
"""A car that is slower than this stands: while the nodes are not there, its token may wait."""

_REMEMBERED = 64
"""Stamps of telemetry that was answered without its steering, which may still come."""


class State(Enum):
    """What the car of a session is doing, as diagnostics say it."""

    WAITING = 'waiting for telemetry'
    ABSENT = 'waiting for the nodes'
    DRIVING = 'driving'
    DEGRADED = 'late commands: rolling with zero throttle'
    STOPPED = 'stopped: no fresh command'
    MANUAL = 'driven by hand'
    UNREADABLE = 'telemetry cannot be read'


@dataclass
class Counters:
    """What happened so far; one set may serve several pairings after each other."""

    telemetry: int = 0
    answers: int = 0
    timeouts: int = 0
    late_commands: int = 0
    rejected_commands: int = 0
    superseded: int = 0
    keepalives: int = 0
    bad_packets: int = 0


class _Kind(Enum):
    """What a telemetry is answered with: commands, `manual`, or the last steering."""

    FRAME = 'frame'
    MANUAL = 'manual'
    UNREADABLE = 'unreadable'


@dataclass
class _Token:
    """A telemetry that waits for its answer, which may go out from `free_s` on.

    is_attended: whether the nodes were there when it came. answered_rad: its own steering.
    """

    kind: _Kind
    received_s: float
    free_s: float
    is_attended: bool
    stamp_ns: int | None = None
    answered_rad: float | None = None


@dataclass(frozen=True)
class Answer:
    """A command to send now; None instead of one answers `manual`.

    latency_s: since the frame came; None where the nodes were not asked.
    """

    command: Command | None
    latency_s: float | None = None


class ResponseScheduler:
    """Token and deadline logic of one simulator; most inputs may return the answer now due.

    For steering and throttle we keep the time of the first telemetry not yet answered with one.
    That age selects drive, roll or brake. So a pause of the simulator itself counts against no
    node.

    While the car is braked, telemetry is answered at once, because a car is held on a slope by
    quick answers. A steering that comes within the command timeout then shows that the network
    is back, and the next telemetry waits for its own.
    """

    def __init__(
        self,
        limits: Limits,
        started_s: float,
        counters: Counters | None = None,
        *,
        is_attended: bool = True,
    ) -> None:
        """`is_attended`: whether the nodes that steer and hold the speed are there."""
        self.limits = limits
        self.counters = counters or Counters()
        self.speed_mps = 0.0
        self._state = State.WAITING
        self._is_unreadable = False
        self._is_attended = is_attended
        self._pedals = StopController()
        self._token: _Token | None = None
        self._circulation = Circulation(limits)
        self._collapsed_stamps: deque[int | None] = deque(maxlen=_REMEMBERED)
        self._steering_rad = 0.0
        self._throttle: float | None = None
        self._steering_owed_s: float | None = None
        self._throttle_owed_s: float | None = None
        self._is_braking = False
        self._braked: dict[int | None, float] = {}
        self._heard_s = started_s
        self._kick_wait_s = limits.kick_after_s

    @property
    def state(self) -> State:
        """What the car does; UNREADABLE while the newest telemetry could not be read."""
        return State.UNREADABLE if self._is_unreadable else self._state

    @property
    def has_token(self) -> bool:
        """Whether a telemetry waits for its answer."""
        return self._token is not None

    def telemetry(self, now_s: float, stamp_ns: int, speed_mps: float) -> None:
        """A frame came, which the nodes are to answer."""
        self._measure(now_s, speed_mps)
        self._take(now_s, _Kind.FRAME, stamp_ns)
        if self._state is State.WAITING and not self._is_attended:
            self._state = State.ABSENT
        self._steering_owed_s = _earliest(self._steering_owed_s, now_s)
        self._throttle_owed_s = _earliest(self._throttle_owed_s, now_s)

    def bad_packet(self, now_s: float, speed_mps: float | None = None) -> None:
        """A telemetry came that cannot be used. speed_mps: None if that cannot be read either."""
        self.counters.bad_packets += 1
        self._measure(now_s, speed_mps)
        self._take(now_s, _Kind.UNREADABLE)
        self._steering_owed_s = _earliest(self._steering_owed_s, now_s)

    def manual(self, now_s: float) -> None:
        """A person drives: the answer is `manual`, and no node owes a command."""
        self._take(now_s, _Kind.MANUAL)
        self._pedals.forget()
        self._steering_owed_s = self._throttle_owed_s = None
        self._is_braking = False
        self._state = State.MANUAL

    def attend(self, now_s: float, is_attended: bool) -> Answer | None:
        """The nodes that steer and hold the speed are there from now on, or are not.

        A frame that came before them is answered at once, because they did not hear it.
        """
        self._is_attended = is_attended
        if is_attended:
            self._steering_owed_s = self._throttle_owed_s = None
        return self.expire(now_s)

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> Answer | None:
        """A steering command came, computed from the frame with this stamp."""
        if not math.isfinite(steering_rad):
            self.counters.rejected_commands += 1
            return None
        if self._token is None or self._token.stamp_ns != stamp_ns:
            if now_s - self._braked.get(stamp_ns, -math.inf) <= self.limits.command_timeout_s:
                self._steering_owed_s = None
            elif stamp_ns not in self._collapsed_stamps:
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
        token = self._token
        if token is None:
            return self._kick(now_s)
        if now_s < token.free_s:
            return None
        token.free_s = -math.inf
        self._circulation.settled()
        if token.kind is _Kind.MANUAL:
            return self._answer(now_s, token, None)
        if token.kind is _Kind.UNREADABLE:
            return self._fall_back(now_s, token)
        paired = self._pair(now_s)
        if paired is not None or now_s < self._frame_deadline(token):
            return paired
        self.counters.timeouts += token.is_attended
        return self._fall_back(now_s, token)

    def next_deadline(self) -> float:
        """When `expire` has to be called next at the latest, seconds of the caller's clock."""
        token = self._token
        if token is None:
            return self._heard_s + self._kick_wait_s
        return token.free_s if math.isfinite(token.free_s) else self._frame_deadline(token)

    def _take(self, now_s: float, kind: _Kind, stamp_ns: int | None = None) -> None:
        """Make a telemetry the one that waits, in place of another that waits."""
        self.counters.telemetry += 1
        self._heard_s = now_s
        self._kick_wait_s = self.limits.kick_after_s
        self._is_unreadable = kind is _Kind.UNREADABLE
        is_stopped = self._is_braking and self._longest_owed(now_s) >= self.limits.stop_timeout_s
        free_s = self._circulation.take(
            now_s,
            collapses=self.has_token,
            needs_command=kind is _Kind.FRAME and not is_stopped,
        )
        if self._token is not None:
            self.counters.superseded += 1
            self._collapsed_stamps.append(self._token.stamp_ns)
        self._token = _Token(kind, now_s, free_s, self._is_attended, stamp_ns)

    def _pair(self, now_s: float) -> Answer | None:
        """Answer if the token's own steering and a fresh throttle are there."""
        token = self._token
        if token is None or token.answered_rad is None or now_s < token.free_s:
            return None
        if self._throttle is None or self._owed(now_s, self._throttle_owed_s) > self._fresh_s:
            return None
        self._state = State.DRIVING
        self._is_braking = False
        return self._command(now_s, token, token.answered_rad, self._throttle)

    def _fall_back(self, now_s: float, token: _Token) -> Answer:
        """The last steering, with zero throttle or, once something is owed for long, braking."""
        is_overdue = self._longest_owed(now_s) >= self.limits.stop_timeout_s
        if is_overdue or self._is_braking or self._waits_standing(token):
            self._state, throttle = State.STOPPED, None
            self._is_braking = True
            self._braked[token.stamp_ns] = token.received_s
            if len(self._braked) > _REMEMBERED:
                del self._braked[next(iter(self._braked))]
        else:
            self._state, throttle = State.DEGRADED, 0.0
        if not token.is_attended:
            self._state = State.ABSENT
        return self._command(now_s, token, self._steering_rad, throttle)

    def _command(
        self, now_s: float, token: _Token, steering_rad: float, throttle: float | None
    ) -> Answer:
        """Answer with this steering and throttle; None instead of a throttle brakes."""
        return self._answer(now_s, token, Command(steering_rad, self._pedal(now_s, throttle)))

    def _pedal(self, now_s: float, throttle: float | None) -> float:
        if throttle is None:
            return self._pedals.stop(now_s)
        return self._pedals.drive(now_s, throttle)

    def _answer(self, now_s: float, token: _Token, command: Command | None) -> Answer:
        self._token = None
        self._heard_s = now_s
        self.counters.answers += 1
        is_timed = token.kind is _Kind.FRAME and self._state is not State.ABSENT
        return Answer(command, now_s - token.received_s if is_timed else None)

    def _kick(self, now_s: float) -> Answer | None:
        """After a silence, one command in case the token was lost; then with growing pauses.

        A simulator that sits in its menu queues every kick, and each of them is a token. Should
        the one that was missed not be lost after all, it is one more.
        """
        if now_s < self._heard_s + self._kick_wait_s:
            return None
        self._heard_s = now_s
        self._kick_wait_s = min(2.0 * self._kick_wait_s, self.limits.kick_at_most_every_s)
        self._circulation.keepalive_sent()
        self.counters.keepalives += 1
        self._state = State.WAITING
        self._measure(now_s, None)
        throttle = None if self._is_braking else 0.0
        return Answer(Command(self._steering_rad, self._pedal(now_s, throttle)))

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

    def _waits_standing(self, token: _Token) -> bool:
        """Whether the car stands and its frame came before the nodes."""
        return not token.is_attended and self.speed_mps < STANDING_MPS

    def _frame_deadline(self, token: _Token) -> float:
        """Command timeout, cut short where braking has to begin before it.

        A car that stands waits longer for nodes that are not there, and no longer once they are.
        """
        if self._is_attended and not token.is_attended:
            return token.received_s
        if self._waits_standing(token):
            return token.received_s + self.limits.stop_timeout_s
        deadline_s = token.received_s + self.limits.command_timeout_s
        brake_s = token.received_s - self._longest_owed(token.received_s)
        return min(deadline_s, max(token.received_s, brake_s + self.limits.stop_timeout_s))

    def _measure(self, now_s: float, speed_mps: float | None) -> None:
        """Take in a speed; None, one that cannot be read, counts as the one that is expected."""
        if speed_mps is None:
            speed_mps = self._pedals.expected_mps(now_s)
        self._pedals.measure(now_s, speed_mps)
        self.speed_mps = speed_mps


def _earliest(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s
