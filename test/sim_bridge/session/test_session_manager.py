# SPDX-License-Identifier: Apache-2.0
"""Which simulator drives, and what each of them hears."""

import base64

import pytest

from helpers.talking_simulator import JPEG_HEADER
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.udacity import UdacityLink
from sim_bridge.session.car_session import SILENCE_S
from sim_bridge.session.session_manager import PROBATION_S, SessionManager
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts

FRAME = {
    'steering_angle': '0.0000',
    'throttle': '0.0000',
    'speed': '10.0000',
    'image': base64.b64encode(JPEG_HEADER).decode(),
}
COAST = {'steering_angle': '0.000000', 'throttle': '0.000000'}


class Bench:
    """SessionManager with a clock of their own, and all that they sent."""

    def __init__(self, cars=1, timeouts=None):
        self.sent = []
        self.now = 0.0
        self.stamp = 0
        self.manager = SessionManager(timeouts or AnswerTimeouts(), inspect_image, cars)
        self.sessions = self.manager.sessions
        self.session = self.sessions[0]
        self.names = {}

    def connect(self, sid, *, is_simulator=True):
        link = UdacityLink(lambda *what: self.sent.append((sid, *what)))
        self.names[link] = sid
        self.manager.connected(self.now, sid, link, is_simulator=is_simulator)

    def telemetry(self, sid, payload=FRAME):
        """A telemetry of a client, which connects first if it is new."""
        if sid not in self.names.values():
            self.connect(sid, is_simulator=False)
        self.stamp += 1
        return self.manager.telemetry(self.now, sid, payload, self.stamp)

    def drive(self, sid):
        """One frame with its commands, answered at once or after the settle time."""
        driven = self.telemetry(sid)
        session = driven[0] if driven else self.session
        session.throttle(self.now, 0.5)
        session.steering(self.now, self.stamp, 0.1)
        self.pass_time()

    def pass_time(self):
        """Let the time pass in which other tokens may come."""
        self.now += 0.06
        self.manager.expire(self.now)

    def displace(self, sid):
        """Have a newcomer send its telemetry and stay until it drives."""
        self.telemetry(sid)
        self.now += PROBATION_S
        self.manager.expire(self.now)

    def driver(self, number):
        """Name of the client that drives this car, if any."""
        client = self.sessions[number].client
        return client and self.names[client.link]

    def heard(self, sid):
        return [data for to, _, data in self.sent if to == sid]


@pytest.fixture
def bench():
    return Bench()


def test_answer_goes_to_its_sender(bench):
    bench.connect('a')
    bench.drive('a')
    assert [(to, event) for to, event, _ in bench.sent] == [('a', 'steer')]
    assert bench.session.state is State.DRIVING


def test_a_client_that_only_listens_is_left_alone(bench):
    bench.drive('a')
    bench.connect('page', is_simulator=False)
    bench.drive('a')
    assert bench.heard('page') == []
    assert len(bench.heard('a')) == 2


def test_a_client_that_only_listens_takes_no_free_car(bench):
    bench.connect('page', is_simulator=False)
    assert bench.driver(0) is None
    bench.drive('a')
    assert bench.driver(0) == 'a'


def test_newest_wins_and_the_other_hears_one_halt_and_then_nothing(bench):
    bench.drive('a')
    bench.displace('b')
    for _ in range(5):
        bench.drive('a')
        bench.drive('b')
    assert len(bench.heard('a')) == 2
    assert bench.heard('a')[-1] == COAST
    assert len(bench.heard('b')) == 6
    assert COAST not in bench.heard('b')[1:]


def test_a_newcomer_gets_one_answer_for_its_two_tokens_when_it_takes_over(bench):
    bench.drive('a')
    bench.telemetry('b')
    assert bench.heard('b') == []
    bench.displace('b')
    assert bench.heard('b') == [{'steering_angle': '0', 'throttle': '0'}]


def test_a_storm_of_short_connections_stops_nobody(bench):
    bench.drive('a')
    for number in range(100):
        sid = f'storm {number}'
        bench.connect(sid)
        bench.telemetry(sid)
        bench.drive('a')
        bench.manager.disconnected(bench.now, sid)
    assert len(bench.heard('a')) == 101
    assert COAST not in bench.heard('a')


def test_an_idle_newcomer_stops_nobody(bench):
    bench.drive('a')
    bench.connect('idle')
    for _ in range(100):
        bench.drive('a')
    assert len(bench.heard('a')) == 101
    assert bench.heard('idle') == []


