"""Who of the connected clients drives, and the traffic with each of them.

The newest simulator drives. While another one drives it has to send telemetry and then stay for a
moment first, so that a storm of short connections, or idle ones, stop nobody. One that it
displaces hears a last 0/0 in answer to its next telemetry, so that its car does not run on, and
stays connected and unanswered from then on: a simulator that is turned away would reconnect
without end. When the driving one leaves, the one heard last of those that remain takes over. Any
other client (a page, a plotter) may listen and is left alone.

Pure: sends through a callable, gets the time passed in, and belongs to one thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sim_bridge.pairing import Answer, Counters, Limits, Pairing, State
from sim_bridge.protocol import (
    EVENT_MANUAL,
    EVENT_STEER,
    Command,
    PacketError,
    Telemetry,
    decode_telemetry,
    encode_command,
)

Send = Callable[[str, str, Mapping[str, str]], None]
"""Delivers (session id, event name, data) to one client."""

HALT = Command(steering_rad=0.0, throttle=0.0)

PROBATION_S = 0.3
"""A newcomer that stays for so long after its first telemetry displaces the one that drives."""

SILENCE_S = 1.0
"""After such a silence of the driving simulator a newcomer need not wait."""


@dataclass
class _Session:
    sid: str
    pairing: Pairing
    heard_s: float = -math.inf
    decimal: str | None = None
    farewell_due: bool = False
    unanswered: bool = False


class Sessions:
    """Routes telemetry of the driving simulator in and its answers out.

    `latencies_s` holds the newest times from a telemetry to its answer, seconds; `last_command`
    is what a car was told last.
    """

    def __init__(self, limits: Limits, send: Send) -> None:
        self.counters = Counters()
        self.latencies_s: deque[float] = deque(maxlen=1000)
        self.last_command = HALT
        self.last_error = ''
        self._limits = limits
        self._send = send
        self._simulators: dict[str, _Session] = {}
        self._driving: _Session | None = None
        self._challenger: _Session | None = None
        self._challenge_due_s = math.inf

    @property
    def state(self) -> State | None:
        """State of the simulator that drives; None while none is connected."""
        return self._driving.pairing.state if self._driving else None

    @property
    def simulators(self) -> int:
        """How many simulators are connected."""
        return len(self._simulators)

    @property
    def speed_mps(self) -> float:
        """Speed of the driving car; 0 while there is none."""
        return self._driving.pairing.speed_mps if self._driving else 0.0

    def connected(self, now_s: float, sid: str, *, is_simulator: bool) -> None:
        """A client connected; `is_simulator` if its dialect shows that it is one."""
        if is_simulator:
            session = self._session(now_s, sid)
            if self._is_free(now_s):
                self._take_over(now_s, session)

    def disconnected(self, now_s: float, sid: str) -> None:
        """A client is gone, and with it its token."""
        gone = self._simulators.pop(sid, None)
        if gone is self._challenger:
            self._challenger = None
        if gone is None or gone is not self._driving:
            return
        self._driving = None
        if self._simulators:
            self._take_over(now_s, max(self._simulators.values(), key=lambda s: s.heard_s))

    def telemetry(
        self, now_s: float, sid: str, payload: object, stamp_ns: int
    ) -> Telemetry | None:
        """Take the data of one `telemetry` event; the frame if it is to be driven on."""
        session = self._session(now_s, sid)
        if session is not self._driving:
            self._hear_another(now_s, session)
        session.heard_s = now_s
        if session is not self._driving:
            return None
        try:
            frame = decode_telemetry(payload)
        except PacketError as error:
            self.last_error = str(error)
            self._answer(session, session.pairing.bad_packet(now_s))
            return None
        if frame is None:
            session.pairing.manual(now_s)
            self._send(sid, EVENT_MANUAL, {})
            return None
        session.decimal = frame.decimal
        session.pairing.telemetry(now_s, stamp_ns, frame.speed_mps)
        return frame

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> None:
        """A steering command came, for the frame with this stamp."""
        if self._driving:
            session = self._driving
            self._answer(session, session.pairing.steering(now_s, stamp_ns, steering_rad))

    def throttle(self, now_s: float, throttle: float) -> None:
        """A throttle command came."""
        if self._driving:
            self._answer(self._driving, self._driving.pairing.throttle(now_s, throttle))

    def expire(self, now_s: float) -> None:
        """Give the answer whose deadline has passed, if there is one."""
        if self._challenger and now_s >= self._challenge_due_s:
            self._take_over(now_s, self._challenger)
        if self._driving:
            self._answer(self._driving, self._driving.pairing.expire(now_s))

    def next_deadline(self) -> float:
        """When `expire` is due next; infinity while no simulator drives."""
        if self._driving is None:
            return math.inf
        challenge_s = self._challenge_due_s if self._challenger else math.inf
        return min(challenge_s, self._driving.pairing.next_deadline())

    def farewell(self) -> None:
        """Tell the driving car to halt, as the last thing that it hears."""
        if self._driving:
            self._command(self._driving, HALT)
        self._driving = self._challenger = None
        self._simulators.clear()

    def _session(self, now_s: float, sid: str) -> _Session:
        """The session of a simulator, a new one for a sid that is not known yet."""
        if sid not in self._simulators:
            pairing = Pairing(self._limits, now_s, self.counters)
            self._simulators[sid] = _Session(sid, pairing)
        return self._simulators[sid]

    def _is_free(self, now_s: float) -> bool:
        return self._driving is None or now_s - self._driving.heard_s > SILENCE_S

    def _hear_another(self, now_s: float, session: _Session) -> None:
        """Telemetry of one that does not drive: a farewell, a challenge, or nothing is due."""
        if self._is_free(now_s):
            session.unanswered = False
            self._take_over(now_s, session)
        elif session.farewell_due:
            self._see_off(session)
        else:
            session.unanswered = True
            if session.heard_s == -math.inf:
                self._challenger = session
                self._challenge_due_s = now_s + PROBATION_S

    def _take_over(self, now_s: float, session: _Session) -> None:
        """Have this one drive from now on; a telemetry that it still waits for is answered."""
        if self._driving:
            self._displace(self._driving)
        if session is self._challenger:
            self._challenger = None
        session.pairing = Pairing(self._limits, now_s, self.counters)
        session.heard_s = now_s
        session.farewell_due = False
        self._driving = session
        if session.unanswered:
            session.unanswered = False
            self._command(session, HALT)

    def _displace(self, session: _Session) -> None:
        session.farewell_due = True
        if session.pairing.has_token:
            self._see_off(session)

    def _see_off(self, session: _Session) -> None:
        if session.farewell_due:
            session.farewell_due = False
            self._command(session, HALT)

    def _answer(self, session: _Session, answer: Answer | None) -> None:
        if answer is None:
            return
        if answer.latency_s is not None:
            self.latencies_s.append(answer.latency_s)
        self._command(session, answer.command)

    def _command(self, session: _Session, command: Command) -> None:
        self.last_command = command
        self._send(session.sid, EVENT_STEER, encode_command(command, session.decimal))
