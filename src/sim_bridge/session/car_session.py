"""One car: the client that drives it, and the answers that the client gets.

Pure: sends through the client's `Link`, gets the time passed in, and belongs to one thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sim_bridge.protocol.types import HALT, Command, Link, PacketError, Telemetry
from sim_bridge.session.response_scheduler import Answer, Counters, ResponseScheduler, State
from sim_bridge.session.tokens import Limits

SILENCE_S = 1.0
"""A car whose client has been silent for this time is free for another client."""

InspectImage = Callable[[bytes], str]
"""Returns the fault of a JPEG that the network cannot use, in one line; '' without a fault."""


@dataclass(eq=False)
class SimulatorClient:
    """A connected client, and the car that it drives, if any.

    is_simulator: it speaks Engine.IO 3 or has sent telemetry. owes_halt: it has lost its car; its
    next telemetry gets a last 0/0. is_unanswered: it waits for the answer to a telemetry.
    """

    link: Link
    is_simulator: bool = False
    session: CarSession | None = None
    heard_s: float = -math.inf
    owes_halt: bool = False
    is_unanswered: bool = False

    def send_last_halt(self) -> None:
        """Answer the telemetry of a client that has lost its car with 0/0."""
        self.owes_halt = False
        self.link.send_command(HALT)


class CarSession:
    """Takes the telemetry of the client that drives one car, and answers it.

    `latencies_s` holds the newest times from a telemetry to its answer, seconds. `last_command` is
    the newest command that was sent, `last_error` the fault of the newest bad telemetry.
    """

    def __init__(self, limits: Limits, inspect_image: InspectImage) -> None:
        self.counters = Counters()
        self.latencies_s: deque[float] = deque(maxlen=1000)
        self.last_command = HALT
        self.last_error = ''
        self.client: SimulatorClient | None = None
        self._limits = limits
        self._inspect_image = inspect_image
        self._nodes_ready = True
        self._scheduler = ResponseScheduler(limits, 0.0, self.counters)

    @property
    def state(self) -> State | None:
        """State of the car; None while no client drives it."""
        return self._scheduler.state if self.client else None

    @property
    def state_line(self) -> str:
        """State of the car in one line, with the fault of a telemetry that cannot be read."""
        state = self.state
        if state is None:
            return 'no simulator connected'
        return f'{state.value}: {self.last_error}' if state is State.UNREADABLE else state.value

    @property
    def speed_mps(self) -> float:
        """Speed of the car, m/s; 0 while no client drives it."""
        return self._scheduler.speed_mps if self.client else 0.0

    @property
    def free_s(self) -> float:
        """Time from which on another client may take the car."""
        return self.client.heard_s + SILENCE_S if self.client else -math.inf

    def is_free(self, now_s: float) -> bool:
        """Whether no client drives the car, or only one that has fallen silent."""
        return now_s >= self.free_s

    def assign(self, now_s: float, client: SimulatorClient) -> None:
        """Let this client drive from now on, and answer a telemetry that it still waits for."""
        if self.client:
            self._displace(self.client)
        self._scheduler = ResponseScheduler(
            self._limits, now_s, self.counters, nodes_ready=self._nodes_ready
        )
        client.heard_s = now_s
        client.owes_halt = False
        client.session, self.client = self, client
        if client.is_unanswered:
            client.is_unanswered = False
            self._send(client, HALT)

    def release(self) -> None:
        """Leave the car without a client."""
        self.client = None

    def telemetry(self, now_s: float, payload: object, stamp_ns: int) -> Telemetry | None:
        """Take a telemetry of the client; return its frame if the nodes need it."""
        assert self.client is not None
        try:
            frame = self._read(self.client.link, payload)
        except PacketError as error:
            self.last_error = str(error)
            self._scheduler.bad_packet(now_s, error.speed_mps)
            return None
        if frame is None:
            self._scheduler.manual(now_s)
            return None
        self._scheduler.telemetry(now_s, stamp_ns, frame.speed_mps)
        return frame

    def set_nodes_ready(self, now_s: float, nodes_ready: bool) -> None:
        """Set whether the steering and the throttle node are ready."""
        self._nodes_ready = nodes_ready
        if self.client:
            self._answer(self._scheduler.set_nodes_ready(now_s, nodes_ready))

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> None:
        """Take a steering command for the frame with this stamp."""
        if self.client:
            self._answer(self._scheduler.steering(now_s, stamp_ns, steering_rad))

    def throttle(self, now_s: float, throttle: float) -> None:
        """Take a throttle command."""
        if self.client:
            self._answer(self._scheduler.throttle(now_s, throttle))

    def expire(self, now_s: float) -> None:
        """Send the answer whose deadline has passed, if there is one."""
        if self.client:
            self._answer(self._scheduler.expire(now_s))

    def next_deadline(self) -> float:
        """Time at which `expire` has to be called next; infinity while no client drives."""
        return self._scheduler.next_deadline() if self.client else math.inf

    def halt(self) -> None:
        """Send 0/0 to the client."""
        if self.client:
            self._send(self.client, HALT)

    def _read(self, link: Link, payload: object) -> Telemetry | None:
        frame = link.decode(payload)
        if frame is not None:
            fault = self._inspect_image(frame.jpeg)
            if fault:
                raise PacketError(fault, frame.speed_mps)
        return frame

    def _displace(self, client: SimulatorClient) -> None:
        client.session = None
        client.owes_halt = True
        if self._scheduler.has_waiting:
            client.send_last_halt()

    def _answer(self, answer: Answer | None) -> None:
        if answer is None or self.client is None:
            return
        if answer.latency_s is not None:
            self.latencies_s.append(answer.latency_s)
        if answer.command is None:
            self.client.link.send_manual()
        else:
            self._send(self.client, answer.command)

    def _send(self, client: SimulatorClient, command: Command) -> None:
        self.last_command = command
        client.link.send_command(command)
