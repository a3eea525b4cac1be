"""Which of the connected clients drives which car.

With one car the newest simulator drives. While another one drives it has to send telemetry and
then stay for a moment first, so that a storm of short connections, or idle ones, stop nobody. One
that it displaces hears a last 0/0 in answer to its next telemetry, so that its car does not run
on.

With several cars a simulator gets the first car that is free, and nobody loses one that drives.

Who has no car stays connected and unanswered: a simulator that is turned away would reconnect
without end. When a car becomes free, the one heard last of these takes it. Any other client (a
page, a plotter) may listen and is left alone.

Pure: sends through a callable, gets the time passed in, and belongs to one thread.
"""

from __future__ import annotations

import math

from sim_bridge.protocol.udacity import Telemetry
from sim_bridge.session.car_session import CarSession, Send, SimulatorClient, see_off
from sim_bridge.session.tokens import Limits

PROBATION_S = 0.3
"""A newcomer that stays for so long after its first telemetry displaces the one that drives."""


class SessionManager:
    """Routes telemetry to the seat of the car that its simulator drives. `seats`: one per car."""

    def __init__(self, limits: Limits, send: Send, cars: int = 1) -> None:
        self.seats = tuple(CarSession(limits, send) for _ in range(cars))
        self._send = send
        self._simulators: dict[str, SimulatorClient] = {}
        self._challenger: SimulatorClient | None = None
        self._challenge_due_s = math.inf

    @property
    def simulators(self) -> int:
        """How many simulators are connected."""
        return len(self._simulators)

    def connected(self, now_s: float, sid: str, *, is_simulator: bool) -> None:
        """A client connected; `is_simulator` if its dialect shows that it is one."""
        if is_simulator:
            simulator, seat = self._simulator(sid), self._free_seat(now_s)
            if seat is not None:
                self._take(now_s, seat, simulator)

    def disconnected(self, now_s: float, sid: str) -> None:
        """A client is gone, and with it its tokens."""
        gone = self._simulators.pop(sid, None)
        if gone is None:
            return
        if gone is self._challenger:
            self._challenger = None
        if gone.seat is None:
            return
        gone.seat.leave()
        waiting = [one for one in self._simulators.values() if one.seat is None]
        if waiting:
            self._take(now_s, gone.seat, max(waiting, key=lambda one: one.heard_s))

    def drives(self, now_s: float, sid: str) -> bool:
        """Whether this client drives a car, and has not fallen silent."""
        simulator = self._simulators.get(sid)
        return bool(simulator and simulator.seat and not simulator.seat.is_free(now_s))

    def telemetry(
        self, now_s: float, sid: str, payload: object, stamp_ns: int
    ) -> tuple[CarSession, Telemetry] | None:
        """Take the data of one `telemetry` event; seat and frame if it is to be driven on."""
        simulator = self._simulator(sid)
        if simulator.seat is None:
            self._hear_waiting(now_s, simulator)
        simulator.heard_s = now_s
        if simulator.seat is None:
            return None
        frame = simulator.seat.telemetry(now_s, payload, stamp_ns)
        return None if frame is None else (simulator.seat, frame)

    def expire(self, now_s: float) -> None:
        """Give the answers whose deadlines have passed."""
        if self._challenger and now_s >= self._challenge_due_s:
            self._take(now_s, self.seats[0], self._challenger)
        for seat in self.seats:
            seat.expire(now_s)

    def next_deadline(self) -> float:
        """When `expire` is due next; infinity while no simulator drives."""
        challenge_s = self._challenge_due_s if self._challenger else math.inf
        return min(challenge_s, *(seat.next_deadline() for seat in self.seats))

    def farewell(self) -> None:
        """Tell every car to halt, as the last thing that it hears."""
        for seat in self.seats:
            seat.halt()
            seat.leave()
        self._challenger = None
        self._simulators.clear()

    def _simulator(self, sid: str) -> SimulatorClient:
        if sid not in self._simulators:
            self._simulators[sid] = SimulatorClient(sid)
        return self._simulators[sid]

    def _free_seat(self, now_s: float) -> CarSession | None:
        """The first seat without a driver, else the first whose driver has fallen silent."""
        free = [seat for seat in self.seats if seat.is_free(now_s)]
        return min(free, key=lambda seat: seat.driver is not None, default=None)

    def _hear_waiting(self, now_s: float, simulator: SimulatorClient) -> None:
        """Telemetry of one without a car: a car, a farewell, a challenge, or nothing is due."""
        seat = self._free_seat(now_s)
        if seat is not None:
            simulator.unanswered = False
            self._take(now_s, seat, simulator)
        elif simulator.farewell_due:
            see_off(simulator, self._send)
        else:
            simulator.unanswered = True
            if simulator.heard_s == -math.inf and len(self.seats) == 1:
                self._challenger = simulator
                self._challenge_due_s = now_s + PROBATION_S

    def _take(self, now_s: float, seat: CarSession, simulator: SimulatorClient) -> None:
        if simulator is self._challenger:
            self._challenger = None
        seat.take(now_s, simulator)
