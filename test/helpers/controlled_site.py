# SPDX-License-Identifier: Apache-2.0
"""Pages that control cars which are not there: they keep what pages want of them."""

import http.client
import json
import time

from helpers.page_socket import RawWheel
from helpers.waiting import wait_for
from sim_bridge.server.page_socket import open_page_socket
from sim_bridge.server.simulator_server import SimulatorServer, sleep
from sim_bridge.session.status import Counters
from sim_bridge.web.app import create_app
from sim_bridge.web.control import Access, DriveControls, RefusedError
from sim_bridge.web.live_stream import LiveFeed, StreamLimit

NETWORKS = ['default', 'a.keras']
_STATUS = {
    'state': 'driving',
    'driver': 'network',
    'held': False,
    'reason': '',
    'trouble': '',
    'telemetry_hz': 20.0,
    'speed_limit_mps': 6.7,
    'uncertainty': None,
    'latency_ms': {'p50': 2.1, 'p99': 4.4, 'max': 9.8},
    'simulators': 1,
    'network': 'pilotnet.keras',
    'network_loading': '',
    'network_refused': '',
    **vars(Counters()),
    'cars': [],
}


class ControlledCar:
    """A car that keeps what pages want of it in `done`, and the time of each."""

    def __init__(self):
        self.done, self.times_s = [], []

    def hold(self, is_held):
        return self.does(f'held {is_held}')

    def reset(self):
        raise RefusedError('this simulator has no reset')

    def limit_speed(self, limit_mps):
        return self.does(f'limit {limit_mps}')

    def drive(self, steering, throttle):
        self.does((steering, throttle))

    def let_go(self):
        self.does('let go')

    def does(self, what):
        self.times_s.append(time.monotonic())
        self.done.append(what)
        return str(what)


class ControlledSite:
    """A server whose pages control two cars; without `is_on` they control none."""

    clock = staticmethod(time.monotonic)
    open_socket = staticmethod(open_page_socket)

    def __init__(self, token='', *, is_on=True):
        self.access = Access(token)
        self.cars, self.wheels = [ControlledCar(), ControlledCar()], []
        self.drive = DriveControls(
            networks=lambda: NETWORKS,
            choose_network=lambda name: f'loads {name}',
            start_recording=lambda name: f'records {name!r}',
            stop_recording=lambda: 'stopped',
        )
        control = {'on': is_on, 'needs_token': bool(token), 'recording': None}
        self.status = {**_STATUS, 'control': control}
        self.feeds = [
            LiveFeed(lambda: self.status, StreamLimit(), clock=time.monotonic, sleep=sleep)
            for _ in self.cars
        ]
        pages = create_app(lambda: self.status, self.feeds, self if is_on else None)
        self.server = SimulatorServer(host='127.0.0.1', port=0, pages=pages)
        self.server.start(_Handler())
        self.url = f'http://127.0.0.1:{self.server.port}'

    def request(self, action, body=None, *, method='POST', **headers):
        """Return status and text of the answer to a request of a page; a text is sent as it is."""
        connection = http.client.HTTPConnection('127.0.0.1', self.server.port, timeout=5.0)
        values = {'Content-Type': 'application/json', **headers}
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        connection.request(method, f'/control/{action}', text, values)
        reply = connection.getresponse()
        answer = reply.status, reply.read().decode()
        connection.close()
        return answer

    def wheel(self, **options):
        """Return a new wheel over a raw socket."""
        self.wheels.append(RawWheel(self.server.port, **options))
        return self.wheels[-1]

    def tidy(self):
        """Close the wheels, and forget what was wanted."""
        while self.wheels:
            self.wheels.pop().close()
        wait_for(lambda: len(self.server.limiter) == 0, what='the end of all connections')
        for car in self.cars:
            car.done.clear()

    def close(self):
        self.server.stop(lambda: None)


class _Handler:
    """A server without simulators."""

    def next_deadline(self):
        return float('inf')
