# SPDX-License-Identifier: Apache-2.0
"""Client of the simulator with the faults of a `FaultPlan`."""

from __future__ import annotations

import socket
import time
from collections import deque

from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import Culture
from sim_bridge.simulator.client import Client
from sim_bridge.simulator.fault_injection import FaultPlan, Spoiler

_STORM_RETRY_S = 0.005
_STEP_S = 0.01
_MAX_HALF_OPEN = 20


class FaultyClient(Client):
    """A `Client` with faults. The times of the plan count from its creation."""

    def __init__(self, url: str, culture: Culture, plan: FaultPlan) -> None:
        self._plan = plan
        self._spoiler = Spoiler(plan)
        self._delayed: deque[tuple[float, object]] = deque()
        self._half_open: deque[socket.socket] = deque(maxlen=_MAX_HALF_OPEN)
        self._struck = {'disconnect': 0, 'half-open': 0}
        self._second: Client | None = None
        self._url = url
        self._last: Telemetry | None = None
        super().__init__(url, culture)
        self._started_s = self._clock()

    def send_telemetry(self, telemetry: Telemetry | None) -> None:
        """Use one token to send a telemetry with the faults of the plan."""
        if not self.connected:
            return
        self.tokens -= 1
        self._last = telemetry
        payloads = self._spoiler.payloads(self._fields(telemetry))
        due_s = self._clock() + self._plan.delay_s
        self._delayed.extend((due_s, payload) for payload in payloads)
        self._send_due()

    def poll(self, timeout_s: float) -> None:
        """Do as `Client.poll`, with the faults that are due."""
        self._break_connections()
        self._play_second_simulator()
        if self._active('silent'):
            time.sleep(min(timeout_s, _STEP_S))
            return
        if self._delayed:
            timeout_s = min(timeout_s, max(0.0, self._delayed[0][0] - self._clock()))
        super().poll(min(timeout_s, _STEP_S) if self._second else timeout_s)
        self._send_due()

    def quit(self) -> None:
        """Disconnect, and close the second simulator and the dead connections."""
        super().quit()
        if self._second:
            self._second.quit()
        while self._half_open:
            self._half_open.popleft().close()

    def _active(self, kind: str) -> bool:
        return self._plan.active(kind, self._clock() - self._started_s)

    def _forget_connection(self) -> None:
        super()._forget_connection()
        self._delayed.clear()

    def _send_due(self) -> None:
        if self._active('silent'):
            return
        while self._delayed and self._delayed[0][0] <= self._clock():
            self.send_payload(self._delayed.popleft()[1])

    def _break_connections(self) -> None:
        if self._active('storm') and self.connected:
            self._drop()
            self._next_try_s = self._clock() + _STORM_RETRY_S
        if self._strikes('disconnect'):
            self._drop()
        if self._strikes('half-open'):
            self._abandon()

    def _strikes(self, kind: str) -> bool:
        """Return whether another fault of this kind is due; true once for each fault."""
        count = self._plan.count(kind, self._clock() - self._started_s)
        due = count > self._struck[kind]
        self._struck[kind] = count
        return due

    def _abandon(self) -> None:
        """Keep the connection open without using it, as after a power failure; open a new one."""
        if self._socket is None:
            return
        if len(self._half_open) == _MAX_HALF_OPEN:
            self._half_open.popleft().close()
        self._half_open.append(self._socket)
        self._forget_connection()

    def _play_second_simulator(self) -> None:
        if not self._active('second'):
            if self._second:
                self._second.quit()
                self._second = None
            return
        if self._second is None:
            self._second = Client(self._url, self._culture)
        self._second.poll(0.0)
        if self._second.tokens > 0 and self._last is not None:
            self._second.send_telemetry(self._last)
