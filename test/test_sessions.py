"""Which simulator drives, and what each of them hears."""

import base64

import pytest

from sim_bridge.pairing import Limits, State
from sim_bridge.sessions import PROBATION_S, SILENCE_S, Sessions

FRAME = {
    'steering_angle': '0.0000',
    'throttle': '0.0000',
    'speed': '10.0000',
    'image': base64.b64encode(b'\xff\xd8').decode(),
}
HALT = {'steering_angle': '0.000000', 'throttle': '0.000000'}


class Bench:
    def __init__(self):
        self.sent = []
        self.now = 0.0
        self.stamp = 0
        self.sessions = Sessions(Limits(), lambda *what: self.sent.append(what))

    def telemetry(self, sid, payload=FRAME):
        self.stamp += 1
        return self.sessions.telemetry(self.now, sid, payload, self.stamp)

    def drive(self, sid):
        """One frame with its commands, answered at once or after the settle time."""
        self.telemetry(sid)
        self.sessions.throttle(self.now, 0.5)
        self.sessions.steering(self.now, self.stamp, 0.1)
        self.now += 0.06
        self.sessions.expire(self.now)

    def displace(self, sid):
        """Have a newcomer send its telemetry and stay until it drives."""
        self.telemetry(sid)
        self.now += PROBATION_S
        self.sessions.expire(self.now)

    def heard(self, sid):
        return [data for to, _, data in self.sent if to == sid]


@pytest.fixture
def bench():
    return Bench()


def test_answer_goes_to_its_sender(bench):
    bench.sessions.connected(0.0, 'a', is_simulator=True)
    bench.drive('a')
    assert [(to, event) for to, event, _ in bench.sent] == [('a', 'steer')]
    assert bench.sessions.state is State.DRIVING


def test_a_client_that_only_listens_is_left_alone(bench):
    bench.drive('a')
    bench.sessions.connected(bench.now, 'page', is_simulator=False)
    bench.drive('a')
    assert bench.heard('page') == []
    assert len(bench.heard('a')) == 2


def test_newest_wins_and_the_other_hears_one_halt_and_then_nothing(bench):
    bench.drive('a')
    bench.displace('b')
    for _ in range(5):
        bench.drive('a')
        bench.drive('b')
    assert len(bench.heard('a')) == 2
    assert bench.heard('a')[-1] == HALT
    assert len(bench.heard('b')) == 6
    assert HALT not in bench.heard('b')[1:]


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
        bench.sessions.connected(bench.now, sid, is_simulator=True)
        bench.telemetry(sid)
        bench.drive('a')
        bench.sessions.disconnected(bench.now, sid)
    assert len(bench.heard('a')) == 101
    assert HALT not in bench.heard('a')


def test_an_idle_newcomer_stops_nobody(bench):
    bench.drive('a')
    bench.sessions.connected(bench.now, 'idle', is_simulator=True)
    for _ in range(100):
        bench.drive('a')
    assert len(bench.heard('a')) == 101
    assert bench.heard('idle') == []


def test_a_simulator_that_fell_silent_is_displaced_at_once(bench):
    bench.drive('a')
    bench.now += SILENCE_S
    bench.drive('b')
    assert len(bench.heard('b')) == 1
    assert bench.heard('b') != [HALT]


def test_displaced_in_the_middle_of_a_frame_it_is_halted_at_once(bench):
    bench.drive('a')
    bench.telemetry('b')
    bench.now += PROBATION_S
    bench.telemetry('a')
    bench.sessions.expire(bench.now)
    assert bench.heard('a')[-1] == HALT
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
    bench.sessions.disconnected(bench.now, 'b')
    assert len(bench.heard('a')) == before + 1
    bench.drive('a')
    assert len(bench.heard('a')) == before + 2


def test_the_one_that_remains_without_a_token_is_kicked(bench):
    bench.drive('a')
    bench.displace('b')
    bench.telemetry('a')
    before = len(bench.heard('a'))
    bench.sessions.disconnected(bench.now, 'b')
    bench.now = bench.sessions.next_deadline()
    bench.sessions.expire(bench.now)
    assert len(bench.heard('a')) == before + 1


def test_a_challenger_that_leaves_is_forgotten(bench):
    bench.drive('a')
    bench.telemetry('b')
    bench.sessions.disconnected(bench.now, 'b')
    bench.now += PROBATION_S
    bench.sessions.expire(bench.now)
    bench.drive('a')
    assert bench.heard('b') == []
    assert HALT not in bench.heard('a')


def test_nobody_left_means_nothing_is_due(bench):
    bench.drive('a')
    bench.sessions.disconnected(bench.now, 'a')
    assert bench.sessions.next_deadline() == float('inf')
    assert bench.sessions.state is None
    bench.sessions.expire(bench.now + 100.0)
    assert len(bench.sent) == 1


def test_manual_driving_is_answered_with_manual(bench):
    bench.drive('a')
    assert bench.telemetry('a', None) is None
    assert bench.sent[-1] == ('a', 'manual', {})


def test_bad_packet_is_answered_counted_and_named(bench):
    bench.drive('a')
    assert bench.telemetry('a', {**FRAME, 'speed': 'x'}) is None
    assert bench.sent[-1][1] == 'steer'
    assert bench.sessions.counters.bad_packets == 1
    assert 'speed' in bench.sessions.last_error


def test_comma_culture_is_mirrored(bench):
    comma = {**FRAME, 'steering_angle': '0,0000', 'throttle': '0,0000', 'speed': '10,0000'}
    bench.telemetry('a', comma)
    bench.now += 0.1
    bench.sessions.expire(bench.now)
    assert bench.heard('a')[-1]['throttle'] == '0,000000'


def test_kick_before_the_first_telemetry_is_plain_zero(bench):
    bench.sessions.connected(0.0, 'a', is_simulator=True)
    bench.sessions.expire(0.5)
    assert bench.heard('a') == [{'steering_angle': '0', 'throttle': '0'}]


def test_farewell_is_the_last_word(bench):
    bench.drive('a')
    bench.telemetry('a')
    bench.sessions.farewell()
    bench.sessions.steering(bench.now, bench.stamp, 0.3)
    bench.sessions.expire(bench.now + 10.0)
    assert bench.heard('a')[-1] == HALT


def test_latencies_are_those_of_answers_not_of_kicks(bench):
    bench.drive('a')
    bench.now += 1.0
    bench.sessions.expire(bench.now)
    assert list(bench.sessions.latencies_s) == pytest.approx([0.06])
