# SPDX-License-Identifier: Apache-2.0
"""Reset, pause and step of a simulator that has them, with frames and answers under way."""

import base64
from collections import deque

import pytest

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.types import Control
from sim_bridge.protocol.udacity import CULTURES, UdacityLink, decode_command
from sim_bridge.session.car_session import SILENCE_S, ControlError
from sim_bridge.session.reset_watch import ResetWatch
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts

FRAME = {
    'steering_angle': '0.0000',
    'throttle': '0.0000',
    'speed': '10.0000',
    'image': base64.b64encode(JPEG_HEADER).decode(),
}
TICK_S = 0.002
RAD_PER_STAMP = 1e-5


class Drive:
    """A simulator whose messages take `way` ticks, and nodes whose commands take `thinking` ticks.

    The steering names the frame that it was computed from, so an answer shows its frame.
    """

    def __init__(self, way=2, thinking=3, resettable=True):
        self.now = 100.0
        self.manager = SessionManager(AnswerTimeouts(), inspect_image)
        self.session = self.manager.sessions[0]
        self.way, self.thinking = way, thinking
        self.resettable = resettable
        self.inbox, self.outbox, self.commands = deque(), deque(), deque()
        self.tick = self.stamp = self.run = self.answers = 0
        self.tokens = 1
        self.is_paused, self.steps = False, 0
        self.run_of_stamp = {}
        link = UdacityLink(lambda *event: self.inbox.append((self.tick + self.way, event)))
        self.manager.connected(self.now, 'simulator', link, is_simulator=True)

    def hear(self, event, data):
        if event == 'reset':
            self.run += 1
            self.tokens = 1
        elif event in ('pause', 'resume'):
            self.is_paused = event == 'pause'
        elif event == 'step':
            self.steps += 1
        elif event == 'steer':
            self.tokens += 1
            self.answers += 1
            rad = decode_command(data, CULTURES['en-US']).steering_rad
            stamp = round(rad / RAD_PER_STAMP)
            assert self.run_of_stamp.get(stamp, self.run) == self.run, 'an answer from before'

    def ticks(self, number):
        for _ in range(number):
            self.tick += 1
            self.now += TICK_S
            while self.manager.next_deadline() <= self.now:
                self.manager.expire(self.now)
            while self.inbox and self.inbox[0][0] <= self.tick:
                self.hear(*self.inbox.popleft()[1])
            if self.tokens and self.tick % 8 == 0 and (self.steps or not self.is_paused):
                self.tokens -= 1
                self.steps -= self.is_paused
                own = {'run': str(self.run)} if self.resettable else {}
                self.outbox.append((self.tick + self.way, FRAME | own, self.run))
            while self.outbox and self.outbox[0][0] <= self.tick:
                _, payload, run = self.outbox.popleft()
                self.stamp += 1
                self.run_of_stamp[self.stamp] = run
                if self.manager.telemetry(self.now, 'simulator', payload, self.stamp):
                    self.commands.append((self.tick + self.thinking, self.stamp))
            while self.commands and self.commands[0][0] <= self.tick:
                stamp = self.commands.popleft()[1]
                self.session.throttle(self.now, 0.5)
                self.session.steering(self.now, stamp, stamp * RAD_PER_STAMP)

    def control(self, control):
        self.session.control(self.now, control)


@pytest.mark.parametrize('way', [0, 1, 5, 40])
@pytest.mark.parametrize('thinking', [0, 3, 60])
def test_hundred_resets_answer_nothing_from_before_and_lose_no_token(way, thinking):
    drive = Drive(way, thinking)
    drive.ticks(200)
    for number in range(100):
        drive.control(Control.RESET)
        drive.ticks(number % 37)
    drive.ticks(1000)
    assert (drive.run, drive.session.resets) == (100, 100)
    before = drive.answers
    drive.ticks(1000)
    assert drive.answers > before, 'it drives on'
    under_way = len(drive.inbox) + len(drive.outbox)
    waiting = drive.session.counters.telemetry - drive.session.counters.superseded
    waiting -= drive.session.counters.answers
    assert drive.tokens + under_way + waiting == 1
    assert drive.session.counters.keepalives == 0


