"""The three nodes as processes."""

import json
import urllib.error
import urllib.request

from helpers.network import own_port
from helpers.waiting import wait_for
from sim_bridge.process import ManagedProcess

START_S = 60.0


class Graph:
    """Bridge, steering and throttle as three processes on a port and a ROS domain of their own."""

    def __init__(self, *, bridge=(), steering=(), throttle=()):
        self.port = own_port()
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