def test_a_simulator_that_fell_silent_is_displaced_at_once(bench):
    bench.drive('a')
    bench.now += SILENCE_S
    bench.drive('b')
    assert len(bench.heard('b')) == 1
    assert bench.heard('b') != [COAST]


def test_a_simulator_that_waits_for_a_late_answer_has_not_fallen_silent():
    bench = Bench(timeouts=AnswerTimeouts(stop_timeout_s=2.0))
    bench.drive('a')
    bench.telemetry('a')
    bench.now += 1.9
    bench.drive('b')
    assert bench.heard('b') == []
    bench.now += 2.1
    bench.drive('b')
    assert bench.driver(0) == 'b'


def test_displaced_in_the_middle_of_a_frame_it_is_halted_at_once(bench):
    bench.drive('a')
    bench.telemetry('b')
    bench.now += PROBATION_S
    bench.telemetry('a')
    bench.manager.expire(bench.now)
    assert bench.heard('a')[-1] == COAST
    bench.telemetry('a')
    assert len(bench.heard('a')) == 2


def test_frames_of_a_displaced_simulator_are_not_driven_on(bench):
    bench.drive('a')
    bench.displace('b')
    assert bench.telemetry('a') is None
    assert bench.telemetry('b') is not None


def test_the_one_that_remains_takes_over_and_is_answered(bench):
    bench.drive('a')
    bench.displace('b')
    bench.telemetry('a')
    bench.telemetry('a')
    before = len(bench.heard('a'))
    bench.manager.disconnected(bench.now, 'b')
    assert len(bench.heard('a')) == before + 1
    bench.drive('a')
    assert len(bench.heard('a')) == before + 2


def test_the_one_that_remains_without_a_token_gets_a_new_one(bench):
    bench.drive('a')
    bench.displace('b')
    bench.telemetry('a')
    before = len(bench.heard('a'))
    bench.manager.disconnected(bench.now, 'b')
    bench.now = bench.manager.next_deadline()
    bench.manager.expire(bench.now)
    assert len(bench.heard('a')) == before + 1


def test_a_challenger_that_leaves_is_forgotten(bench):
    bench.drive('a')
    bench.telemetry('b')
    bench.manager.disconnected(bench.now, 'b')
    bench.now += PROBATION_S
    bench.manager.expire(bench.now)
    bench.drive('a')
    assert bench.heard('b') == []
    assert COAST not in bench.heard('a')


def test_nobody_left_means_nothing_is_due(bench):
    bench.drive('a')
    bench.manager.disconnected(bench.now, 'a')
    assert bench.manager.next_deadline() == float('inf')
    assert bench.session.state is None
    bench.manager.expire(bench.now + 100.0)
    assert len(bench.sent) == 1


def test_manual_driving_is_answered_with_manual(bench):
    bench.drive('a')
    assert bench.telemetry('a', None) is None
    bench.pass_time()
    assert bench.sent[-1] == ('a', 'manual', {})


def test_bad_packet_is_answered_counted_and_named(bench):
    bench.drive('a')
    assert bench.telemetry('a', {**FRAME, 'speed': 'x'}) is None
    bench.pass_time()
    assert [event for _, event, _ in bench.sent] == ['steer', 'steer']
    assert bench.session.counters.bad_packets == 1
    assert 'speed' in bench.session.last_error


def test_line_of_a_state_names_the_fault_and_a_hold_that_has_no_effect(bench):
    assert bench.session.state_line == 'no simulator connected'
    bench.drive('a')
    assert bench.session.state_line == 'driving'
    bench.telemetry('a', {**FRAME, 'speed': 'x'})
    assert bench.session.state_line == f'telemetry cannot be read: {bench.session.last_error}'
    bench.session.set_held(bench.now, True)
    bench.drive('a')
    assert bench.session.state_line == 'held: emergency stop'
    bench.telemetry('a', None)
    assert bench.session.state_line == 'driven by hand (held)'
    bench.manager.disconnected(bench.now, 'a')
    assert bench.session.state_line == 'no simulator connected (held)'


def test_speed_of_a_car_without_a_simulator_is_zero(bench):
    bench.drive('a')
    speeds = (bench.session.speed_mps, bench.session.signed_speed_mps)
    assert speeds == pytest.approx((4.4704, 4.4704))
    bench.manager.disconnected(bench.now, 'a')
    assert (bench.session.speed_mps, bench.session.signed_speed_mps) == (0.0, 0.0)


