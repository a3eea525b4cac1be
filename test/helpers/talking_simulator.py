# SPDX-License-Identifier: Apache-2.0
"""A simulator that only talks: it has no world."""

import time

from helpers.waiting import poll_until
from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.client import Client

JPEG_HEADER = bytes.fromhex('ffd8ffc000110800a0014003012200021101031101ffd9')
"""As much of a JPEG of 320 x 160 pixels as the bridge looks at."""


class TalkingSimulator:
    """A simulator without a world: sends given frames on the wire and keeps what it hears."""

    def __init__(self, url, culture='en-US'):
        self.culture = CULTURES[culture]
        self.client = Client(url, self.culture)
        self.pump_until(lambda: self.client.tokens == 2)

    def pump_until(self, condition):
        """Serve the socket until `condition()` is true."""
        poll_until(self.client, condition)

    def pump(self, seconds):
        """Serve the socket for a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.client.poll(0.005)

    def send(self, jpeg, speed_mps=5.0):
        """Spend a token."""
        frame = Telemetry(steering_rad=0.0, throttle=0.0, speed_mps=speed_mps, jpeg=jpeg)
        self.client.send_telemetry(frame)

    def answers_so_far(self):
        """Number of answers, with those that wait in the socket.

        One waits if the second telemetry of `open` came late, because then both are answered.
        """
        self.client.poll(0.0)
        return self.client.answers

    def ask(self, jpeg, speed_mps=5.0):
        """Spend a token and return the command that answers it."""
        before = self.answers_so_far()
        self.send(jpeg, speed_mps)
        self.pump_until(lambda: self.client.answers > before)
        return self.client.commands[-1]

    def open(self, jpeg):
        """Spend both tokens of the connect, as the simulator does, and return the one answer."""
        self.send(jpeg)
        return self.ask(jpeg)

    def leave(self):
        """Disconnect as the simulator does."""
        self.client.quit()


def ask_all(simulators, jpegs):
    """Let each simulator send its frame at the same time; return the commands that answer them."""
    before = [simulator.answers_so_far() for simulator in simulators]
    for simulator, jpeg in zip(simulators, jpegs, strict=True):
        simulator.send(jpeg)
    for simulator, count in zip(simulators, before, strict=True):
        simulator.pump_until(lambda s=simulator, c=count: s.client.answers > c)
    return [simulator.client.commands[-1] for simulator in simulators]
