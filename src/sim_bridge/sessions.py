"""Who of the connected clients drives, and the traffic with each of them.

The newest simulator drives. One that it displaces hears a last 0/0 in answer to its next
telemetry, so that its car does not run on, and stays connected and unanswered from then on: a
simulator that is turned away would reconnect without end. When the driving one leaves, the newest
of those that remain takes over. Any other client (a page, a plotter) may listen and is left alone.

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


@dataclass
class _Session:
    sid: str
    pairing: Pairing
    decimal: str | None = None
    farewell_due: bool = False


class Sessions:
    """Routes telemetry of the driving simulator in and its answers out.

    `latencies_s` holds the newest times from a telemetry to its answer, seconds.
    """

    def __init__(self, limits: Limits, send: Send) -> None:
        self.counters = Counters()
        self.latencies_s: deque[float] = deque(maxlen=1000)
        self.last_error = ''
        self._limits = limits
        self._send = send
        self._simulators: dict[str, _Session] = {}
        self._driving: _Session | None = None

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
            self._take_over(now_s, sid)

    def disconnected(self, now_s: float, sid: str) -> None:
        """A client is gone, and with it its token."""
        gone = self._simulators.pop(sid, None)
        if gone is None or gone is not self._driving:
            return
        self._driving = None
        if self._simulators:
            self._take_over(now_s, next(reversed(self._simulators)))

    def telemetry(
        self, now_s: float, sid: str, payload: object, stamp_ns: int
    ) -> Telemetry | None:
        """Take the data of one `telemetry` event; the frame if it is to be driven on."""
        if sid not in self._simulators:
            self._take_over(now_s, sid)
        session = self._simulators[sid]
        if session is not self._driving:
            self._see_off(session)
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
        if self._driving:
            self._answer(self._driving, self._driving.pairing.expire(now_s))

    def next_deadline(self) -> float:
        """When `expire` is due next; infinity while no simulator drives."""
        return self._driving.pairing.next_deadline() if self._driving else math.inf

    def farewell(self) -> None:
        """Tell the driving car to halt, as the last thing that it hears."""
        if self._driving:
            self._command(self._driving, HALT)
        self._driving = None
        self._simulators.clear()

    def _take_over(self, now_s: float, sid: str) -> None:
        if self._driving:
            self._displace(self._driving)
        self._driving = _Session(sid, Pairing(self._limits, now_s, self.counters))
        self._simulators.pop(sid, None)
        self._simulators[sid] = self._driving

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
        self._send(session.sid, EVENT_STEER, encode_command(command, session.decimal))
