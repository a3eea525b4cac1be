# SPDX-License-Identifier: Apache-2.0
"""Control from pages: what a page wants goes the ways of the topics, services and parameters.

All of it runs on the server's thread.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Float32

from sim_bridge import topics
from sim_bridge.control.motion_controller import REVERSE_AT_MOST_MPS, Motion, Pedals
from sim_bridge.errors import UsageError
from sim_bridge.limits import MAX_SPEED_LIMIT_MPS, USUAL_SPEED_LIMIT_MPS, is_speed_limit
from sim_bridge.nodes.car_interface import CarInterface
from sim_bridge.nodes.car_services import CarServices
from sim_bridge.nodes.page_networks import PageNetworks
from sim_bridge.nodes.page_recorder import PageRecorder
from sim_bridge.nodes.standby import TOKEN_VARIABLE, control_token
from sim_bridge.protocol.types import Control
from sim_bridge.server.listening import is_loopback
from sim_bridge.server.page_socket import open_page_socket
from sim_bridge.server.simulator_server import sleep
from sim_bridge.session.arbiter import Driver
from sim_bridge.session.car_session import CarSession, ControlError
from sim_bridge.web.control import Access, DriveControls, FieldError, RefusedError
from sim_bridge.web.wheel import OpenSocket
from steering_net.ros.parameters import Parameter
from steering_net.ros.qos import NEWEST
from steering_net.vehicle import MAX_STEERING_RAD

PARAMETERS = (
    Parameter('control', False, 'Whether pages can drive, hold, reset, record and so on.'),
    Parameter('networks', '', 'Folder of the networks that pages can choose.'),
    Parameter('recordings', 'recordings', 'Folder of the bags that pages record.'),
)
_TOKEN = re.compile(r'[A-Za-z0-9._~-]+')
CallNow = Callable[[Callable[[float], Any]], Any]
"""Calls a function with the time, see `SimulatorServer.call_now`."""


class PageControl:
    """What pages can control. `networks` and `recorder` serve all cars, `cars` one each."""

    def __init__(self, node: Node, values: Mapping[str, Any], clock: Callable[[], float]) -> None:
        """`values`: the parameters of the bridge, by name. Raises UsageError for a bad token."""
        is_private = is_loopback(values['host']) and not values['allowed_hosts']
        self.access = Access('' if is_private else _checked(control_token()))
        self.cars: list[PageCar] = []
        self.open_socket: OpenSocket = open_page_socket
        self.clock = clock
        networks = PageNetworks(node, values['networks'], sleep=sleep, clock=clock)
        folder = Path(values['recordings']).expanduser()
        self._recorder = PageRecorder(folder, values['cars'], clock, node.get_namespace())
        self.drive = DriveControls(
            networks=networks.names,
            choose_network=networks.choose,
            start_recording=self._recorder.start,
            stop_recording=self._recorder.stop,
        )
        self._host = values['host']

    def show_address(self, port: int) -> None:
        """Print the address of the page, with the token that it needs, if any.

        It is printed and not logged, because log messages are a topic, which bags may have.
        """
        token = f'#token={self.access.token}' if self.access.token else ''
        address = f'http://{_reachable(self._host)}:{port}/{token}'
        print(f'to control the drive, open {address}', file=sys.stderr, flush=True)

    def status(self) -> dict[str, Any]:
        """Whether pages need a token, and the newest recording of a page, for /state.json."""
        return {
            'on': True,
            'needs_token': bool(self.access.token),
            'recording': self._recorder.status(),
        }

    def close(self) -> None:
        """End a recording, see `PageRecorder.close`."""
        self._recorder.close()


def _checked(token: str) -> str:
    """Return a token that can be a part of an address and of a header as it is."""
    if not _TOKEN.fullmatch(token):
        raise UsageError(
            f'{TOKEN_VARIABLE} has other characters than letters, digits and . _ ~ -; '
            'choose another token, or unset it'
        )
    return token


def _reachable(host: str) -> str:
    """Return a name or address by which other machines may reach this host."""
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return host
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(('192.0.2.1', 9))  # Sends nothing: the kernel chooses the address.
            return str(probe.getsockname()[0])
    except ValueError:
        return host
    except OSError:
        return socket.gethostname()


def command_of(steering: float, throttle: float, limit_mps: float) -> Motion | Pedals:
    """Return the command of a page.

    steering: -1..1 of full lock, left positive. throttle: above 0 a share of the speed limit; 0
    coasts; below 0 brakes, then reverses.
    """
    steering_rad = steering * MAX_STEERING_RAD
    if throttle == 0.0:
        return Pedals(steering_rad, 0.0)
    most_mps = limit_mps if throttle > 0.0 else REVERSE_AT_MOST_MPS
    return Motion(throttle * most_mps, steering_rad=steering_rad)


class PageCar:
    """What pages can do with one car, see `sim_bridge.web.control.CarControls`."""

    def __init__(
        self,
        node: Node,
        car: CarInterface,
        session: CarSession,
        services: CarServices,
        call_now: CallNow,
    ) -> None:
        self._car = car
        self._session = session
        self._services = services
        self._call_now = call_now
        self._limit = node.create_publisher(Float32, car.prefix + topics.SPEED_LIMIT, NEWEST)

    def hold(self, is_held: bool) -> str:
        """Hold or release the car."""
        return str(self._call_now(lambda now_s: self._services.set_held(now_s, is_held)))

    def reset(self) -> str:
        """Put the car of the embedded simulator back to the start."""
        try:
            return str(self._call_now(lambda now_s: self._services.control(now_s, Control.RESET)))
        except ControlError as error:
            raise RefusedError(str(error)) from error

    def limit_speed(self, limit_mps: float) -> str:
        """Set the speed limit, m/s."""
        if not is_speed_limit(limit_mps):
            raise FieldError(f'mps is {limit_mps:g}; it must be 0..{MAX_SPEED_LIMIT_MPS:g} m/s')
        self._limit.publish(Float32(data=limit_mps))
        return f'the speed limit is {limit_mps:g} m/s'

    def drive(self, steering: float, throttle: float) -> None:
        """Drive for a moment, see `command_of`."""
        limit_mps = self._car.speed_limit_mps
        command = command_of(
            steering, throttle, USUAL_SPEED_LIMIT_MPS if limit_mps is None else limit_mps
        )
        self._call_now(lambda now_s: self._session.person(now_s, Driver.PAGE, command))

    def let_go(self) -> None:
        """Give the car back."""
        self._call_now(lambda now_s: self._session.let_go(now_s, Driver.PAGE))
