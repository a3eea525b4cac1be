# SPDX-License-Identifier: Apache-2.0
"""The bridge node: telemetry of simulators becomes topics, and commands on topics become answers.

Each simulator drives one car, and each car has topics of its own.

There are two threads, and a third where `simulation_services` has services. The server's thread
takes telemetry, publishes it, and owns the sessions. The executor's thread receives commands and
passes them on with `SimulatorServer.call_soon`. Each other value that they share is replaced as a
whole by one of them: counters and states by the server's thread; speed limit, uncertainty and the
name of the network by the executor's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from sim_bridge import topics
from sim_bridge.limits import USUAL_PORT
from sim_bridge.nodes import conversions, driver_topics, page_control
from sim_bridge.nodes.car_interface import Camera, CarInterface
from sim_bridge.nodes.car_services import CarServices
from sim_bridge.nodes.diagnostics import PERIOD_S, Diagnostics
from sim_bridge.nodes.driver_topics import JoyLayout
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.nodes.page_control import PageCar, PageControl
from sim_bridge.nodes.runner import run
from sim_bridge.nodes.simulation_services import offer_simulation_services
from sim_bridge.nodes.standby import BEAT_PERIOD_S, heartbeat, held_cars
from sim_bridge.process import DRIVE_ID
from sim_bridge.protocol.types import Link
from sim_bridge.server.simulator_server import SimulatorServer, sleep
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.status import State, together
from sim_bridge.session.timeouts import AnswerTimeouts, SourceTimeouts
from sim_bridge.web.app import create_app
from sim_bridge.web.live_stream import LiveFeed, StreamLimit
from steering_net.cars import MAX_CARS, prefixes
from steering_net.ros.parameters import Parameter, ParameterError, declare, on_change
from steering_net.ros.readiness import STARTING_PERIOD_S, set_check_period
from steering_net.ros.timers import steady_timer

PARAMETERS = (
    Parameter(
        'host',
        '127.0.0.1',
        'Address to listen on. If it is not loopback, any machine can watch or be a simulator.',
    ),
    Parameter(
        'port',
        USUAL_PORT,
        f'TCP port to listen on; the simulator knows only {USUAL_PORT}.',
        0,
        65535,
    ),
    Parameter('cars', 1, 'Number of simulators, each with a car of its own.', 1, MAX_CARS),
    Parameter('allowed_hosts', '', 'Further host names of the page, such as a.lan,b.lan.'),
    Parameter(
        'command_timeout',
        AnswerTimeouts.command_timeout_s,
        'Longest wait for the commands of a frame, s; 0: without end (lock-step).',
        0.0,
        1.0,
        read_only=False,
    ),
    Parameter(
        'stop_timeout',
        AnswerTimeouts.stop_timeout_s,
        'Time without fresh commands before braking, s.',
        0.05,
        5.0,
        read_only=False,
    ),
    Parameter('frame_id', topics.OPTICAL_FRAME, 'frame_id of images and other stamped data.'),
    Parameter('vertical_fov', 1.0472, 'Vertical field of view of the camera, rad.', 0.1, 3.0),
    *driver_topics.PARAMETERS,
    *page_control.PARAMETERS,
)


class BridgeNode(Node):
    """Publishes the telemetry of simulators, and answers it with the commands of other nodes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns monotonic seconds."""
        super().__init__('bridge')
        self._is_serving = False
        self._network = {'network': '', 'network_loading': '', 'network_refused': ''}
        self._values = values = declare(self, PARAMETERS)
        self._prefixes = prefixes(values['cars'])
        limit = StreamLimit()
        feeds = [
            LiveFeed(partial(self.status_of, number), limit, clock=clock, sleep=sleep)
            for number in range(values['cars'])
        ]
        self._page_control = PageControl(self, values, clock) if values['control'] else None
        self._server = SimulatorServer(
            host=values['host'],
            port=values['port'],
            pages=create_app(self.status, feeds, self._page_control),
            allowed_hosts=values['allowed_hosts'].split(','),
            clock=clock,
        )
        # Several simulators differ in time, and there is one /clock.
        in_simulated_time = self.get_parameter('use_sim_time').value and values['cars'] == 1
        self._simulated_time = (
            self.create_publisher(Clock, topics.CLOCK, 10) if in_simulated_time else None
        )
        self._sessions = SessionManager(
            _answer_timeouts(values),
            inspect_image,
            values['cars'],
            source_timeouts=_source_timeouts(values),
            in_simulated_time=in_simulated_time,
        )
        self._cars = self._create_cars(feeds, clock)
        self._beat = heartbeat(self._held_cars)
        for number in held_cars():
            self._sessions.sessions[number - 1].set_held(clock(), True)
        self._offer_services()
        self._diagnostics = Diagnostics(self, self._prefixes)
        self.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, 10)
        steady_timer(self, PERIOD_S, self._publish_diagnostics)
        self._readiness_timer = steady_timer(self, STARTING_PERIOD_S, self._update_readiness)
        on_change(self, PARAMETERS, self._change)
        self._serve(values['host'])

    def _create_cars(
        self, feeds: Sequence[LiveFeed], clock: Callable[[], float]
    ) -> dict[CarSession, CarInterface]:
        values = self._values
        joy = JoyLayout(
            values['joy_steering_axis'],
            values['joy_throttle_axis'],
            values['joy_deadman_button'],
        )
        camera = Camera(values['frame_id'], values['vertical_fov'])
        sessions = self._sessions.sessions
        return {
            session: CarInterface(
                self,
                prefix,
                session,
                camera,
                feed,
                joy=joy,
                call_soon=self._server.call_soon,
                clock=clock,
            )
            for prefix, session, feed in zip(self._prefixes, sessions, feeds, strict=True)
        }

    def _offer_services(self) -> None:
        """Offer the services of each car, also to the pages and by simulation_interfaces."""
        services = {
            session: self._services_of(car.prefix, session) for session, car in self._cars.items()
        }
        if self._page_control is not None:
            self._page_control.cars += [
                PageCar(self, car, session, services[session], self._server.call_now)
                for session, car in self._cars.items()
            ]
        self._end_simulation_services = offer_simulation_services(
            self,
            {car: (session, services[session].control) for session, car in self._cars.items()},
            self._server.call_soon,
        )

    def _services_of(self, prefix: str, session: CarSession) -> CarServices:
        return CarServices(
            self, prefix, session, call_soon=self._server.call_soon, on_held=self._on_held
        )

    def _serve(self, host: str) -> None:
        self._server.start(self)
        self._is_serving = True
        if self._beat is not None:
            self._server.repeat(BEAT_PERIOD_S, self._beat)
        self.get_logger().info(f'listening on {host}:{self._server.port}')
        if not self._server.is_local:
            self.get_logger().warning(
                f'host {host}: all machines on the network can watch and drive; '
                'host 127.0.0.1 keeps them out'
            )
        if self._page_control is not None:
            self._page_control.show_address(self._server.port)

    # Called on the server's thread, see `sim_bridge.server.simulator_server.Handler`.

    def connected(self, now_s: float, key: str, link: Link, *, is_simulator: bool) -> None:
        """Add a client."""
        self._sessions.connected(now_s, key, link, is_simulator=is_simulator)

    def disconnected(self, now_s: float, key: str) -> None:
        """Remove a client."""
        self._sessions.disconnected(now_s, key)

    def drives(self, now_s: float, key: str) -> bool:
        """Whether a client drives a car."""
        return self._sessions.drives(now_s, key)

    def telemetry(self, now_s: float, key: str, payload: object) -> None:
        """Take a telemetry, and publish its frame."""
        driven = self._sessions.telemetry(now_s, key, payload, self._received_ns())
        if driven is not None:
            session, frame = driven
            if self._simulated_time is not None:
                self._simulated_time.publish(
                    Clock(clock=conversions.time_message(session.stamp_ns))
                )
            self._cars[session].publish(now_s, frame, session.stamp_ns)

    def _received_ns(self) -> int:
        """Return the time of receipt, ns.

        With `use_sim_time` it is real time if the node's clock depends on this very time, or has
        not started. So a simulator that sends no time gives stamps and a clock too.
        """
        ros_ns = 0 if self._simulated_time else self.get_clock().now().nanoseconds
        return ros_ns or time.time_ns()

    def expire(self, now_s: float) -> None:
        """Send the answers whose deadlines have passed."""
        self._sessions.expire(now_s)

    def next_deadline(self) -> float:
        """Time at which `expire` has to be called next."""
        return self._sessions.next_deadline()

    def _held_cars(self) -> list[int]:
        """Return the numbers of the cars that are held, counted from 1."""
        sessions = enumerate(self._sessions.sessions, 1)
        return [number for number, session in sessions if session.is_held]

    def _on_held(self) -> None:
        """Pass the cars that are held on to the guard at once, because this process may die."""
        if self._beat is not None:
            self._beat()

    # Called on the executor's thread.

    def _change(self, changed: dict[str, Any]) -> None:
        """Use new timeouts. Raises ParameterError if they do not fit each other."""
        values = self._values | changed
        timeouts, source_timeouts = _answer_timeouts(values), _source_timeouts(values)
        self._values = values

        def apply(_now_s: float) -> None:
            for session in self._sessions.sessions:
                session.set_timeouts(timeouts, source_timeouts)

        self._server.call_soon(apply)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep the state of the network, which the steering node publishes, for the pages."""
        self._network = conversions.network_of(message) or self._network

    def _update_readiness(self) -> None:
        for car in self._cars.values():
            car.update_readiness()
        set_check_period(self._readiness_timer, all(car.is_ready for car in self._cars.values()))

    def status(self) -> dict[str, Any]:
        """State of the bridge and its cars, the content of /state.json."""
        cars = [
            {'car': number, **car.status()} for number, car in enumerate(self._cars.values(), 1)
        ]
        return {
            **together(cars),
            **self._common(),
            **self._network,
            'control': self._page_control.status() if self._page_control else {'on': False},
            'drive': DRIVE_ID,
            'cars': cars,
        }

    def status_of(self, number: int) -> dict[str, Any]:
        """State of the bridge with the values of car `number`, from 0."""
        status = self.status()
        return {**status, **status['cars'][number]}

    def _common(self) -> dict[str, Any]:
        return {
            'simulators': self._sessions.simulators,
            'network': self._network['network'],
            **self._server.refusals,
        }

    def _publish_diagnostics(self) -> None:
        statuses = []
        for prefix, (session, car) in zip(self._prefixes, self._cars.items(), strict=True):
            level = _LEVELS.get(session.state, DiagnosticStatus.OK)
            status = {**car.status(), **self._common()}
            name = prefix + conversions.BRIDGE_STATUS
            statuses.append(conversions.diagnostic(name, level, status['state'], status))
        self._diagnostics.publish(statuses)

    def destroy_node(self) -> None:
        """Send 0/0 to every car, then end."""
        if self._is_serving:
            self._end_simulation_services()
            self._server.stop(self._sessions.close)
            if self._page_control is not None:
                self._page_control.close()
        super().destroy_node()


_LEVELS = {
    None: DiagnosticStatus.WARN,
    State.DEGRADED: DiagnosticStatus.WARN,
    State.HELD: DiagnosticStatus.WARN,
    State.ABSENT: DiagnosticStatus.ERROR,
    State.STOPPED: DiagnosticStatus.ERROR,
    State.UNREADABLE: DiagnosticStatus.ERROR,
}


def _answer_timeouts(values: Mapping[str, Any]) -> AnswerTimeouts:
    try:
        if values['command_timeout'] == 0.0:
            return AnswerTimeouts(stop_timeout_s=values['stop_timeout'], lock_step=True)
        return AnswerTimeouts(
            command_timeout_s=values['command_timeout'], stop_timeout_s=values['stop_timeout']
        )
    except ValueError as error:
        raise ParameterError(str(error)) from error


def _source_timeouts(values: Mapping[str, Any]) -> SourceTimeouts:
    return SourceTimeouts(
        joystick_s=values['joy_timeout'],
        page_s=values['page_timeout'],
        topic_s=values['cmd_vel_timeout'],
    )


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run(BridgeNode, args=args)
