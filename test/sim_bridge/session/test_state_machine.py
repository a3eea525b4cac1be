# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order: one answer for each token, of its own frame, and no reverse.

Simulators, one more than there are cars, each with the tokens that it really has, act on the
sessions in any order that hypothesis finds, together with commands, deadlines, disconnects and bad
packets.
"""

import base64
import math
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.control.motion_controller import Motion
from sim_bridge.control.stop_controller import RELEASE_THROTTLE
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.types import COAST
from sim_bridge.protocol.udacity import CULTURES, UdacityLink, decode_command
from sim_bridge.session.arbiter import Driver
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts

pytestmark = pytest.mark.slow

JPEG = base64.b64encode(JPEG_HEADER).decode()
MPS_PER_MPH = 0.44704
FRAME_S = 1 / 60
ZEROS = {'steering_angle': '0.0000', 'throttle': '0.0000'}
NO_JPEG = ZEROS | {'speed': f'{2.0 / MPS_PER_MPH:.4f}', 'image': 'AAAA'}
LIMITS = AnswerTimeouts()
NAMES = st.sampled_from(['a', 'b', 'c'])
CARS = st.integers(0, 1)
STEERING_RAD = st.floats(-0.4, 0.4)
PERSON_RAD = 0.234567


class Simulator:
    """What one simulator holds and has heard on its present connection."""

    def __init__(self, sid):
        self.sid = sid
        self.link = None
        self.tokens = 2
        self.unanswered = 0
        self.speed_mps = 5.0
        self.first = True


class Traffic(RuleBasedStateMachine):
    """The world around the sessions: it keeps the tokens' books and reads every answer."""

    cars = 1
    limits = LIMITS
    waits = '0'

    @initialize()
    def start(self):
        self.now = 1000.0
        self.manager = SessionManager(self.limits, inspect_image, self.cars)
        self.simulators = {}
        self.connections = 0
        self.stamp = 0
        self.steered = {}
        self.awaited = {}
        self.keepalives = 0

    def hear(self, sid, event, data):
        simulator = next((s for s in self.simulators.values() if s.sid == sid), None)
        assert simulator is not None, 'nobody is sent anything after it left'
        if simulator.unanswered:
            # All that it sent and was not answered yet collapses into this one answer.
            simulator.unanswered = 0
        else:
            assert self.is_keepalive(), 'a second answer'
        simulator.tokens += 1
        if event == 'steer':
            self.judge(simulator, decode_command(data, CULTURES['en-US']))

    def is_keepalive(self):
        """Whether a keepalive was counted that was not seen yet."""
        counted = sum(session.counters.keepalives for session in self.manager.sessions)
        self.keepalives, before = counted, self.keepalives
        return counted > before

    def session_of(self, sid):
        """The car that this simulator drives."""
        links = [simulator.link for simulator in self.simulators.values() if simulator.sid == sid]
        sessions = self.manager.sessions
        return next((one for one in sessions if one.client and one.client.link in links), None)

    def judge(self, simulator, command):
        session = self.session_of(simulator.sid)
        if session and session.is_held:
            assert session.state not in (State.DRIVING, State.DEGRADED, State.STOPPED)
        if session and session.client.session is not session:
            assert command == COAST, 'one that is displaced drives on'
        elif session and session.driver is Driver.TWIST and session.state is State.DRIVING:
            assert math.isclose(command.steering_rad, PERSON_RAD, abs_tol=1e-6)
            return
        elif session and session.state is State.DRIVING and self.awaited.get(session) is not None:
            expected = self.steered.get(self.awaited[session])
            assert expected is not None, 'driving without a steering of its own frame'
            assert math.isclose(command.steering_rad, expected, abs_tol=1e-6), 'a stale steering'
        if session and session.state in (State.DRIVING, State.DEGRADED) and command.throttle < 0.0:
            # No node asked for a brake. What a stop does with the pedals, test_slopes.py holds.
            assert command.throttle == RELEASE_THROTTLE, 'reversing'

    @rule(name=NAMES)
    def connect(self, name):
        if name not in self.simulators:
            self.connections += 1
            self.simulators[name] = Simulator(f'{name}{self.connections}')
            sid = self.simulators[name].sid
            link = UdacityLink(partial(self.hear, sid))
            self.simulators[name].link = link
            self.manager.connected(self.now, sid, link, is_simulator=True)

    @rule(name=NAMES)
    def disconnect(self, name):
        gone = self.simulators.pop(name, None)
        if gone is not None:
            self.manager.disconnected(self.now, gone.sid)

    def spend(self, name, payload):
        simulator = self.simulators.get(name)
        if simulator is None or simulator.tokens < 1:
            return
        simulator.tokens -= 1
        simulator.unanswered += 1
        self.stamp += 1
        before = [session.counters.telemetry for session in self.manager.sessions]
        frame = self.manager.telemetry(self.now, simulator.sid, payload, self.stamp)
        for session, count in zip(self.manager.sessions, before, strict=True):
            if session.counters.telemetry > count:
                assert session is self.session_of(simulator.sid)
                self.awaited[session] = self.stamp if frame is not None else None

    @rule(name=NAMES, speed=st.sampled_from([0.0, 0.2, 0.3, 1.0, 2.2, 2.3, 6.0]))
    def telemetry(self, name, speed):
        if name in self.simulators and self.simulators[name].tokens:
            self.simulators[name].speed_mps = speed
        fields = {'speed': f'{speed / MPS_PER_MPH:.4f}', 'image': JPEG}
        self.spend(name, ZEROS | fields | {'waits': self.waits})

    @rule(name=NAMES, payload=st.sampled_from([{}, [], 'x', 7, {'speed': 'nan'}, NO_JPEG]))
    def bad_packet(self, name, payload):
        simulator = self.simulators.get(name)
        session = simulator and self.session_of(simulator.sid)
        if session:
            # It is answered by the speed that was heard last.
            simulator.speed_mps = 2.0 if payload is NO_JPEG else session.speed_mps
        self.spend(name, payload)

    @rule(name=NAMES)
    def person_drives(self, name):
        self.spend(name, None)

    @rule(car=CARS, age=st.integers(0, 2), rad=STEERING_RAD)
    def steering(self, car, age, rad):
        stamp = self.stamp - age
        self.steered.setdefault(stamp, rad)
        self.session(car).steering(self.now, stamp, self.steered[stamp])

    def session(self, car):
        return self.manager.sessions[car % self.cars]

    @rule(car=CARS, rad=st.sampled_from([math.nan, math.inf]))
    def steering_that_is_no_number(self, car, rad):
        self.session(car).steering(self.now, self.stamp, rad)

    @rule(car=CARS, throttle=st.sampled_from([0.0, 0.3, 1.0, math.nan]))
    def throttle(self, car, throttle):
        self.session(car).throttle(self.now, throttle)

    @rule(car=CARS, nodes_ready=st.booleans())
    def nodes_come_and_go(self, car, nodes_ready):
        self.session(car).set_nodes_ready(self.now, nodes_ready)

    @rule(car=CARS, is_held=st.booleans())
    def hold_or_release(self, car, is_held):
        self.session(car).set_held(self.now, is_held)

    @rule(car=CARS, speed=st.sampled_from([0.0, 3.0, math.nan]))
    def person_commands(self, car, speed):
        self.session(car).person(self.now, Driver.TWIST, Motion(speed, steering_rad=PERSON_RAD))

    @rule(name=NAMES, kind=st.sampled_from(['frame', 'manual', 'bad']))
    def client_runs_on_frame_by_frame(self, name, kind):
        """However many tokens it had: after a second there is one, here or there."""
        simulator = self.simulators.get(name)
        session = simulator and self.session_of(simulator.sid)
        if not session:
            return
        session.set_nodes_ready(self.now, True)
        for _ in range(60):
            self.client_frame(name, session, kind)
        if self.session_of(simulator.sid) is session:
            assert simulator.tokens + (simulator.unanswered > 0) <= 1

    def client_frame(self, name, session, kind):
        """All tokens are spent, 2 ms apart; the commands of the newest frame come 3 ms later."""
        end = self.now + FRAME_S
        for _ in range(self.simulators[name].tokens):
            if kind == 'frame':
                self.telemetry(name, 5.0)
            elif kind == 'manual':
                self.spend(name, None)
            else:
                self.bad_packet(name, NO_JPEG)
            self.time_passes(0.002)
        if kind == 'frame':
            self.time_passes(0.001)
            self.steered.setdefault(self.stamp, 0.1)
            session.throttle(self.now, 0.3)
            session.steering(self.now, self.stamp, self.steered[self.stamp])
        self.time_passes(max(0.0, end - self.now))

    @rule(seconds=st.sampled_from([0.001, 0.016, 0.06, 0.1, 0.11, 0.31, 0.6]))
    def time_passes(self, seconds):
        """With every deadline kept, as the server's timer keeps it."""
        until = self.now + seconds
        while (due := self.manager.next_deadline()) <= until:
            self.now = max(self.now, due)
            self.manager.expire(self.now)
        self.now = until

    @rule(seconds=st.sampled_from([0.05, 0.5, 3.0]))
    def server_is_late(self, seconds):
        self.now += seconds
        self.manager.expire(self.now)

    @precondition(lambda self: self.simulators)
    @rule()
    def everybody_is_answered_in_the_end(self):
        """Those that drive within the stop timeout at the latest, and no token stays behind."""
        self.time_passes(LIMITS.stop_timeout_s + 0.01)
        for simulator in self.simulators.values():
            assert simulator.unanswered == 0 or not self.session_of(simulator.sid)

    @invariant()
    def a_token_never_multiplies(self):
        for simulator in getattr(self, 'simulators', {}).values():
            allowance = 2 + sum(session.counters.keepalives for session in self.manager.sessions)
            assert 0 <= simulator.tokens <= allowance

    @invariant()
    def no_car_stands_without_a_driver_while_somebody_waits(self):
        if getattr(self, 'simulators', None):
            driving = sum(session.state is not None for session in self.manager.sessions)
            assert driving == min(len(self.simulators), self.cars)
            is_lock_step = self.limits.lock_step
            assert self.manager.next_deadline() < math.inf or is_lock_step


class FleetTraffic(Traffic):
    """The same with two cars."""

    cars = 2


class LockStepTraffic(Traffic):
    """The same with two simulators that wait for the commands, until the nodes have died."""

    cars = 2
    limits = AnswerTimeouts(lock_step=True)
    waits = '1'

    @precondition(lambda self: self.simulators)
    @rule()
    def everybody_is_answered_in_the_end(self):
        for session in self.manager.sessions:
            session.set_nodes_ready(self.now, False)
        super().everybody_is_answered_in_the_end()


SETTINGS = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestTraffic = Traffic.TestCase
TestTraffic.settings = SETTINGS
TestFleetTraffic = FleetTraffic.TestCase
TestFleetTraffic.settings = SETTINGS
TestLockStepTraffic = LockStepTraffic.TestCase
TestLockStepTraffic.settings = SETTINGS
