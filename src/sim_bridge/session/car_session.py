"""One car's seat: the simulator that drives it, and the answers that it gets.

Pure: sends through a callable, gets the time passed in, and belongs to one thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sim_bridge.protocol.udacity import (
    EVENT_MANUAL,
    EVENT_STEER,
    Command,
    PacketError,
    Telemetry,
    decode_telemetry,
    encode_command,
)
from sim_bridge.session.response_scheduler import Answer, Counters, ResponseScheduler, State
from sim_bridge.session.tokens import Limits
from steering_net.errors import ImageError
from steering_net.vision.frame_size import check_size
from steering_net.vision.preprocessing import jpeg_size

Send = Callable[[str, str, Mapping[str, str]], None]
"""Delivers (session id, event name, data) to one client."""

HALT = Command(steering_rad=0.0, throttle=0.0)

SMALLEST_PX, LARGEST_PX = 160, 4096
"""Bounds of an image's width; its height is half of it."""

SILENCE_S = 1.0
"""After such a silence of the one that drives, its seat is free for others."""


@dataclass
class SimulatorClient:
    """A connected simulator, whether it drives or not."""

    sid: str
    seat: CarSession | None = None
    heard_s: float = -math.inf
    decimal: str | None = None
    farewell_due: bool = False
    unanswered: bool = False


class CarSession:
    """Takes the telemetry of the simulator that drives, and answers it.

    `latencies_s` holds the newest times from a telemetry to its answer, seconds; `last_command`
    is what the car was told last, `last_error` what was wrong with its newest bad telemetry.
    """

    def __init__(self, limits: Limits, send: Send) -> None:
        self.counters = Counters()
        self.latencies_s: deque[float] = deque(maxlen=1000)
        self.last_command = HALT
        self.last_error = ''
        self.driver: SimulatorClient | None = None
        self._limits = limits
        self._send = send
        self._is_attended = True
        self._pairing = ResponseScheduler(limits, 0.0, self.counters)

    @property
    def state(self) -> State | None:
        """State of the car; None while no simulator drives it."""
        return self._pairing.state if self.driver else None

    @property
    def state_line(self) -> str:
        """State of the car in one line for people, with what is wrong with its telemetry."""
        state = self.state
        if state is None:
            return 'no simulator connected'
        return f'{state.value}: {self.last_error}' if state is State.UNREADABLE else state.value

    @property
    def speed_mps(self) -> float:
        """Speed of the car; 0 while nobody drives it."""
        return self._pairing.speed_mps if self.driver else 0.0

    def is_free(self, now_s: float) -> bool:
        """Whether nobody drives, or only one that has fallen silent."""
        return self.driver is None or now_s - self.driver.heard_s > SILENCE_S

    def take(self, now_s: float, simulator: SimulatorClient) -> None:
        """Have this one drive from now on; a telemetry that it still waits for is answered."""
        if self.driver:
            self._displace(self.driver)
        self._pairing = ResponseScheduler(
            self._limits, now_s, self.counters, is_attended=self._is_attended
        )
        simulator.heard_s = now_s
        simulator.farewell_due = False
        simulator.seat, self.driver = self, simulator
        if simulator.unanswered:
            simulator.unanswered = False
            self._command(simulator, HALT)

    def leave(self) -> None:
        """Whoever drove is gone."""
        self.driver = None

    def telemetry(self, now_s: float, payload: object, stamp_ns: int) -> Telemetry | None:
        """Take the driver's telemetry; the frame if it is to be driven on."""
        assert self.driver is not None
        try:
            frame = read_telemetry(payload)
        except PacketError as error:
            self.last_error = str(error)
            self.driver.decimal = error.decimal or self.driver.decimal
            self._pairing.bad_packet(now_s, error.speed_mps)
            return None
        if frame is None:
            self._pairing.manual(now_s)
            return None
        self.driver.decimal = frame.decimal
        self._pairing.telemetry(now_s, stamp_ns, frame.speed_mps)
        return frame

    def attend(self, now_s: float, is_attended: bool) -> None:
        """The nodes that steer the car and hold its speed are there, or are not."""
        self._is_attended = is_attended
        if self.driver:
            self._answer(self._pairing.attend(now_s, is_attended))

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> None:
        """A steering command came, for the frame with this stamp."""
        if self.driver:
            self._answer(self._pairing.steering(now_s, stamp_ns, steering_rad))

    def throttle(self, now_s: float, throttle: float) -> None:
        """A throttle command came."""
        if self.driver:
            self._answer(self._pairing.throttle(now_s, throttle))

    def expire(self, now_s: float) -> None:
        """Give the answer whose deadline has passed, if there is one."""
        if self.driver:
            self._answer(self._pairing.expire(now_s))

    def next_deadline(self) -> float:
        """When `expire` is due next; infinity while nobody drives."""
        return self._pairing.next_deadline() if self.driver else math.inf

    def halt(self) -> None:
        """Tell the car to halt."""
        if self.driver:
            self._command(self.driver, HALT)

    def _displace(self, simulator: SimulatorClient) -> None:
        simulator.seat = None
        simulator.farewell_due = True
        if self._pairing.has_token:
            see_off(simulator, self._send)

    def _answer(self, answer: Answer | None) -> None:
        if answer is None or self.driver is None:
            return
        if answer.latency_s is not None:
            self.latencies_s.append(answer.latency_s)
        if answer.command is None:
            self._send(self.driver.sid, EVENT_MANUAL, {})
        else:
            self._command(self.driver, answer.command)

    def _command(self, simulator: SimulatorClient, command: Command) -> None:
        self.last_command = command
        self._send(simulator.sid, EVENT_STEER, encode_command(command, simulator.decimal))


def read_telemetry(payload: object) -> Telemetry | None:
    """Read the data of a `telemetry` event with a look at its image; None: a person drives.

    Raises PacketError, naming the field, for what the network cannot use.
    """
    frame = decode_telemetry(payload)
    if frame is not None:
        problem = _problem_of_image(frame.jpeg)
        if problem:
            raise PacketError(problem, frame.speed_mps, frame.decimal)
    return frame


def _problem_of_image(jpeg: bytes) -> str:
    """What is wrong with an image, by its header; '' if nothing is."""
    try:
        width, height = jpeg_size(jpeg)
    except ImageError as error:
        return f'image is {error}'
    try:
        check_size(width, height)
    except ImageError as error:
        return str(error)
    if not SMALLEST_PX <= width <= LARGEST_PX:
        bounds = f'{SMALLEST_PX}x{SMALLEST_PX // 2} .. {LARGEST_PX}x{LARGEST_PX // 2}'
        return f'the frame is {width}x{height}; it must be in {bounds}'
    return ''


def see_off(simulator: SimulatorClient, send: Send) -> None:
    """The last word to one that was displaced, in answer to the telemetry that it waits for."""
    simulator.farewell_due = False
    send(simulator.sid, EVENT_STEER, encode_command(HALT, simulator.decimal))
