# SPDX-License-Identifier: Apache-2.0
"""One token on every path, over a real socket: the sessions behind the real server.

The client is that of the embedded simulator, which has tokens as the real simulator has. It spends
all that it has at each of its frames, 60 a second.
"""

import base64
import threading
import time

import pytest

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.server.simulator_server import SimulatorServer
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.session.tokens import CHECK_EVERY
from sim_bridge.simulator.client import Client

pytestmark = pytest.mark.real_time

HZ = 60.0
RENDERING_S = 0.005
"""Time between two telemetries of one frame: each has an image of its own."""
COMPUTING_S = 0.003
# Kicks as after a freeze of some seconds, in less time.
LIMITS = AnswerTimeouts(keepalive_after_s=0.1)
FREEZE_S = 0.8
SETTLE_S = 0.3
HANGING_S = 10.0
ATTEMPTS = 5
GOOD = {
    'steering_angle': '0.0000', 'throttle': '0.0000', 'speed': '10.0000',
    'image': base64.b64encode(JPEG_HEADER + bytes(12_000) + JPEG_HEADER[-2:]).decode(),
}  # fmt: skip
PAYLOADS = {
    'frames': GOOD,
    'manual': None,
    'image missing': {name: GOOD[name] for name in ('steering_angle', 'throttle', 'speed')},
    'no JPEG': GOOD | {'image': 'AAAA'},
    'no object': 'junk',
}
KINDS = ('frames', 'manual', 'image missing')


class Bridge:
    """The server and the sessions, with commands that come 3 ms after a frame."""

    def __init__(self):
        self.server = SimulatorServer(host='127.0.0.1', port=0, pages=lambda *_: [])
        self.sessions = SessionManager(LIMITS, inspect_image)
        self.counters = self.sessions.sessions[0].counters
        self.stamp = 0

    def __enter__(self):
        self.server.start(self)
        return self

    def __exit__(self, *_):
        self.server.stop(self.sessions.close)

    def connected(self, now_s, sid, link, *, is_simulator):
        self.sessions.connected(now_s, sid, link, is_simulator=is_simulator)

    def disconnected(self, now_s, sid):
        self.sessions.disconnected(now_s, sid)

    def drives(self, now_s, sid):
        return self.sessions.drives(now_s, sid)

    def telemetry(self, now_s, sid, payload):
        self.stamp += 1
        driven = self.sessions.telemetry(now_s, sid, payload, self.stamp)
        if driven is not None:
            compute = threading.Timer(COMPUTING_S, self.command, [driven[0], self.stamp])
            compute.daemon = True
            compute.start()

    def command(self, session, stamp):
        def deliver(now_s):
            session.throttle(now_s, 0.5)
            session.steering(now_s, stamp, 0.1)

        self.server.call_soon(deliver)

    def expire(self, now_s):
        self.sessions.expire(now_s)

    def next_deadline(self):
        return self.sessions.next_deadline()

    def freeze(self, seconds):
        """Have the server's thread do nothing."""
        self.server.call_soon(lambda _now_s: time.sleep(seconds))


class Simulator:
    """The embedded simulator's client, which sends the same telemetry again and again."""

    def __init__(self, bridge, payload):
        self.client = Client(f'ws://127.0.0.1:{bridge.server.port}', CULTURES['en-US'])
        self.counters = bridge.counters
        self.payload = payload
        self.sent = 0
        self.due_s = time.monotonic()

    def frame(self):
        """Wait for the next frame as the socket is served, then spend all tokens; how many."""
        self.due_s = max(self.due_s + 1 / HZ, time.monotonic())
        while (left_s := self.due_s - time.monotonic()) > 0.0:
            self.client.poll(left_s)
        tokens = self.client.tokens
        for _ in range(tokens):
            self.client.tokens -= 1
            self.client.send_payload(self.payload)
            time.sleep(RENDERING_S)
        self.sent += tokens
        return tokens

    def run(self, seconds, at_least=0):
        """Tokens of each frame of this time, or of a longer one for so many telemetries."""
        start_s = time.monotonic()
        spent = []
        while (passed_s := time.monotonic() - start_s) < seconds or (
            sum(spent) < at_least and passed_s < HANGING_S
        ):
            spent.append(self.frame())
        return spent

    def freeze(self, seconds):
        """Nothing is read and nothing sent, with all tokens at hand."""
        while not self.client.tokens:
            self.client.poll(0.1)
        time.sleep(seconds)

    def reconnect(self):
        """The connection breaks; a new one follows at once."""
        self.client.quit()
        while not self.client.connected:
            self.client.poll(0.1)


@pytest.fixture
def bridge():
    with Bridge() as started:
        yield started


def check_one_token(simulator, seconds=0.5):
    """At most one telemetry a frame once the settle time is over, and the drive goes on.

    A busy machine may pause for longer than a keepalive waits. Then the drive settles again.
    """
    for _ in range(ATTEMPTS):
        settling = simulator.run(0.05)
        kept_alive = simulator.counters.keepalives
        settling += simulator.run(SETTLE_S - 0.05, at_least=SETTLE_S * HZ - sum(settling))
        assert sum(settling) <= len(settling) + 8, 'what was queued comes once'
        spent = simulator.run(seconds)
        if simulator.counters.keepalives == kept_alive:
            break
    assert max(spent) == 1
    # On a busy machine an answer takes several frames; without a token there is none at all.
    assert sum(spent) >= 3


@pytest.mark.parametrize('kind', KINDS)
def test_freezes_of_the_client_leave_one_token(bridge, kind):
    simulator = Simulator(bridge, PAYLOADS[kind])
    check_one_token(simulator)
    for _ in range(2):
        before = bridge.counters.keepalives
        simulator.freeze(FREEZE_S)
        assert bridge.counters.keepalives >= before + 2
        check_one_token(simulator)
    simulator.client.quit()


@pytest.mark.parametrize('kind', KINDS)
def test_freezes_of_the_server_leave_one_token(bridge, kind):
    simulator = Simulator(bridge, PAYLOADS[kind])
    check_one_token(simulator)
    for _ in range(2):
        bridge.freeze(FREEZE_S)
        simulator.run(FREEZE_S)
        check_one_token(simulator)
    simulator.client.quit()


@pytest.mark.parametrize('kind', KINDS)
def test_connects_leave_one_token(bridge, kind):
    simulator = Simulator(bridge, PAYLOADS[kind])
    for _ in range(3):
        check_one_token(simulator, 0.3)
        simulator.reconnect()
    check_one_token(simulator)
    simulator.client.quit()


def test_a_telemetry_that_leaves_many_times_leaves_one_token(bridge):
    """Also where the answer needs no command and would go out at once."""
    simulator = Simulator(bridge, None)
    check_one_token(simulator)
    for name, payload in PAYLOADS.items():
        simulator.payload = payload
        simulator.client.tokens += 5
        if name == 'frames':
            # No simulator does this to frames: the check of one answer in CHECK_EVERY ends it.
            simulator.run(CHECK_EVERY / HZ)
        check_one_token(simulator, 0.5)
    simulator.client.quit()


def test_books_are_balanced_whatever_came(bridge):
    simulator = Simulator(bridge, None)
    for _ in range(4):
        for payload in PAYLOADS.values():
            simulator.payload = payload
            simulator.run(0.1)
        simulator.freeze(0.3)
    simulator.run(0.1)
    while not simulator.client.tokens:
        simulator.client.poll(0.1)
    counters = bridge.counters
    assert counters.telemetry == simulator.sent == counters.answers + counters.superseded
    simulator.client.quit()
