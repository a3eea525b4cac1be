"""Helpers of the tests that run the graph: processes, ports, and a simulator that only talks."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from sim_bridge.process import ManagedProcess
from sim_bridge.protocol.udacity import CULTURES, Telemetry, encode_telemetry
from sim_bridge.simulator.client import Client

SHARED_DATA = Path(__file__).parents[2] / 'shared' / 'data'
START_S = 60.0
JPEG_HEADER = bytes.fromhex('ffd8ffc000110800a0014003012200021101031101ffd9')
"""As much of a JPEG of 320 x 160 pixels as the bridge looks at."""
REPORT_FIELDS = {
    'laps', 'distance_m', 'duration_s', 'lane_departures', 'interventions', 'autonomy_percent',
    'rms_cross_track_m', 'max_cross_track_m', 'max_speed_mps', 'steering_rms_rate_radps', 'frames',
    'answers', 'timeouts', 'late_commands', 'latency_ms', 'telemetry_hz',
}  # fmt: skip


def free_domain_id():
    """A ROS domain that another test run on this machine is unlikely to have (1..99)."""
    return os.getpid() % 99 + 1


def free_port():
    """A TCP port that nobody listens on now."""
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return probe.getsockname()[1]


def wait_for(condition, seconds=10.0, what='it'):
    """Wait until `condition()` is true and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f'{what} did not happen within {seconds} s'
        time.sleep(0.02)
    return value


def run_verb(*words, timeout=120.0, **options):
    """Run `sim-bridge` to its end."""
    return subprocess.run(
        [sys.executable, '-m', 'sim_bridge.cli', *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


class Graph:
    """Bridge, steering and throttle as three processes on a port and a ROS domain of their own."""

    def __init__(self, *, bridge=(), steering=(), throttle=()):
        self.port = free_port()
        self._words = {
            'bridge': (f'port:={self.port}', *bridge),
            'steering': steering,
            'throttle': throttle,
        }
        self.nodes = {}

    def __enter__(self):
        for name in self._words:
            self.start(name)
        try:
            wait_for(lambda: (self.state() or {}).get('ready'), START_S, 'readiness')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            node.ask_to_end()
        for node in self.nodes.values():
            node.wait(10.0)

    def start(self, name):
        """Start one node."""
        parameters = [word for value in self._words[name] for word in ('-p', value)]
        self.nodes[name] = ManagedProcess(name, [name, '--ros-args', *parameters])

    def state(self):
        """What the bridge says of itself, None if it does not answer."""
        try:
            with urllib.request.urlopen(self.url('/state.json', 'http'), timeout=2.0) as reply:
                return json.load(reply)
        except (urllib.error.URLError, OSError):
            return None

    def url(self, path='', scheme='ws'):
        """Address of the bridge."""
        return f'{scheme}://127.0.0.1:{self.port}{path}'


class TalkingSimulator:
    """A simulator without a world: sends given frames on the wire and keeps what it hears."""

    def __init__(self, url, culture='en-US'):
        self.culture = CULTURES[culture]
        self.client = Client(url, self.culture)
        self.pump_until(lambda: self.client.tokens == 2)

    def pump_until(self, condition, seconds=10.0):
        """Serve the socket until `condition()` is true."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f'nothing came within {seconds} s'
            self.client.poll(0.01)

    def pump(self, seconds):
        """Serve the socket for a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.client.poll(0.005)

    def send(self, jpeg, speed_mps=5.0):
        """Spend a token."""
        frame = Telemetry(steering_rad=0.0, throttle=0.0, speed_mps=speed_mps, jpeg=jpeg)
        self.client.send_telemetry(encode_telemetry(frame, self.culture))

    def ask(self, jpeg, speed_mps=5.0):
        """Spend a token and return the order that answers it."""
        before = self.client.answers
        self.send(jpeg, speed_mps)
        self.pump_until(lambda: self.client.answers > before)
        return self.client.orders[-1]

    def open(self, jpeg):
        """Spend both tokens of the connect, as the simulator does, and return the one answer."""
        self.send(jpeg)
        return self.ask(jpeg)

    def leave(self):
        """Disconnect as the simulator does."""
        self.client.quit()
