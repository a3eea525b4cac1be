# SPDX-License-Identifier: Apache-2.0
"""The answers to one simulator: which command is sent, and when.

A simulator sends one telemetry per answer. The right to send is a token (`tokens.py`), so each
telemetry needs one answer. Without an answer the simulator falls silent and its car keeps the last
command. With two answers, tokens multiply. `ResponseScheduler` holds a telemetry until the
steering with its stamp has come and a throttle is not overdue (see `_answer_if_complete`), or
until a deadline passes.

Pure: no clock, no socket, no thread of its own. Times are seconds of any monotonic clock that the
caller passes in. The owner of a `ResponseScheduler` calls it from one thread only and calls
`expire` at the time that `next_deadline` returns.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from sim_bridge.control.motion_controller import DriverCommand, MotionController
from sim_bridge.control.stop_controller import StopController
from sim_bridge.protocol.types import Command
from sim_bridge.session.answers import Answer, Kind, Waiting
from sim_bridge.session.status import Counters, State
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.session.tokens import TokenMerger

_STANDING_MPS = 0.25
"""A slower car counts as standing: its telemetry may wait while the nodes are missing."""
_REMEMBERED = 64
"""Number of kept stamps of telemetry that was answered or superseded before its steering came."""


class ResponseScheduler:
    """Deadlines and answers of one simulator. Inputs return the answer that is due, if any.

    `_steering_awaited_since_s` is the arrival of the oldest telemetry since the last steering,
    `_throttle_awaited_since_s` the same for the throttle. Their age selects drive, coast or brake.
    A pause of the simulator adds no age.

    While the car is braked, telemetry is answered after `gather_s`, because the brake holds a car
    on a slope only if answers are quick. A steering that comes within the command timeout then
    shows that the network works again, and the next telemetry waits for its own steering.

    A held car is braked likewise, with the newest steering. For a person see `set_person`.
    """

    def __init__(
        self,
        timeouts: AnswerTimeouts,
        started_s: float,
        counters: Counters | None = None,
        *,
        nodes_ready: bool = True,
        is_held: bool = False,
        person: DriverCommand | None = None,
    ) -> None:
        """nodes_ready: whether the steering and the throttle node are ready.

        is_held, person: values from the start, see `set_held` and `set_person`.
        """
        self.timeouts = timeouts
        self.counters = counters or Counters()
        self.speed_mps = 0.0
        self._state = State.WAITING
        self._is_unreadable = False
        self._is_paused = False
        self._world_waits = False
        self._nodes_ready = nodes_ready
        self._is_held = is_held
        self._person = person
        self._stop_controller = StopController()
        self._motion = MotionController(self._stop_controller)
        self._tokens = TokenMerger(timeouts)
        self._waiting: Waiting | None = None
        self._superseded_stamps: deque[int | None] = deque(maxlen=_REMEMBERED)
        self._steering_rad = 0.0
        self._throttle: float | None = None
        self._steering_awaited_since_s: float | None = None
        self._throttle_awaited_since_s: float | None = None
        self._is_braking = is_held
        self._answered_early: dict[int | None, float] = {}
        self._active_s = started_s
        self._keepalive_wait_s = timeouts.keepalive_after_s

    @property
    def state(self) -> State:
        """State of the car; UNREADABLE while the newest telemetry could not be read."""
        if self._is_paused:
            return State.PAUSED
        return State.UNREADABLE if self._is_unreadable else self._state

    @property
    def signed_speed_mps(self) -> float:
        """Newest speed, negative if the car moves backwards, see `StopController.signed_mps`."""
        return self._stop_controller.signed_mps

    @property
    def _is_overridden(self) -> bool:
        """Whether the hold or a person decides in place of the nodes."""
        return self._is_held or self._person is not None

    @property
    def _is_lock_step(self) -> bool:
        """Whether lock-step is wanted, which may change, and the world of the simulator waits."""
        return self._world_waits and self.timeouts.lock_step

    @property
    def waits_for_nodes(self) -> bool:
        """Whether a telemetry waits for its commands without end, in lock-step."""
        return self._is_lock_step and self._nodes_ready and self.has_waiting

    @property
    def has_waiting(self) -> bool:
        """Whether a telemetry waits for its answer."""
        return self._waiting is not None

    def telemetry(
        self, now_s: float, stamp_ns: int, speed_mps: float, *, waits: bool = False
    ) -> None:
        """Take a frame that the nodes will get. waits: the world stands still until the answer."""
        self._world_waits = waits
        self._measure(now_s, speed_mps)
        self._await_answer(now_s, Kind.FRAME, stamp_ns)
        if self._is_paused:
            self._forget_ages()
        if self._state is State.WAITING and not (self._nodes_ready or self._is_overridden):
            self._state = State.ABSENT
        self._steering_awaited_since_s = _earliest(self._steering_awaited_since_s, now_s)
        self._throttle_awaited_since_s = _earliest(self._throttle_awaited_since_s, now_s)

    def bad_packet(self, now_s: float, speed_mps: float | None = None) -> None:
        """Take a telemetry that cannot be used. speed_mps: None if it cannot be read either."""
        self.counters.bad_packets += 1
        self._measure(now_s, speed_mps)
        self._await_answer(now_s, Kind.UNREADABLE)
        self._steering_awaited_since_s = _earliest(self._steering_awaited_since_s, now_s)

    def manual(self, now_s: float) -> None:
        """Take a telemetry of a car that a person drives: no command is awaited."""
        self._await_answer(now_s, Kind.MANUAL)
        self._stop_controller.forget()
        self._forget_ages()
        self._is_braking = False
        self._state = State.MANUAL

    def set_nodes_ready(self, now_s: float, nodes_ready: bool) -> Answer | None:
        """Set whether the steering and the throttle node are ready.

        A frame that came before the nodes is answered at once, because they did not get it.
        """
        self._nodes_ready = nodes_ready
        if nodes_ready:
            self._forget_ages()
        return self.expire(now_s)

    def set_paused(self, now_s: float, is_paused: bool) -> None:
        """Set whether the world of the simulator stands still, so that no telemetry is missed.

        A telemetry of a single step is answered as usual.
        """
        self._is_paused = is_paused
        self._active_s = now_s
        self._forget_ages()

    def set_held(self, now_s: float, is_held: bool) -> Answer | None:
        """Set whether the car is braked to a standstill and kept there.

        After the release it stays braked until the first fresh pair of commands. A car that is
        driven by hand cannot be held, because its simulator ignores commands.
        """
        self._is_held = is_held
        self._is_braking = self._is_braking or is_held
        return self.expire(now_s)

    def set_person(self, now_s: float, command: DriverCommand | None) -> Answer | None:
        """Set the command that drives in place of the nodes; None lets the nodes drive.

        The hold comes first. The ages of the nodes' commands are counted all the time, so a car
        that is left to nodes that do not work is braked at once.
        """
        if type(command) is not type(self._person):
            self._motion.forget()
        self._person = command
        return self.expire(now_s)

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> Answer | None:
        """Take a steering command that was computed from the frame with this stamp."""
        if not math.isfinite(steering_rad):
            self.counters.rejected_commands += 1
            return None
        if self._waiting is None or self._waiting.stamp_ns != stamp_ns:
            early_s = self._answered_early.get(stamp_ns, -math.inf)
            if now_s - early_s <= self.timeouts.command_timeout_s:
                self._keep_steering(steering_rad)
            elif stamp_ns not in self._superseded_stamps:
                self.counters.late_commands += 1
            return None
        self._waiting.steering_rad = steering_rad
        self._keep_steering(steering_rad)
        return self._answer_if_complete(now_s)

    def _keep_steering(self, steering_rad: float) -> None:
        """Keep the newest steering of the network, unless that of a person is the last one."""
        self._steering_awaited_since_s = None
        if self._is_held or self._person is None:
            self._steering_rad = steering_rad

    def throttle(self, now_s: float, throttle: float) -> Answer | None:
        """Take a throttle command. One beyond -1..1 counts as the limit, as for the simulator."""
        if not math.isfinite(throttle):
            self.counters.rejected_commands += 1
            return None
        self._throttle = max(-1.0, min(1.0, throttle))
        self._throttle_awaited_since_s = None
        return self._answer_if_complete(now_s)

    def expire(self, now_s: float) -> Answer | None:
        """Return the answer whose time has come, if there is one."""
        waiting = self._waiting
        if waiting is None:
            return self._keepalive(now_s)
        if now_s < waiting.earliest_s:
            return None
        waiting.earliest_s = -math.inf
        self._tokens.settle()
        if waiting.kind is Kind.MANUAL:
            return self._answer(now_s, waiting, None)
        if waiting.kind is Kind.UNREADABLE:
            return self._fall_back(now_s, waiting)
        complete = self._answer_if_complete(now_s)
        if complete is not None or now_s < self._frame_deadline(waiting):
            return complete
        self.counters.timeouts += waiting.nodes_were_ready and not self._is_overridden
        return self._fall_back(now_s, waiting)

    def next_deadline(self) -> float:
        """Time at which `expire` has to be called next, seconds of the caller's clock."""
        waiting = self._waiting
        if waiting is None:
            return math.inf if self._is_paused else self._active_s + self._keepalive_wait_s
        if math.isfinite(waiting.earliest_s):
            return waiting.earliest_s
        return self._frame_deadline(waiting)

    def _await_answer(self, now_s: float, kind: Kind, stamp_ns: int | None = None) -> None:
        """Let a telemetry wait for its answer. It replaces a telemetry that waits already."""
        self.counters.telemetry += 1
        self._keepalive_wait_s = self.timeouts.keepalive_after_s
        self._is_unreadable = kind is Kind.UNREADABLE
        is_stopped = self._is_braking and self._overdue_s(now_s) >= self.timeouts.stop_timeout_s
        earliest_s = self._tokens.earliest_s(
            now_s,
            supersedes=self.has_waiting,
            needs_command=kind is Kind.FRAME and not (is_stopped or self._is_overridden),
        )
        if self._waiting is not None:
            self.counters.superseded += 1
            self._superseded_stamps.append(self._waiting.stamp_ns)
        self._waiting = Waiting(kind, now_s, earliest_s, self._nodes_ready, stamp_ns)

    def _answer_if_complete(self, now_s: float) -> Answer | None:
        """Answer if the steering of the waiting telemetry has come and a throttle is fresh enough.

        The throttle may be that of the frame before: it counts until the next one has been awaited
        for `command_timeout_s`. In lock-step it must be that of this frame.
        """
        waiting = self._waiting
        if waiting is None or waiting.steering_rad is None or now_s < waiting.earliest_s:
            return None
        if self._is_overridden:
            return None
        if self._is_lock_step and self._throttle_awaited_since_s is not None:
            return None
        throttle_age_s = _age_s(now_s, self._throttle_awaited_since_s)
        if self._throttle is None or throttle_age_s > self.timeouts.command_timeout_s:
            return None
        self._state = State.DRIVING
        self._is_braking = False
        throttle = self._pedal(now_s, self._throttle)
        return self._answer(now_s, waiting, Command(waiting.steering_rad, throttle))

    def _fall_back(self, now_s: float, waiting: Waiting) -> Answer:
        """Answer with the last steering and zero throttle, or the brake after `stop_timeout_s`.

        A held car is always braked, and a person is obeyed.
        """
        if waiting.kind is Kind.FRAME and not self._is_held and self._person is not None:
            return self._obey(now_s, waiting, self._person)
        is_overdue = self._overdue_s(now_s) >= self.timeouts.stop_timeout_s
        if is_overdue or self._is_braking or self._waits_standing(waiting) or self._is_held:
            self._state, throttle = State.STOPPED, None
            self._is_braking = True
            self._remember(waiting)
        else:
            self._state, throttle = State.DEGRADED, 0.0
        if self._is_held:
            self._state = State.HELD
        elif not waiting.nodes_were_ready:
            self._state = State.ABSENT
        command = Command(self._steering_rad, self._pedal(now_s, throttle))
        return self._answer(now_s, waiting, command)

    def _obey(self, now_s: float, waiting: Waiting, person: DriverCommand) -> Answer:
        """Answer with the command of a person."""
        self._state = State.DRIVING
        self._is_braking = False
        self._remember(waiting)
        stamp_s = 1e-9 * (waiting.stamp_ns or 0)
        self._steering_rad, throttle = self._motion.command(now_s, stamp_s, person)
        answer = self._answer(now_s, waiting, Command(self._steering_rad, throttle))
        return replace(answer, latency_s=None, person_stamp_ns=waiting.stamp_ns)

    def _remember(self, waiting: Waiting) -> None:
        """Remember a frame that is answered before its steering, whose steering is no late one."""
        self._answered_early[waiting.stamp_ns] = waiting.received_s
        if len(self._answered_early) > _REMEMBERED:
            del self._answered_early[next(iter(self._answered_early))]

    def _pedal(self, now_s: float, throttle: float | None) -> float:
        """Return the throttle to send for a commanded one; None means to brake."""
        pedals = self._stop_controller
        return pedals.stop(now_s) if throttle is None else pedals.drive(now_s, throttle)

    def _answer(self, now_s: float, waiting: Waiting, command: Command | None) -> Answer:
        self._waiting = None
        self._active_s = now_s
        self.counters.answers += 1
        is_timed = waiting.kind is Kind.FRAME and self._state not in (State.ABSENT, State.HELD)
        return Answer(command, now_s - waiting.received_s if is_timed else None)

    def _keepalive(self, now_s: float) -> Answer | None:
        """Return one command after a silence, because the token may be lost.

        The pauses between keepalives grow, because a simulator in its menu queues every keepalive
        and each of them becomes a token.
        """
        if self._is_paused or now_s < self._active_s + self._keepalive_wait_s:
            return None
        self._active_s = now_s
        self._keepalive_wait_s = min(
            2.0 * self._keepalive_wait_s, self.timeouts.keepalive_at_most_every_s
        )
        self._tokens.add()
        self.counters.keepalives += 1
        self._state = State.WAITING
        self._measure(now_s, None)
        throttle = None if self._is_braking else 0.0
        return Answer(Command(self._steering_rad, self._pedal(now_s, throttle)))

    def _forget_ages(self) -> None:
        """Count the age of steering and throttle from the next telemetry on."""
        self._steering_awaited_since_s = self._throttle_awaited_since_s = None

    def _overdue_s(self, now_s: float) -> float:
        """Time for which a steering or a throttle has been awaited, s."""
        return max(
            _age_s(now_s, self._steering_awaited_since_s),
            _age_s(now_s, self._throttle_awaited_since_s),
        )

    def _waits_standing(self, waiting: Waiting) -> bool:
        """Whether the car stands and the nodes were not ready when its frame came."""
        return not waiting.nodes_were_ready and self.speed_mps < _STANDING_MPS

    def _frame_deadline(self, waiting: Waiting) -> float:
        """Time at which a frame is answered without its command.

        This is the command timeout, or earlier if braking is due. While nodes are missing, a
        standing car waits for `stop_timeout_s`; the wait ends when they are ready. A car that is
        held or driven by a person does not wait.
        """
        if self._is_overridden or (self._nodes_ready and not waiting.nodes_were_ready):
            return waiting.received_s
        if self.waits_for_nodes:
            return math.inf
        if self._waits_standing(waiting):
            return waiting.received_s + self.timeouts.stop_timeout_s
        deadline_s = waiting.received_s + self.timeouts.command_timeout_s
        brake_s = waiting.received_s - self._overdue_s(waiting.received_s)
        return min(deadline_s, max(waiting.received_s, brake_s + self.timeouts.stop_timeout_s))

    def _measure(self, now_s: float, speed_mps: float | None) -> None:
        """Take a speed. None, a speed that cannot be read, counts as the expected speed."""
        if speed_mps is None:
            speed_mps = self._stop_controller.expected_mps(now_s)
        self._stop_controller.measure(now_s, speed_mps)
        self.speed_mps = speed_mps


def _earliest(since_s: float | None, now_s: float) -> float:
    return now_s if since_s is None else since_s


def _age_s(now_s: float, since_s: float | None) -> float:
    return 0.0 if since_s is None else now_s - since_s