def test_comma_culture_is_mirrored(bench):
    comma = {**FRAME, 'steering_angle': '0,0000', 'throttle': '0,0000', 'speed': '10,0000'}
    bench.telemetry('a', comma)
    bench.now += 0.1
    bench.manager.expire(bench.now)
    assert bench.heard('a')[-1]['throttle'] == '0,000000'


def test_a_new_token_before_the_first_telemetry_is_plain_zero(bench):
    bench.connect('a')
    bench.manager.expire(0.5)
    assert bench.heard('a') == [{'steering_angle': '0', 'throttle': '0'}]


def test_farewell_is_the_last_word(bench):
    bench.drive('a')
    bench.telemetry('a')
    bench.manager.close()
    bench.session.steering(bench.now, bench.stamp, 0.3)
    bench.manager.expire(bench.now + 10.0)
    assert bench.heard('a')[-1] == COAST


def test_nobody_is_sent_anything_after_the_farewell(bench):
    bench.drive('a')
    bench.telemetry('b')
    bench.manager.close()
    heard = len(bench.sent)
    bench.manager.expire(bench.now + PROBATION_S)
    for sid in 'ab':
        bench.manager.disconnected(bench.now, sid)
    assert len(bench.sent) == heard
    assert bench.manager.simulators == 0


def test_of_several_that_wait_the_one_with_the_newest_telemetry_gets_the_car(bench):
    bench.drive('a')
    for sid in 'bcdc':
        bench.telemetry(sid)
        bench.now += 0.01
    bench.manager.disconnected(bench.now, 'a')
    assert bench.driver(0) == 'c'


def test_latencies_are_those_of_answers_not_of_new_tokens(bench):
    bench.drive('a')
    bench.now += 1.0
    bench.manager.expire(bench.now)
    assert list(bench.session.latencies_s) == pytest.approx([0.06])


def test_held_car_has_no_latency_because_the_nodes_are_not_needed(bench):
    bench.drive('a')
    assert bench.session.latency_s == pytest.approx(0.06)
    bench.session.set_held(bench.now, True)
    bench.telemetry('a')
    bench.manager.expire(bench.now + 0.05)
    assert bench.session.latency_s is None
    assert list(bench.session.latencies_s) == pytest.approx([0.06])


@pytest.fixture
def fleet():
    return Bench(cars=3)


def test_each_simulator_gets_the_first_free_car_and_keeps_it(fleet):
    for sid in 'abc':
        fleet.drive(sid)
    assert [fleet.driver(number) for number in range(3)] == ['a', 'b', 'c']
    fleet.manager.disconnected(fleet.now, 'b')
    fleet.manager.disconnected(fleet.now, 'a')
    fleet.drive('d')
    fleet.drive('c')
    assert [fleet.driver(number) for number in range(3)] == ['d', None, 'c']


def test_each_car_is_answered_with_its_own_commands_to_its_own_simulator(fleet):
    stamps = {}
    for sid in 'abc':
        fleet.telemetry(sid)
        stamps[sid] = fleet.stamp
    fleet.now += 0.06
    for session, sid in zip(fleet.sessions, 'abc', strict=True):
        session.throttle(fleet.now, 0.5)
        for other in 'abc':
            if other != sid:
                session.steering(fleet.now, stamps[other], -0.4)
    assert fleet.sent == [], 'nobody is answered with the steering of another'
    for number in (2, 0, 1):
        fleet.sessions[number].steering(fleet.now, stamps['abc'[number]], -0.1 * (number + 1))
    assert [to for to, _, _ in fleet.sent] == ['c', 'a', 'b']
    angles = [float(data['steering_angle']) for _, _, data in fleet.sent]
    assert angles == pytest.approx([0.6875, 0.2292, 0.4584], abs=1e-4)


def test_car_without_a_simulator_comes_before_that_of_a_silent_one(fleet):
    fleet.drive('a')
    fleet.now += SILENCE_S
    fleet.drive('b')
    assert [fleet.driver(number) for number in range(3)] == ['a', 'b', None]


