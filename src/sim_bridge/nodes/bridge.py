"""The bridge node: telemetry from the simulators' sockets becomes topics, commands go back.

Each simulator drives one car, and each car has topics of its own.

Two threads. The server's thread takes telemetry in, publishes it, and owns the sessions with
their tokens and deadlines. The executor's thread receives commands and posts them over. Nothing
is shared but that queue; diagnostics read counters, which only the server's thread writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from sim_bridge.fleet import CARS_AT_MOST, prefixes, together
from sim_bridge.nodes import conversions
from sim_bridge.nodes.car_interface import CarInterface, Lens
from sim_bridge.nodes.diagnostics import PERIOD_S, Diagnostics
from sim_bridge.nodes.runner import run
from sim_bridge.nodes.standby import BEAT_PERIOD_S, heartbeat
from sim_bridge.server.simulator_server import SimulatorServer, sleep
from sim_bridge.session.response_scheduler import State
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.tokens import Limits
from sim_bridge.web.app import create_app
from sim_bridge.web.live_stream import Live, Places
from steering_net.ros.parameters import Parameter, ParameterError, declare
from steering_net.ros.readiness import STARTING_PERIOD_S, set_check_period

PARAMETERS = (
    Parameter('host', '127.0.0.1', 'Address to listen on; other than loopback opens the bridge.'),
    Parameter('port', 4567, 'TCP port to listen on; the simulator knows only 4567.', 0, 65535),
    Parameter('cars', 1, 'How many simulators drive, each a car of its own.', 1, CARS_AT_MOST),
    Parameter(
        'allowed_hosts', '', 'More names by which browsers may call the bridge, with commas.'
    ),
    Parameter('command_timeout', 0.1, 'Longest wait for the commands of a frame, s.', 0.01, 1.0),
    Parameter('stop_timeout', 0.5, 'Time without fresh commands before braking, s.', 0.05, 5.0),
    Parameter('frame_id', 'camera_optical_frame', 'Frame of images and of everything stamped.'),
    Parameter('vertical_fov', 1.0472, 'Vertical field of view of the camera, rad.', 0.1, 3.0),
)


class BridgeNode(Node):
    """Publishes what the simulator says, and answers it with the commands that come."""

    def __init__(self) -> None:
        super().__init__('bridge')
        self._serving = False
        values = declare(self, PARAMETERS)
        limits = _limits(values)
        self._last_stamp_ns = 0
        self._network = ''
        self._prefixes = prefixes(values['cars'])
        places = Places()
        lives = [
            Live(partial(self.status_of, number), places, clock=time.monotonic, sleep=sleep)
            for number in range(values['cars'])
        ]
        self._server = SimulatorServer(
            host=values['host'],
            port=values['port'],
            pages=create_app(self.status, lives),
            allowed_hosts=values['allowed_hosts'].split(','),
        )
        self._sessions = SessionManager(limits, self._server.send, values['cars'])
        lens = Lens(values['frame_id'], values['vertical_fov'])
        self._cars = [
            CarInterface(self, prefix, seat=seat, lens=lens, live=live, post=self._post)
            for prefix, seat, live in zip(self._prefixes, self._sessions.seats, lives, strict=True)
        ]
        self._car_of = {car.seat: car for car in self._cars}
        self._start(values['host'])

    def _start(self, host: str) -> None:
        self._diagnostics = Diagnostics(self, self._prefixes)
        self.create_subscription(DiagnosticArray, 'diagnostics', self._on_diagnostics, 10)
        self.create_timer(PERIOD_S, self._publish_diagnostics)
        self._look_timer = self.create_timer(STARTING_PERIOD_S, self._look)
        self._server.start(self)
        self._serving = True
        beat = heartbeat()
        if beat is not None:
            self._server.repeat(BEAT_PERIOD_S, beat)
        self.get_logger().info(f'listening on {host}:{self._server.port}')
        if not self._server.is_local:
            self.get_logger().warning(
                f'host {host}: everybody on the network can watch and drive; '
                'host 127.0.0.1 keeps them out'
            )

    # The server's thread.

    def connected(self, sid: str, *, is_simulator: bool) -> None:
        """A client connected."""
        self._sessions.connected(time.monotonic(), sid, is_simulator=is_simulator)
        self._wake()

    def disconnected(self, sid: str) -> None:
        """A client is gone."""
        self._sessions.disconnected(time.monotonic(), sid)
        self._wake()

    def drives(self, sid: str) -> bool:
        """Whether a client drives a car."""
        return self._sessions.drives(time.monotonic(), sid)

    def telemetry(self, sid: str, payload: object) -> None:
        """A client sent a frame: publish it and wait for its commands."""
        stamp = self._next_stamp_ns()
        driven = self._sessions.telemetry(time.monotonic(), sid, payload, stamp)
        if driven is not None:
            seat, frame = driven
            self._car_of[seat].take(frame, stamp)
        self._wake()

    def woken(self) -> None:
        """A deadline may have passed."""
        self._sessions.expire(time.monotonic())
        self._wake()

    def _wake(self) -> None:
        self._server.wake_at(self._sessions.next_deadline())

    def _next_stamp_ns(self) -> int:
        """Receipt time, made unique, for the stamp is what pairs commands with frames."""
        now_ns = self.get_clock().now().nanoseconds
        self._last_stamp_ns = max(now_ns, self._last_stamp_ns + 1)
        return self._last_stamp_ns

    # The executor's thread.

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        """Keep what the steering node says of its network, for the pages."""
        self._network = conversions.network_of(message) or self._network

    def _look(self) -> None:
        """Look which nodes are there."""
        for car in self._cars:
            car.look()
        set_check_period(self._look_timer, all(car.is_attended for car in self._cars))

    def _post(self, deliver: Callable[[float], None]) -> None:
        self._server.post(lambda: self._deliver(deliver))

    def _deliver(self, deliver: Callable[[float], None]) -> None:
        deliver(time.monotonic())
        self._wake()

    def status(self) -> dict[str, Any]:
        """What the bridge and its cars are doing, as /state.json shows it."""
        cars = [{'car': number, **car.status()} for number, car in enumerate(self._cars, 1)]
        return {**together(cars), **self._common(), 'cars': cars}

    def status_of(self, number: int) -> dict[str, Any]:
        """The same from the view of one car, counted from 0, as its page shows it."""
        status = self.status()
        return {**status, **status['cars'][number]}

    def _common(self) -> dict[str, Any]:
        return {
            'simulators': self._sessions.simulators,
            'network': self._network,
            **self._server.refusals,
        }

    def _publish_diagnostics(self) -> None:
        statuses = []
        for prefix, car in zip(self._prefixes, self._cars, strict=True):
            level = _LEVELS.get(car.seat.state, DiagnosticStatus.OK)
            status = {**car.status(), **self._common()}
            name = prefix + conversions.BRIDGE_STATUS
            statuses.append(conversions.diagnostic(name, level, status['state'], status))
        self._diagnostics.publish(statuses)

    def destroy_node(self) -> None:
        """Halt the car, then end."""
        if self._serving:
            self._server.stop(self._sessions.farewell)
        super().destroy_node()


_LEVELS = {
    None: DiagnosticStatus.WARN,
    State.DEGRADED: DiagnosticStatus.WARN,
    State.ABSENT: DiagnosticStatus.ERROR,
    State.STOPPED: DiagnosticStatus.ERROR,
    State.UNREADABLE: DiagnosticStatus.ERROR,
}


def _limits(values: Mapping[str, Any]) -> Limits:
    try:
        return Limits(
            command_timeout_s=values['command_timeout'], stop_timeout_s=values['stop_timeout']
        )
    except ValueError as error:
        raise ParameterError(str(error)) from error


def main(args: list[str] | None = None) -> int:
    """Run the node; the exit code."""
    return run(BridgeNode, args=args)
