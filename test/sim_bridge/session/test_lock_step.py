# SPDX-License-Identifier: Apache-2.0
"""Lock-step: a slow node is waited for, if the world of the simulator waits too."""

import math

import pytest

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import CULTURES, UdacityLink, decode_command, encode_telemetry
from sim_bridge.session.car_session import SILENCE_S
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts, SourceTimeouts


class Drive:
    """A simulator with one token, and nodes whose commands come when the test says so."""

    def __init__(self, waits):
        self.now, self.stamp, self.waits = 100.0, 0, waits
        self.manager = SessionManager(AnswerTimeouts(lock_step=True), inspect_image)
        self.session = self.manager.sessions[0]
        self.answers = []
        link = UdacityLink(lambda *event: self.answers.append(event))
        self.manager.connected(self.now, 'simulator', link, is_simulator=True)

    def frame(self):
        self.stamp += 1
        frame = Telemetry(0.0, 0.0, 5.0, JPEG_HEADER, waits=self.waits)
        payload = encode_telemetry(frame, CULTURES['en-US'])
        self.manager.telemetry(self.now, 'simulator', payload, self.stamp)

    def commands(self, throttle=0.5):
        self.session.throttle(self.now, throttle)
        self.session.steering(self.now, self.stamp, 0.1)

    def later(self, seconds):
        until = self.now + seconds
        while (due := self.manager.next_deadline()) <= until:
            self.now = max(self.now, due)
            self.manager.expire(self.now)
        self.now = until

    def sent(self):
        """Commands since the last call."""
        sent = [decode_command(data, CULTURES['en-US']) for _, data in self.answers]
        self.answers.clear()
        return [(round(one.steering_rad, 6), one.throttle) for one in sent]


@pytest.fixture
def drive():
    """A drive in lock-step, after its first frames."""
    drive = Drive(waits=True)
    for _ in range(10):
        drive.frame()
        drive.later(0.06)
        drive.commands()
        drive.later(0.02)
    assert len(drive.sent()) == 10
    return drive


@pytest.mark.parametrize('seconds', [0.2, 3.0, 600.0])
def test_slow_node_is_waited_for_however_long(drive, seconds):
    drive.frame()
    drive.later(seconds)
    assert drive.sent() == []
    assert drive.manager.next_deadline() == math.inf
    assert not drive.session.is_free(drive.now), 'no other simulator takes the car meanwhile'
    drive.commands()
    drive.later(0.05)
    assert drive.sent() == [(0.1, 0.5)]
    counters = drive.session.counters
    assert (counters.timeouts, counters.late_commands, counters.keepalives) == (0, 0, 0)
    assert drive.session.state is State.DRIVING
    assert not drive.session.lock_step_refused


def test_throttle_of_the_same_frame_is_waited_for_too(drive):
    drive.frame()
    drive.session.steering(drive.now, drive.stamp, 0.1)
    drive.later(5.0)
    assert drive.sent() == []
    drive.session.throttle(drive.now, 0.7)
    assert drive.sent() == [(0.1, 0.7)]


def test_car_is_braked_when_a_node_has_died_and_drives_on_with_the_next_one(drive):
    drive.frame()
    drive.later(2.0)
    drive.session.set_nodes_ready(drive.now, False)
    drive.later(0.05)
    assert [throttle for _, throttle in drive.sent()] in ([1.0], [-1.0]), 'it finds its direction'
    assert drive.session.state in (State.STOPPED, State.ABSENT)
    drive.session.set_nodes_ready(drive.now, True)
    drive.frame()
    drive.commands()
    drive.later(0.05)
    assert drive.sent() == [(0.1, 0.5)]


def test_waiting_frame_is_answered_when_lock_step_is_switched_off(drive):
    drive.frame()
    drive.later(3.0)
    assert drive.sent() == []
    drive.session.set_timeouts(AnswerTimeouts(), SourceTimeouts())
    drive.later(0.05)
    assert len(drive.sent()) == 1


def test_simulator_that_has_its_answer_and_falls_silent_loses_its_car(drive):
    drive.later(SILENCE_S)
    assert drive.session.is_free(drive.now)


def test_hold_does_not_wait(drive):
    drive.frame()
    drive.session.set_held(drive.now, True)
    drive.later(0.05)
    assert len(drive.sent()) == 1


def test_simulator_whose_world_runs_on_is_refused_lock_step():
    drive = Drive(waits=False)
    drive.frame()
    drive.later(0.3)
    assert drive.session.lock_step_refused
    assert len(drive.sent()) == 1
    assert drive.session.counters.timeouts == 1
    drive.manager.disconnected(drive.now, 'simulator')
    assert not drive.session.lock_step_refused, 'there is no simulator to name'


def test_lock_step_that_is_not_wanted_is_not_refused():
    drive = Drive(waits=False)
    drive.session.set_timeouts(AnswerTimeouts(), SourceTimeouts())
    drive.frame()
    assert not drive.session.lock_step_refused


def test_limits_without_lock_step_need_positive_times():
    with pytest.raises(ValueError, match='command_timeout_s is 0'):
        AnswerTimeouts(command_timeout_s=0.0)
