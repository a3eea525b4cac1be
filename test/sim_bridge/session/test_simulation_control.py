# SPDX-License-Identifier: Apache-2.0
"""The simulators of all cars controlled together, with real sessions and links."""

import base64

import pytest

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.types import Control
from sim_bridge.protocol.udacity import UdacityLink
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.simulation_control import (
    Feature,
    Reply,
    Result,
    SimulationControl,
    World,
)
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts

FRAME = {
    'steering_angle': '0.0000',
    'throttle': '0.0000',
    'speed': '10.0000',
    'image': base64.b64encode(JPEG_HEADER).decode(),
}
ALL = {feature for feature in Feature if feature is not Feature.ENTITY_STATE_GETTING}
ONLY_STATE = {Feature.SIMULATION_STATE_GETTING}


class Simulators:
    """Some cars; `connect` adds a simulator, which can be controlled if its frames have `run`."""

    def __init__(self, cars=1):
        self.now = 100.0
        self.manager = SessionManager(AnswerTimeouts(), inspect_image, cars)
        self.heard = []
        self.steps = {}
        self.is_deaf = False
        self.control = SimulationControl(
            {session: session.control for session in self.manager.sessions},
            lambda action: action(self.now),
            self.sleep,
        )

    def connect(self, name, *, controlled=True):
        def hear(event, _data):
            self.heard.append((name, event))
            if event == 'step':
                self.steps[name] = self.steps.get(name, 0) + 1

        self.manager.connected(self.now, name, UdacityLink(hear), is_simulator=True)
        self.send(name, controlled)

    def send(self, name, controlled=True):
        payload = FRAME | ({'run': '0'} if controlled else {})
        assert self.manager.telemetry(self.now, name, payload, round(1e9 * self.now)) is not None

    def sleep(self, seconds):
        """Let time pass; a simulator sends the frame of each step."""
        self.now += seconds
        for name, steps in self.steps.items():
            if steps and not self.is_deaf:
                self.steps[name] -= 1
                self.send(name)

    def controls(self):
        """The events for the simulator that are not answers."""
        return [(name, event) for name, event in self.heard if event not in ('steer', 'manual')]


def test_without_a_simulator_there_is_no_world():
    simulators = Simulators()
    assert simulators.control.world() is World.NO_WORLD
    assert set(simulators.control.features(has_truth=True)) == ONLY_STATE
    reply = Reply(Result.INCORRECT_STATE, 'no simulator is connected')
    assert simulators.control.reset(0) == simulators.control.step(1) == reply
    assert simulators.control.set_world(World.PAUSED) == reply


def test_simulator_of_unity_has_only_its_state():
    simulators = Simulators()
    simulators.connect('a', controlled=False)
    assert simulators.control.world() is World.PLAYING
    assert set(simulators.control.features(has_truth=False)) == ONLY_STATE
    assert simulators.control.reset(0) == Reply(Result.UNSUPPORTED, 'this simulator has no reset')
    assert simulators.control.set_world(World.PAUSED).result is Result.UNSUPPORTED
    assert simulators.controls() == []


def test_embedded_simulator_can_do_all():
    simulators = Simulators()
    simulators.connect('a')
    assert set(simulators.control.features(has_truth=False)) == ALL
    assert set(simulators.control.features(has_truth=True)) == set(Feature)
    assert simulators.control.reset(0) == simulators.control.reset(255) == Reply()
    assert simulators.controls() == [('a', 'reset'), ('a', 'reset')]


class Leaving:
    """A session whose client leaves after the first look at it."""

    def __init__(self, client):
        self._clients = iter([client])

    @property
    def client(self):
        return next(self._clients, None)


def test_features_are_those_of_one_moment_while_a_simulator_leaves():
    simulators = Simulators()
    simulators.connect('a')
    (session,) = simulators.manager.sessions
    control = SimulationControl({Leaving(session.client): None}, None, None)
    assert set(control.features(has_truth=False)) == ALL
    assert set(control.features(has_truth=False)) == ONLY_STATE


def test_reset_of_the_time_alone_is_refused():
    simulators = Simulators()
    simulators.connect('a')
    assert simulators.control.reset(1).result is Result.UNSUPPORTED
    assert simulators.controls() == []


def test_pause_and_play_of_two_cars():
    simulators = Simulators(cars=3)
    for name in ('a', 'b'):
        simulators.connect(name)
    control = simulators.control
    assert control.set_world(World.PLAYING) == Reply(Result.ALREADY_IN_TARGET_STATE)
    assert control.set_world(World.PAUSED) == Reply()
    assert control.world() is World.PAUSED
    assert control.set_world(World.PAUSED) == Reply(Result.ALREADY_IN_TARGET_STATE)
    assert control.set_world(World.PLAYING) == Reply()
    assert control.world() is World.PLAYING
    assert simulators.controls() == [
        (name, event) for event in ('pause', 'resume') for name in ('a', 'b')
    ]


def test_play_lets_a_single_paused_car_go_on():
    simulators = Simulators(cars=2)
    for name in ('a', 'b'):
        simulators.connect(name)
    paused, _ = simulators.manager.sessions
    paused.control(simulators.now, Control.PAUSE)
    assert simulators.control.world() is World.PLAYING
    assert simulators.control.set_world(World.PLAYING) == Reply()
    assert paused.state is not State.PAUSED
    assert ('a', 'resume') in simulators.controls()
    assert simulators.control.set_world(World.PLAYING) == Reply(Result.ALREADY_IN_TARGET_STATE)


@pytest.mark.parametrize('wanted', [World.STOPPED, 3, World.NO_WORLD])
def test_other_states_are_refused_with_what_is_allowed(wanted):
    simulators = Simulators()
    simulators.connect('a')
    reply = simulators.control.set_world(wanted)
    assert reply.result is Result.UNSUPPORTED
    assert 'PLAYING (1) or PAUSED (2)' in reply.message


def test_one_that_cannot_leaves_the_others_alone():
    simulators = Simulators(cars=2)
    simulators.connect('a')
    simulators.connect('b', controlled=False)
    assert simulators.control.set_world(World.PAUSED).result is Result.UNSUPPORTED
    assert simulators.controls() == []


def test_steps_return_with_their_last_frame():
    simulators = Simulators(cars=2)
    simulators.connect('a')
    simulators.connect('b')
    assert simulators.control.step(1).result is Result.OPERATION_FAILED
    simulators.control.set_world(World.PAUSED)
    before = [session.counters.telemetry for session in simulators.manager.sessions]
    assert simulators.control.step(5) == Reply()
    after = [session.counters.telemetry for session in simulators.manager.sessions]
    assert [late - early for early, late in zip(before, after, strict=True)] == [5, 5]
    assert simulators.control.world() is World.PAUSED


def test_step_without_a_frame_fails():
    simulators = Simulators()
    simulators.connect('a')
    simulators.control.set_world(World.PAUSED)
    simulators.is_deaf = True
    assert simulators.control.step(3) == Reply(Result.OPERATION_FAILED, 'no frame came within 2 s')
    assert simulators.controls().count(('a', 'step')) == 1