def test_surplus_simulator_steals_no_car_and_takes_the_one_that_becomes_free(fleet):
    for sid in 'abc':
        fleet.drive(sid)
    fleet.connect('d')
    fleet.telemetry('d')
    fleet.telemetry('d')
    for _ in range(20):
        for sid in 'abc':
            fleet.drive(sid)
    assert fleet.heard('d') == []
    assert fleet.manager.simulators == 4
    fleet.manager.disconnected(fleet.now, 'b')
    assert [fleet.driver(number) for number in range(3)] == ['a', 'd', 'c']
    assert len(fleet.heard('d')) == 1, 'one answer for what it sent'
    fleet.drive('d')
    assert len(fleet.heard('d')) == 2
    fleet.manager.disconnected(fleet.now, 'a')
    fleet.manager.expire(fleet.now)
    assert fleet.driver(0) is None, 'one car is enough for a simulator'


def test_surplus_simulator_takes_the_car_of_one_that_fell_silent(fleet):
    for sid in 'abc':
        fleet.drive(sid)
    for _ in range(20):
        fleet.now += 0.1
        fleet.drive('a')
        fleet.drive('c')
    fleet.drive('d')
    assert [fleet.driver(number) for number in range(3)] == ['a', 'd', 'c']
    before = len(fleet.heard('b'))
    fleet.telemetry('b')
    fleet.telemetry('b')
    assert fleet.heard('b')[before:] == [COAST]


def test_of_several_that_wait_the_newest_gets_the_car_of_a_silent_one(fleet):
    for sid in 'abc':
        fleet.drive(sid)
    for sid in 'defe':
        fleet.telemetry(sid)
        fleet.now += 0.01
    fleet.now = fleet.sessions[0].free_s
    fleet.manager.expire(fleet.now)
    assert fleet.driver(0) == 'e'


def test_surplus_simulator_that_takes_a_car_has_one_answer_for_its_two_telemetries(fleet):
    for sid in 'abc':
        fleet.drive(sid)
    fleet.telemetry('d')
    fleet.now += SILENCE_S
    fleet.drive('d')
    assert fleet.driver(0) == 'd'
    assert len(fleet.heard('d')) == 1


def test_one_car_stops_alone_when_nobody_steers_it(fleet):
    for _ in range(3):
        for sid in 'abc':
            fleet.drive(sid)
    for _ in range(8):
        fleet.telemetry('b')
        fleet.now += 0.1
        fleet.manager.expire(fleet.now)
        fleet.drive('a')
    assert fleet.sessions[0].state is State.DRIVING
    assert fleet.sessions[1].state is State.STOPPED
    assert float(fleet.heard('b')[-1]['throttle']) < 0.0
    assert (fleet.sessions[0].counters.timeouts, fleet.sessions[1].counters.timeouts) == (0, 8)


def test_every_car_halts_at_the_farewell(fleet):
    for sid in 'abc':
        fleet.drive(sid)
    fleet.manager.close()
    assert [fleet.heard(sid)[-1] for sid in 'abc'] == [COAST] * 3


def test_one_drives_until_it_is_silent_gone_or_displaced(bench):
    def drives():
        return [bench.manager.drives(bench.now, sid) for sid in 'ab']

    assert drives() == [False, False]
    bench.connect('a')
    bench.connect('b')
    bench.telemetry('a')
    assert drives() == [True, False]
    bench.displace('b')
    assert drives() == [False, True]
    bench.now += SILENCE_S + 0.1
    assert drives() == [False, False]
    bench.drive('b')
    bench.manager.disconnected(bench.now, 'b')
    assert drives() == [True, False]


def test_a_waiting_simulator_gets_the_car_of_one_that_falls_silent(bench):
    bench.drive('a')
    bench.displace('b')
    bench.telemetry('a')
    bench.telemetry('a')
    heard = len(bench.heard('a'))
    bench.now = bench.manager.sessions[0].client.heard_s + SILENCE_S - 0.01
    bench.manager.expire(bench.now)
    assert bench.driver(0) == 'b'
    assert bench.manager.next_deadline() <= bench.now + 0.011
    bench.now += 0.01
    bench.manager.expire(bench.now)
    assert bench.driver(0) == 'a'
    assert bench.heard('a')[heard:] == [COAST]


def test_a_newcomer_drives_though_a_later_one_left_at_once(bench):
    bench.drive('a')
    bench.now += 0.1
    bench.telemetry('b')
    bench.now += 0.1
    bench.telemetry('c')
    bench.manager.disconnected(bench.now, 'c')
    bench.now += PROBATION_S
    bench.manager.expire(bench.now)
    assert bench.driver(0) == 'b'
