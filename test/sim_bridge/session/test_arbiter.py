# SPDX-License-Identifier: Apache-2.0
"""Hold, joystick, topics and network: which of them drives, and until when."""

import math

import pytest

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.control.motion_controller import Motion, Pedals
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.types import Control, Telemetry
from sim_bridge.protocol.udacity import CULTURES, UdacityLink, decode_command, encode_telemetry
from sim_bridge.session.arbiter import PERSONS, Arbiter, Driver
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts, SourceTimeouts

FRAME_S = 1 / 60
NETWORK_RAD, NETWORK_THROTTLE = 0.05, 0.25
TIMEOUTS = SourceTimeouts(joystick_s=0.3, topic_s=0.5)


class Drive:
    """A simulator at 60 Hz with one token, the nodes of a network, and a clock."""

    def __init__(self, has_network=True, network_s=0.004):
        """network_s: time from a frame to its steering."""
        self.now = 100.0
        self.manager = SessionManager(AnswerTimeouts(), inspect_image, source_timeouts=TIMEOUTS)
        self.session = self.manager.sessions[0]
        self.session.set_nodes_ready(self.now, has_network)
        self.has_network, self.network_s = has_network, network_s
        self.tokens, self.answers, self.stamp = 1, [], 0
        self.drivers, self.person_commands = [], []
        self.session.on_driver = lambda: self.drivers.append(self.session.driver)
        self.session.on_person_command = lambda *sent: self.person_commands.append(sent)
        link = UdacityLink(self.hear)
        self.manager.connected(self.now, 'simulator', link, is_simulator=True)
        self.is_manual = False
        self.speed_mps = 5.0

    def hear(self, event, data):
        if event not in ('steer', 'manual'):
            return
        self.tokens += 1
        self.answers.append(decode_command(data, CULTURES['en-US']) if event == 'steer' else None)

    def frames(self, number, each=lambda: None):
        for _ in range(number):
            each()
            end = self.now + FRAME_S
            if self.tokens:
                self.tokens -= 1
                self.send()
            self.until(self.now + self.network_s)
            if self.has_network:
                self.session.throttle(self.now, NETWORK_THROTTLE)
                self.session.steering(self.now, self.stamp, NETWORK_RAD)
            self.until(end)

    def send(self):
        self.stamp += 16_666_667
        frame = Telemetry(0.0, 0.0, self.speed_mps, JPEG_HEADER, run=self.session.resets)
        payload = None if self.is_manual else encode_telemetry(frame, CULTURES['en-US'])
        self.manager.telemetry(self.now, 'simulator', payload, self.stamp)

    def until(self, moment):
        while (due := self.manager.next_deadline()) <= moment:
            self.now = max(self.now, due)
            self.manager.expire(self.now)
        self.now = moment

    def say(self, source, command):
        self.session.person(self.now, source, command)

    @property
    def sent(self):
        """Steering and throttle of the newest command."""
        command = self.session.last_command
        return command.steering_rad, command.throttle


@pytest.mark.parametrize('network_s', [0.004, 0.012])
def test_newest_topic_drives_in_place_of_the_network_and_every_frame_is_answered_once(network_s):
    drive = Drive(network_s=network_s)
    drive.frames(20)
    assert drive.sent == (NETWORK_RAD, NETWORK_THROTTLE)
    answered = len(drive.answers)
    drive.frames(60, lambda: drive.say(Driver.TWIST, Motion(5.2, steering_rad=-0.2)))
    assert drive.sent == (-0.2, pytest.approx(0.5 * 0.2, abs=0.05))
    drive.frames(60, lambda: drive.say(Driver.ACKERMANN, Motion(5.2, steering_rad=0.1)))
    assert drive.sent[0] == 0.1
    assert len(drive.answers) == answered + 120
    assert drive.session.state is State.DRIVING
    assert drive.drivers == [Driver.TWIST, Driver.ACKERMANN]
    counters = drive.session.counters
    assert (counters.timeouts, counters.late_commands, counters.keepalives) == (0, 0, 0)


def test_command_is_told_with_the_stamp_of_its_frame():
    drive = Drive()
    drive.frames(10)
    assert drive.person_commands == []
    drive.frames(1, lambda: drive.say(Driver.TWIST, Motion(5.2, steering_rad=-0.2)))
    ((stamp, command),) = drive.person_commands
    assert (stamp, command.steering_rad) == (drive.stamp, -0.2)


