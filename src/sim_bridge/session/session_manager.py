# SPDX-License-Identifier: Apache-2.0
"""Which of the connected clients drives which car.

With one car the newest simulator drives. It takes the car from another one PROBATION_S after its
first telemetry, so that short or idle connections stop no car. The client that loses its car gets
a last 0/0 in answer to its next telemetry, so that its car does not run on.

With several cars a simulator gets the first car that is free, and no client loses its car.

Surplus simulators stay connected but get no commands, because a rejected simulator reconnects in a
tight loop. When a car becomes free, or its client is silent for SILENCE_S, it goes to the client
with the newest telemetry. Clients that send no telemetry (a page, a plotter) may listen; they
drive no car.

Pure: sends through the clients' links, gets the time passed in, and belongs to one thread.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from sim_bridge.protocol.types import Link, Telemetry
from sim_bridge.session.car_session import CarSession, InspectImage, SimulatorClient
from sim_bridge.session.timeouts import AnswerTimeouts, SourceTimeouts

PROBATION_S = 0.3
"""Time from a newcomer's first telemetry until it takes the car of the client that drives."""


class SessionManager:
    """Routes the telemetry of each client to the session of its car. `sessions`: one per car."""

    def __init__(
        self,
        timeouts: AnswerTimeouts,
        inspect_image: InspectImage,
        cars: int = 1,
        *,
        source_timeouts: SourceTimeouts | None = None,
        in_simulated_time: bool = False,
    ) -> None:
        self.sessions = tuple(
            CarSession(
                timeouts,
                inspect_image,
                source_timeouts=source_timeouts,
                in_simulated_time=in_simulated_time,
            )
            for _ in range(cars)
        )
        self._clients: dict[Hashable, SimulatorClient] = {}
        self._challenges: dict[SimulatorClient, float] = {}

    @property
    def simulators(self) -> int:
        """Number of connected simulators."""
        return len(self._simulators())

    def connected(self, now_s: float, key: Hashable, link: Link, *, is_simulator: bool) -> None:
        """Add a client. `is_simulator`: its dialect shows that it is one, so it may drive."""
        client = self._clients[key] = SimulatorClient(link, is_simulator)
        session = self._free_session(now_s)
        if is_simulator and session is not None:
            self._assign(now_s, session, client)

    def disconnected(self, now_s: float, key: Hashable) -> None:
        """Remove a client, and its tokens with it."""
        gone = self._clients.pop(key, None)
        if gone is None:
            return
        self._challenges.pop(gone, None)
        if gone.session is None:
            return
        gone.session.release()
        waiting = [client for client in self._simulators() if client.session is None]
        if waiting:
            self._assign(now_s, gone.session, max(waiting, key=lambda client: client.heard_s))

    def drives(self, now_s: float, key: Hashable) -> bool:
        """Whether this client drives a car and has not fallen silent."""
        client = self._clients.get(key)
        return bool(client and client.session and not client.session.is_free(now_s))

    def telemetry(
        self, now_s: float, key: Hashable, payload: object, received_ns: int
    ) -> tuple[CarSession, Telemetry] | None:
        """Take the payload of a telemetry; return session and frame if the nodes need it.

        received_ns: time of receipt.
        """
        client = self._clients[key]
        client.is_simulator = True
        if client.session is None:
            self._take_waiting(now_s, client)
        client.heard_s = now_s
        if client.session is None:
            return None
        frame = client.session.telemetry(now_s, payload, received_ns)
        return None if frame is None else (client.session, frame)

    def expire(self, now_s: float) -> None:
        """Send the answers whose deadlines have passed."""
        for client in [one for one, due_s in self._challenges.items() if now_s >= due_s]:
            self._assign(now_s, self.sessions[0], client)
        for client in sorted(self._unanswered(), key=lambda client: -client.heard_s):
            free = self._free_session(now_s)
            if free is not None:
                self._assign(now_s, free, client)
        for session in self.sessions:
            session.expire(now_s)

    def next_deadline(self) -> float:
        """Time at which `expire` has to be called next; infinity while no client drives."""
        deadlines_s = [*self._challenges.values()]
        deadlines_s += [session.next_deadline() for session in self.sessions]
        if self._unanswered():
            deadlines_s += [session.free_s for session in self.sessions]
        return min(deadlines_s)

    def close(self) -> None:
        """Send 0/0 to every car as its last command, and forget all clients."""
        for session in self.sessions:
            session.coast()
            session.release()
        self._challenges.clear()
        self._clients.clear()

    def _simulators(self) -> list[SimulatorClient]:
        # A copy, because diagnostics read it on another thread.
        return [client for client in list(self._clients.values()) if client.is_simulator]

    def _unanswered(self) -> list[SimulatorClient]:
        """Return the clients without a car that wait for an answer."""
        return [client for client in self._clients.values() if client.is_unanswered]

    def _free_session(self, now_s: float) -> CarSession | None:
        """Return the first car without a client, else the first with a silent one."""
        free = [session for session in self.sessions if session.is_free(now_s)]
        return min(free, key=lambda session: session.client is not None, default=None)

    def _take_waiting(self, now_s: float, client: SimulatorClient) -> None:
        """Handle telemetry of a client without a car: assign, send 0/0, or challenge."""
        session = self._free_session(now_s)
        if session is not None:
            client.is_unanswered = False
            self._assign(now_s, session, client)
        elif client.owes_last_command:
            client.send_last_command()
        else:
            client.is_unanswered = True
            if client.heard_s == -math.inf and len(self.sessions) == 1:
                self._challenges[client] = now_s + PROBATION_S

    def _assign(self, now_s: float, session: CarSession, client: SimulatorClient) -> None:
        self._challenges.pop(client, None)
        session.assign(now_s, client)