def test_reset_car_is_held_if_it_was_held():
    drive = Drive()
    drive.ticks(100)
    drive.session.set_held(drive.now, True)
    drive.control(Control.RESET)
    drive.ticks(100)
    assert drive.session.state is State.HELD


def test_paused_simulator_gets_no_keepalives_and_keeps_its_car():
    drive = Drive()
    drive.ticks(100)
    drive.control(Control.PAUSE)
    drive.ticks(2500)
    assert drive.session.state is State.PAUSED
    assert drive.tokens == 1
    assert not drive.session.is_free(drive.now + SILENCE_S)
    assert drive.session.counters.keepalives == 0
    for _ in range(3):
        drive.control(Control.STEP)
        before = drive.answers
        drive.ticks(2500)
        assert drive.answers == before + 1
    drive.control(Control.RESUME)
    drive.ticks(50)
    assert drive.session.state is State.DRIVING
    assert drive.session.counters.timeouts == 0


def test_simulator_that_is_reset_in_a_pause_stays_paused():
    drive = Drive()
    drive.ticks(100)
    drive.control(Control.PAUSE)
    drive.control(Control.RESET)
    drive.ticks(2500)
    assert drive.session.state is State.PAUSED
    assert drive.session.counters.keepalives == 0


def test_simulator_that_a_reset_did_not_reach_is_driven_on_and_named():
    drive = Drive()
    drive.ticks(200)
    drive.control(Control.RESET)
    drive.inbox.clear()
    # The telemetry that is ignored has no answer, so keepalives bring the next one.
    drive.ticks(round(1.6 / TICK_S))
    assert drive.session.reset_ignored
    before = drive.answers
    drive.ticks(200)
    assert drive.answers > before + 10
    drive.control(Control.RESET)
    drive.ticks(200)
    assert not drive.session.reset_ignored
    assert (drive.run, drive.session.state) == (1, State.DRIVING)


def test_reset_that_takes_long_counts_when_it_comes():
    resets, ignored = ResetWatch(run=0), []
    resets.reset(10.0)
    for now_s, run in ((10.5, 0), (11.5, 0), (12.0, 0), (12.5, 1), (13.0, 1)):
        ignored.append((resets.is_before(now_s, run), resets.is_ignored))
    assert ignored == [(True, False), (False, True), (False, True), (False, False), (False, False)]


def test_control_that_cannot_be_sent_fails_and_changes_nothing():
    drive = Drive()
    drive.ticks(100)
    drive.session.client.link = UdacityLink(lambda *_: False)
    run = drive.session.client.resets.run
    for control in (Control.RESET, Control.PAUSE):
        with pytest.raises(ControlError, match=f'^{control.value} was not sent: '):
            drive.control(control)
    assert (drive.session.client.resets.run, drive.session.resets) == (run, 0)
    assert drive.session.state is State.DRIVING


def test_simulator_without_the_field_is_refused_by_name():
    drive = Drive(resettable=False)
    drive.ticks(100)
    for control in Control:
        with pytest.raises(ControlError, match=f'this simulator has no {control.value};'):
            drive.control(control)
    assert drive.session.state is State.DRIVING
    drive.manager.disconnected(drive.now, 'simulator')
    with pytest.raises(ControlError, match='no simulator is connected'):
        drive.control(Control.RESET)


def test_step_needs_a_pause():
    drive = Drive()
    drive.ticks(100)
    with pytest.raises(ControlError, match='not paused'):
        drive.control(Control.STEP)


def test_simulated_time_goes_on_with_the_next_simulator():
    manager = SessionManager(AnswerTimeouts(), inspect_image, in_simulated_time=True)
    stamps = []
    for simulator in ('first', 'second'):
        manager.connected(1.0, simulator, UdacityLink(lambda *_: None), is_simulator=True)
        for time_ns in ('50', '66'):
            session, _ = manager.telemetry(1.0, simulator, FRAME | {'time_ns': time_ns}, 10**18)
            stamps.append(session.stamp_ns)
        manager.disconnected(1.0, simulator)
    assert stamps == [50, 66, 67, 83]