def test_joystick_comes_before_a_topic_and_its_button_gives_the_car_back():
    drive = Drive()
    drive.frames(10, lambda: drive.say(Driver.TWIST, Motion(5.0, steering_rad=0.1)))

    def both():
        drive.say(Driver.JOYSTICK, Pedals(-0.3, 0.6))
        drive.say(Driver.TWIST, Motion(5.0, steering_rad=0.1))

    drive.frames(10, both)
    assert drive.sent == (-0.3, 0.6)
    drive.session.let_go(drive.now, Driver.JOYSTICK)
    drive.frames(2)
    assert drive.sent[0] == 0.1
    assert drive.drivers == [Driver.TWIST, Driver.JOYSTICK, Driver.TWIST]


def test_page_comes_after_the_joystick_and_before_a_topic():
    drive = Drive()

    def all_three():
        drive.say(Driver.TWIST, Motion(5.0, steering_rad=0.1))
        drive.say(Driver.PAGE, Pedals(0.2, 0.4))
        drive.say(Driver.JOYSTICK, Pedals(-0.3, 0.6))

    drive.frames(5, all_three)
    assert drive.sent == (-0.3, 0.6)
    drive.session.let_go(drive.now, Driver.JOYSTICK)
    drive.frames(2)
    assert drive.sent == (0.2, 0.4)
    drive.session.let_go(drive.now, Driver.PAGE)
    drive.frames(2)
    assert drive.sent[0] == 0.1
    assert drive.drivers[-3:] == [Driver.JOYSTICK, Driver.PAGE, Driver.TWIST]


def test_topic_begins_without_the_speed_error_of_before_the_joystick():
    drive = Drive()
    drive.frames(600, lambda: drive.say(Driver.TWIST, Motion(5.2)))
    assert drive.sent[1] > 0.25
    drive.frames(5, lambda: drive.say(Driver.JOYSTICK, Pedals(0.0, 0.0)))
    drive.session.let_go(drive.now, Driver.JOYSTICK)
    drive.frames(3, lambda: drive.say(Driver.TWIST, Motion(5.2)))
    assert drive.sent[1] == pytest.approx(0.1, abs=0.02)


def test_hold_comes_before_the_joystick():
    drive = Drive()
    drive.frames(5)
    drive.session.set_held(drive.now, True)
    drive.frames(30, lambda: drive.say(Driver.JOYSTICK, Pedals(0.0, 1.0)))
    assert drive.sent[0] == NETWORK_RAD
    assert drive.sent[1] < 0.0
    assert drive.session.state is State.HELD
    drive.session.set_held(drive.now, False)
    drive.frames(2, lambda: drive.say(Driver.JOYSTICK, Pedals(0.0, 1.0)))
    assert drive.sent[1] == 1.0
    assert drive.drivers == [Driver.HOLD, Driver.JOYSTICK]


@pytest.mark.parametrize(
    ('source', 'timeout_s'),
    [(Driver.JOYSTICK, 0.3), (Driver.PAGE, 0.2), (Driver.TWIST, 0.5)],
    ids=lambda it: str(it),
)
def test_network_drives_on_when_a_source_falls_silent(source, timeout_s):
    drive = Drive()
    drive.frames(10)
    command = Motion(5.0, steering_rad=0.2) if source is Driver.TWIST else Pedals(0.2, 0.5)
    drive.frames(10, lambda: drive.say(source, command))
    silent = drive.now - FRAME_S
    while drive.sent[0] == 0.2:
        drive.frames(1)
    assert drive.now - silent == pytest.approx(timeout_s, abs=2.5 * FRAME_S)
    assert drive.sent == (NETWORK_RAD, NETWORK_THROTTLE)
    assert drive.session.counters.timeouts == 0


def test_car_without_a_network_is_driven_and_braked_at_once_when_its_driver_is_silent():
    drive = Drive(has_network=False)
    drive.frames(60, lambda: drive.say(Driver.TWIST, Motion(5.5, steering_rad=0.2)))
    assert drive.session.state is State.DRIVING
    assert drive.sent[1] > 0.0
    silent = drive.now - FRAME_S
    while drive.session.state is State.DRIVING:
        drive.frames(1)
    assert drive.now - silent == pytest.approx(TIMEOUTS.topic_s, abs=2.5 * FRAME_S)
    drive.frames(30)
    assert drive.sent[1] == -1.0
    assert drive.session.state is State.ABSENT
    assert drive.drivers == [Driver.TWIST, Driver.NOBODY]


