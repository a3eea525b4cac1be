# SPDX-License-Identifier: Apache-2.0
"""The three nodes as processes."""

from helpers.network import own_port
from helpers.waiting import PATIENCE_S, wait_for
from sim_bridge.bridge_client import fetch_state
from sim_bridge.process import ManagedProcess


def state_of(port, timeout_s=10.0):
    """What the bridge on a port says about itself; None if no bridge answers."""
    return fetch_state('127.0.0.1', port, timeout_s)


def wait_until_driven(port, answers=50, seconds=PATIENCE_S):
    """Wait until the bridge on a port has answered so many frames; return what it says."""

    def driven():
        state = state_of(port)
        return state if state and state['answers'] >= answers else None

    return wait_for(driven, seconds, f'{answers} answers')


def ros_words(parameters, name=None):
    """The words that give a node these parameters, each `name:=value`, and a name."""
    renamed = [] if name is None else ['-r', f'__node:={name}']
    return ['--ros-args', *renamed, *(word for value in parameters for word in ('-p', value))]


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
            wait_for(lambda: (self.state() or {}).get('ready'), what='readiness')
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
        self.nodes[name] = ManagedProcess(name, [name, *ros_words(self._words[name])])

    def state(self):
        """What the bridge says about itself; None if it does not answer."""
        return state_of(self.port)

    def url(self, path='', scheme='ws'):
        """Address of the bridge."""
        return f'{scheme}://127.0.0.1:{self.port}{path}'
