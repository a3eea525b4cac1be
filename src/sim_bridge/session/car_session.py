# SPDX-License-Identifier: Apache-2.0
"""One car: the client that drives it, and the answers that the client gets.

Pure: sends through the client's `Link`, gets the time passed in, and belongs to one thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sim_bridge.control.motion_controller import DriverCommand, is_finite
from sim_bridge.protocol.types import (
    COAST,
    Command,
    Control,
    Link,
    PacketError,
    Telemetry,
    UnsentError,
)
from sim_bridge.session.answers import Answer
from sim_bridge.session.arbiter import Arbiter, Driver
from sim_bridge.session.frame_stamps import FrameStamps
from sim_bridge.session.reset_watch import ResetWatch
from sim_bridge.session.response_scheduler import ResponseScheduler
from sim_bridge.session.status import Counters, State
from sim_bridge.session.takeovers import TakeoverDetector
from sim_bridge.session.timeouts import AnswerTimeouts, SourceTimeouts

SILENCE_S = 1.0
"""A car whose client has been silent for this time is free for another client."""

InspectImage = Callable[[bytes], str]
"""Returns the fault of a JPEG that the network cannot use, in one line; '' without a fault."""


class ControlError(RuntimeError):
    """A request for the simulator of a car was not carried out; the message says why."""


@dataclass(eq=False)
class SimulatorClient:
    """A connected client, and the car that it drives, if any.

    is_simulator: it speaks Engine.IO 3 or has sent telemetry. owes_last_command: it has lost its
    car; its next telemetry gets a last 0/0. is_unanswered: it waits for the answer to a telemetry.
    """

    link: Link
    is_simulator: bool = False
    session: CarSession | None = None
    heard_s: float = -math.inf
    owes_last_command: bool = False
    is_unanswered: bool = False
    resets: ResetWatch = field(default_factory=ResetWatch)

    def send_last_command(self) -> None:
        """Answer the telemetry of a client that has lost its car with 0/0."""
        self.owes_last_command = False
        self.link.send_command(COAST)


class CarSession:
    """Takes the telemetry of the client that drives one car, and answers it.

    `latencies_s` holds the newest times from a telemetry to its answer, seconds; `latency_s` is
    that of the newest answer, None if it did not need the nodes. `last_command` is the newest
    command that was sent, `last_error` the fault of the newest bad telemetry. `is_held`
    is whether the car is braked and kept standing, whichever client drives it. `resets` counts the
    resets of its simulators. `driver` is what drives. `lock_step_refused` is whether lock-step is
    wanted and the simulator does not wait for it.

    `on_driver` is called when `driver` has changed. `on_person_command` is called with the stamp
    of a frame, ns, and the command that was sent for it while a person drives.
    """

    def __init__(
        self,
        timeouts: AnswerTimeouts,
        inspect_image: InspectImage,
        *,
        source_timeouts: SourceTimeouts | None = None,
        in_simulated_time: bool = False,
    ) -> None:
        """`in_simulated_time`: stamp frames with the time of the simulator, if it sends it."""
        self.counters = Counters()
        self.latencies_s: deque[float] = deque(maxlen=1000)
        self.latency_s: float | None = None
        self.last_command = COAST
        self.last_error = ''
        self.is_held = False
        self.resets = 0
        self.lock_step_refused = False
        self.driver = Driver.NETWORK
        self.on_driver: Callable[[], None] = lambda: None
        self.on_person_command: Callable[[int, Command], None] = lambda _stamp_ns, _command: None
        self._arbiter = Arbiter(source_timeouts or SourceTimeouts())
        self._stamps = FrameStamps(in_simulated_time=in_simulated_time)
        self._takeovers = TakeoverDetector()
        self.client: SimulatorClient | None = None
        self._timeouts = timeouts
        self._inspect_image = inspect_image
        self._nodes_ready = True
        self._scheduler = ResponseScheduler(timeouts, 0.0, self.counters)

    def set_timeouts(self, timeouts: AnswerTimeouts, source_timeouts: SourceTimeouts) -> None:
        """Use other timeouts from now on, for the telemetry that waits too."""
        self._timeouts = self._scheduler.timeouts = timeouts
        self._arbiter.timeouts = source_timeouts

    @property
    def state(self) -> State | None:
        """State of the car; None while no client drives it."""
        return self._scheduler.state if self.client else None

    @property
    def stamp_ns(self) -> int:
        """Stamp of the newest frame."""
        return self._stamps.newest_ns

    @property
    def state_line(self) -> str:
        """State of the car in one line, with the fault of a telemetry that cannot be read."""
        state = self.state
        line = 'no simulator connected' if state is None else state.value
        if state is State.UNREADABLE:
            line += f': {self.last_error}'
        return f'{line} (held)' if self.is_held and state is not State.HELD else line

    @property
    def reset_ignored(self) -> bool:
        """Whether the simulator drives on as if the newest reset had not reached it."""
        client = self.client  # It may leave meanwhile, because diagnostics read on another thread.
        return client is not None and client.resets.is_ignored

    @property
    def speed_mps(self) -> float:
        """Speed of the car, m/s; 0 while no client drives it."""
        return self._scheduler.speed_mps if self.client else 0.0

    @property
    def signed_speed_mps(self) -> float:
        """Speed of the car, m/s, negative if it moves backwards, as far as that is known."""
        return self._scheduler.signed_speed_mps if self.client else 0.0

    @property
    def free_s(self) -> float:
        """Time from which on another client may take the car.

        A simulator that is paused, or waits for a slow node in lock-step, does not lose it. Nor
        does one that waits for the answer of a standing car, which comes after `stop_timeout_s`.
        """
        if self.client is None:
            return -math.inf
        is_silent_on_purpose = self.state is State.PAUSED or self._scheduler.waits_for_nodes
        if is_silent_on_purpose:
            return math.inf
        return self.client.heard_s + max(SILENCE_S, 2.0 * self._timeouts.stop_timeout_s)

    def is_free(self, now_s: float) -> bool:
        """Whether no client drives the car, or only one that has fallen silent."""
        return now_s >= self.free_s

    def assign(self, now_s: float, client: SimulatorClient) -> None:
        """Let this client drive from now on, and answer a telemetry that it still waits for."""
        if self.client:
            self._displace(self.client)
        self._scheduler = self._new_scheduler(now_s)
        self._takeovers.begin()
        self._stamps.begin()
        client.heard_s = now_s
        client.owes_last_command = False
        client.session, self.client = self, client
        if client.is_unanswered:
            client.is_unanswered = False
            self._send_command(client, COAST)

    def release(self) -> None:
        """Leave the car without a client."""
        self.client = None
        self.lock_step_refused = False
        self._update_driver()

    def telemetry(self, now_s: float, payload: object, received_ns: int) -> Telemetry | None:
        """Take a telemetry of the client; return its frame if the nodes need it.

        received_ns: time of receipt. `stamp_ns` is then the stamp of the frame.
        """
        assert self.client is not None
        self._end_silent_sources(now_s)
        try:
            frame = self._read(self.client.link, payload)
        except PacketError as error:
            self.last_error = str(error)
            self._scheduler.bad_packet(now_s, error.speed_mps)
            return None
        if frame is None:
            self._scheduler.manual(now_s)
            self._update_driver()
            return None
        if self.client.resets.is_before(now_s, frame.run):
            self.counters.telemetry += 1
            self.counters.superseded += 1
            return None
        stamp_ns = self._stamps.add(now_s, received_ns, frame.time_ns)
        self._scheduler.telemetry(now_s, stamp_ns, frame.speed_mps, waits=frame.waits)
        self.lock_step_refused = self._timeouts.lock_step and not frame.waits
        return frame

    def set_nodes_ready(self, now_s: float, nodes_ready: bool) -> None:
        """Set whether the steering and the throttle node are ready."""
        self._nodes_ready = nodes_ready
        if self.client:
            self._send_answer(now_s, self._scheduler.set_nodes_ready(now_s, nodes_ready))
        self._update_driver()

    def set_held(self, now_s: float, is_held: bool) -> None:
        """Hold the car, or release it, see `ResponseScheduler.set_held`."""
        self.is_held = is_held
        if self.client:
            self._send_answer(now_s, self._scheduler.set_held(now_s, is_held))
        self._update_driver()

    def person(self, now_s: float, source: Driver, command: DriverCommand) -> None:
        """Take a command of a person or planner, which drives in place of the network."""
        if not is_finite(command):
            self.counters.rejected_commands += 1
            return
        self._arbiter.expire(now_s)
        self._arbiter.hear(now_s, source, command)
        self._arbitrate(now_s)

    def let_go(self, now_s: float, source: Driver) -> None:
        """Let the next source drive, because the dead-man's button of this one is released."""
        self._arbiter.let_go(source)
        self._arbitrate(now_s)

    def control(self, now_s: float, control: Control) -> None:
        """Send a request to the simulator that drives the car.

        After a reset no telemetry from before is answered, see `ResetWatch`. Raises
        ControlError if the simulator cannot do it, or does not read.
        """
        client = self.client
        if client is None:
            raise ControlError('no simulator is connected')
        if client.resets.run is None:
            raise ControlError(
                f'this simulator has no {control.value}; the embedded one has it, and says so in '
                'its telemetry'
            )
        if control is Control.STEP and self.state is not State.PAUSED:
            raise ControlError('the simulator is not paused')
        try:
            client.link.send_control(control)
        except UnsentError as error:
            raise ControlError(str(error)) from error
        if control is Control.RESET:
            is_paused = self.state is State.PAUSED
            self.resets += 1
            client.resets.reset(now_s)
            self._arbiter.forget()
            self._takeovers.begin()
            self.counters.takeovers = 0
            self.counters.superseded += self._scheduler.has_waiting
            self._scheduler = self._new_scheduler(now_s)
            self._scheduler.set_paused(now_s, is_paused)
            self._update_driver()
        elif control is not Control.STEP:
            self._scheduler.set_paused(now_s, control is Control.PAUSE)

    def steering(self, now_s: float, stamp_ns: int, steering_rad: float) -> None:
        """Take a steering command for the frame with this stamp."""
        if self.client:
            self._send_answer(now_s, self._scheduler.steering(now_s, stamp_ns, steering_rad))

    def throttle(self, now_s: float, throttle: float) -> None:
        """Take a throttle command."""
        if self.client:
            self._send_answer(now_s, self._scheduler.throttle(now_s, throttle))

    def expire(self, now_s: float) -> None:
        """Send the answer whose deadline has passed, if there is one."""
        self._end_silent_sources(now_s)
        if self.client:
            self._send_answer(now_s, self._scheduler.expire(now_s))

    def next_deadline(self) -> float:
        """Time at which `expire` has to be called next; infinity if it need not be called."""
        deadline_s = self._scheduler.next_deadline() if self.client else math.inf
        return min(deadline_s, self._arbiter.next_timeout_s)

    def coast(self) -> None:
        """Send 0/0 to the client."""
        if self.client:
            self._send_command(self.client, COAST)

    def _read(self, link: Link, payload: object) -> Telemetry | None:
        frame = link.decode(payload)
        if frame is not None:
            fault = self._inspect_image(frame.jpeg)
            if fault:
                raise PacketError(fault, frame.speed_mps)
        return frame

    def _end_silent_sources(self, now_s: float) -> None:
        if now_s >= self._arbiter.next_timeout_s:
            self._arbiter.expire(now_s)
            self._arbitrate(now_s)

    def _arbitrate(self, now_s: float) -> None:
        """Let the source that counts now drive."""
        self._update_driver()
        if self.client:
            self._send_answer(now_s, self._scheduler.set_person(now_s, self._person_command()))

    def _person_command(self) -> DriverCommand | None:
        active = self._arbiter.active
        return None if active is None else active[1]

    def _update_driver(self) -> None:
        driver = self._find_driver()
        if driver is not self.driver:
            self.driver = driver
            self.on_driver()

    def _find_driver(self) -> Driver:
        if self.state is State.MANUAL:
            return Driver.SIMULATOR
        if self.is_held:
            return Driver.HOLD
        active = self._arbiter.active
        if active is not None:
            return active[0]
        has_network = self._nodes_ready and self.state is not State.STOPPED
        return Driver.NETWORK if has_network else Driver.NOBODY

    def _new_scheduler(self, now_s: float) -> ResponseScheduler:
        return ResponseScheduler(
            self._timeouts,
            now_s,
            self.counters,
            nodes_ready=self._nodes_ready,
            is_held=self.is_held,
            person=self._person_command(),
        )

    def _displace(self, client: SimulatorClient) -> None:
        client.session = None
        client.owes_last_command = True
        if self._scheduler.has_waiting:
            client.send_last_command()

    def _send_answer(self, now_s: float, answer: Answer | None) -> None:
        if answer is None or self.client is None:
            return
        self._update_driver()
        self._count_takeover(now_s, answer)
        self.latency_s = answer.latency_s
        if answer.latency_s is not None:
            self.latencies_s.append(answer.latency_s)
        if answer.command is None:
            self.client.link.send_manual()
        else:
            self._send_command(self.client, answer.command)
            if answer.person_stamp_ns is not None:
                self.on_person_command(answer.person_stamp_ns, answer.command)

    def _count_takeover(self, now_s: float, answer: Answer) -> None:
        if answer.command is None or answer.person_stamp_ns is not None:
            self.counters.takeovers += self._takeovers.person(now_s)
        elif self.state is State.DRIVING:
            self._takeovers.network()

    def _send_command(self, client: SimulatorClient, command: Command) -> None:
        self.last_command = command
        client.link.send_command(command)