def test_nobody_drives_while_a_car_is_braked_for_want_of_fresh_commands():
    """So the throttle node forgets the error that it adds up meanwhile."""
    drive = Drive()
    drive.frames(10)
    drive.has_network = False
    drive.frames(60)
    assert drive.session.state is State.STOPPED
    assert drive.drivers == [Driver.NOBODY]
    drive.has_network = True
    drive.frames(10)
    assert drive.session.state is State.DRIVING
    assert drive.drivers == [Driver.NOBODY, Driver.NETWORK]


def test_command_ends_the_wait_of_a_standing_car_for_its_nodes():
    drive = Drive(has_network=False)
    drive.speed_mps = 0.0
    drive.frames(5)
    assert drive.answers == []
    drive.say(Driver.TWIST, Motion(1.0))
    drive.frames(1)
    assert drive.sent[1] > 0.0


def test_silence_ends_without_telemetry_too():
    drive = Drive()
    drive.say(Driver.TWIST, Motion(1.0))
    drive.manager.disconnected(drive.now, 'simulator')
    assert drive.session.driver is Driver.TWIST
    drive.until(drive.now + 0.6)
    assert drive.session.driver is Driver.NETWORK


def test_stale_command_does_not_drive_after_the_server_was_late():
    drive = Drive()
    drive.frames(10, lambda: drive.say(Driver.TWIST, Motion(5.0, steering_rad=0.2)))
    drive.now += 3.0
    drive.tokens -= 1
    drive.send()
    assert drive.session.driver is Driver.NETWORK


def test_stale_command_of_a_higher_rank_does_not_drive_in_place_of_a_new_one():
    drive = Drive()
    drive.frames(10, lambda: drive.say(Driver.JOYSTICK, Pedals(0.2, 0.5)))
    drive.now += 3.0
    drive.say(Driver.TWIST, Motion(5.0, steering_rad=-0.1))
    assert drive.drivers == [Driver.JOYSTICK, Driver.TWIST]


def test_driver_of_a_car_without_a_simulator_follows_its_nodes_and_the_hold():
    drive = Drive(has_network=False)
    drive.manager.disconnected(drive.now, 'simulator')
    assert drive.session.driver is Driver.NOBODY
    drive.session.set_nodes_ready(drive.now, True)
    assert drive.session.driver is Driver.NETWORK
    drive.session.set_held(drive.now, True)
    assert drive.session.driver is Driver.HOLD


def test_bad_telemetry_gets_the_last_steering_of_the_person_not_that_of_the_network():
    drive = Drive(network_s=0.012)
    drive.frames(20, lambda: drive.say(Driver.TWIST, Motion(5.0, steering_rad=-0.2)))
    drive.tokens -= 1
    drive.manager.telemetry(drive.now, 'simulator', {'speed': '11.0'}, drive.stamp + 1)
    drive.until(drive.now + 0.012)
    assert drive.sent == (-0.2, 0.0)


def test_keys_of_the_simulator_come_first():
    drive = Drive()
    drive.is_manual = True
    drive.frames(10, lambda: drive.say(Driver.TWIST, Motion(5.0)))
    assert set(drive.answers) == {None}
    assert drive.session.driver is Driver.SIMULATOR
    drive.is_manual = False
    drive.frames(10, lambda: drive.say(Driver.TWIST, Motion(5.0)))
    assert drive.session.driver is Driver.TWIST


def test_keys_of_a_simulator_that_has_left_drive_no_longer():
    drive = Drive()
    drive.is_manual = True
    drive.frames(10)
    drive.manager.disconnected(drive.now, 'simulator')
    assert drive.drivers == [Driver.SIMULATOR, Driver.NETWORK]


def test_reset_forgets_the_command_of_before():
    drive = Drive()
    drive.frames(10, lambda: drive.say(Driver.TWIST, Motion(5.0, steering_rad=0.2)))
    drive.session.control(drive.now, Control.RESET)
    assert drive.session.driver is Driver.NETWORK


def test_command_that_is_no_number_is_counted_and_does_not_drive():
    drive = Drive()
    drive.frames(5)
    drive.say(Driver.TWIST, Motion(math.nan))
    drive.frames(2)
    assert drive.sent == (NETWORK_RAD, NETWORK_THROTTLE)
    assert drive.session.counters.rejected_commands == 1


@pytest.mark.parametrize('source', PERSONS, ids=lambda it: it.value)
def test_person_who_takes_the_wheel_in_mid_drive_is_counted_once(source):
    drive = Drive()
    drive.frames(90)
    drive.frames(90, lambda: drive.say(source, Pedals(0.2, 0.5)))
    drive.frames(90)
    assert drive.session.driver is Driver.NETWORK
    assert drive.session.counters.takeovers == 1
    drive.frames(3, lambda: drive.say(source, Pedals(0.2, 0.5)))
    assert drive.session.counters.takeovers == 2


def test_keys_of_the_simulator_take_over_too():
    drive = Drive()
    for is_manual in (True, False, True, False, True):
        drive.is_manual = is_manual
        drive.frames(90)
    assert drive.session.counters.takeovers == 2, 'the first was at the wheel from the beginning'


def test_dead_man_button_that_slips_is_one_takeover():
    drive = Drive()
    drive.frames(60)
    for _ in range(10):
        drive.frames(20, lambda: drive.say(Driver.JOYSTICK, Pedals(0.1, 0.5)))
        drive.session.let_go(drive.now, Driver.JOYSTICK)
        drive.frames(20)
    assert drive.drivers.count(Driver.JOYSTICK) == 10
    assert drive.session.counters.takeovers == 1


def test_hold_is_no_takeover_and_neither_is_another_person():
    drive = Drive()
    drive.frames(60)
    drive.session.set_held(drive.now, True)
    drive.frames(90)
    assert drive.session.counters.takeovers == 0
    drive.frames(90, lambda: drive.say(Driver.TWIST, Motion(5.0)))
    assert drive.session.counters.takeovers == 0, 'the car was held'
    drive.session.set_held(drive.now, False)
    drive.frames(90, lambda: drive.say(Driver.TWIST, Motion(5.0)))
    drive.frames(90, lambda: drive.say(Driver.JOYSTICK, Pedals(0.1, 0.5)))
    assert drive.session.counters.takeovers == 1


def test_person_takes_over_from_a_network_that_fails():
    drive = Drive()
    drive.frames(60)
    drive.has_network = False
    drive.frames(120)
    assert drive.session.state is State.STOPPED
    drive.frames(10, lambda: drive.say(Driver.JOYSTICK, Pedals(0.1, 0.5)))
    assert drive.session.counters.takeovers == 1


def test_command_without_a_car_is_no_takeover():
    drive = Drive()
    drive.frames(60)
    drive.manager.disconnected(drive.now, 'simulator')
    drive.say(Driver.JOYSTICK, Pedals(0.1, 0.5))
    assert drive.session.counters.takeovers == 0


def test_drive_begins_with_a_reset_or_another_simulator():
    drive = Drive()
    drive.frames(60)
    drive.frames(9, lambda: drive.say(Driver.JOYSTICK, Pedals(0.1, 0.5)))
    drive.frames(90)
    assert drive.session.counters.takeovers == 1
    drive.session.control(drive.now, Control.RESET)
    drive.tokens = 1
    drive.frames(60, lambda: drive.say(Driver.JOYSTICK, Pedals(0.1, 0.5)))
    assert drive.session.state is State.DRIVING
    assert drive.session.counters.takeovers == 0
    drive.frames(90)
    drive.manager.disconnected(drive.now, 'simulator')
    link = UdacityLink(drive.hear)
    drive.manager.connected(drive.now, 'simulator', link, is_simulator=True)
    drive.tokens, drive.is_manual = 1, True
    drive.frames(60)
    assert drive.session.driver is Driver.SIMULATOR
    assert drive.session.counters.takeovers == 0


def test_timeout_must_be_positive():
    with pytest.raises(ValueError, match=r'topic_s is 0\.0, it must be a positive number'):
        SourceTimeouts(topic_s=0.0)


def test_idle_arbiter_needs_no_clock():
    assert Arbiter(TIMEOUTS).next_timeout_s == math.inf
    assert Arbiter(TIMEOUTS).active is None


def test_first_silence_of_several_sources_is_the_next_to_look_at():
    arbiter = Arbiter(TIMEOUTS)
    for source in (Driver.TWIST, Driver.JOYSTICK):
        arbiter.hear(100.0, source, Motion(1.0))
    assert arbiter.next_timeout_s == 100.0 + TIMEOUTS.joystick_s
    arbiter.expire(arbiter.next_timeout_s)
    assert arbiter.active == (Driver.TWIST, Motion(1.0))
    assert arbiter.next_timeout_s == 100.0 + TIMEOUTS.topic_s
    arbiter.let_go(Driver.TWIST)
    assert arbiter.next_timeout_s == math.inf
