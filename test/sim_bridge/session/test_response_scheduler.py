# SPDX-License-Identifier: Apache-2.0
"""One answer per token, of the right frame, in time."""

import math

import pytest

from sim_bridge.control.stop_controller import PROBE_THROTTLE
from sim_bridge.protocol.types import COAST
from sim_bridge.session.response_scheduler import ResponseScheduler
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.session.tokens import CHECK_EVERY, WATCHED
from steering_net.vehicle import REVERSE_BELOW_MPS

FRAME = 1 / 60
LIMITS = AnswerTimeouts()


class Bench:
    """A scheduler with a clock of its own and a list of its answers."""

    def __init__(self):
        self.now = 100.0
        self.scheduler = ResponseScheduler(LIMITS, self.now)
        self.answers = []
        self.stamp = 0

    def note(self, answer):
        if answer is not None:
            self.answers.append((self.now, answer))
        return answer

    def telemetry(self, speed=5.0):
        self.stamp += 1
        self.scheduler.telemetry(self.now, self.stamp, speed)
        return self.stamp

    def steering(self, stamp, rad=0.1):
        return self.note(self.scheduler.steering(self.now, stamp, rad))

    def throttle(self, value=0.5):
        return self.note(self.scheduler.throttle(self.now, value))

    def until(self, moment):
        """Let time pass, with every deadline kept."""
        while self.scheduler.next_deadline() <= moment:
            self.now = max(self.now, self.scheduler.next_deadline())
            self.note(self.scheduler.expire(self.now))
        self.now = moment

    def settle(self):
        """Bring the scheduler to normal driving, in which no other token is expected."""
        self.telemetry()
        self.throttle()
        self.steering(self.stamp)
        self.until(self.now + LIMITS.settle_s)
        assert len(self.answers) == 1
        for _ in range(WATCHED):
            self.frame()
        self.answers.clear()
        return self

    def frame(self, steering=True, throttle=True, speed=5.0):
        """One frame of driving, with or without its commands."""
        self.telemetry(speed)
        if throttle:
            self.throttle()
        if steering:
            self.steering(self.stamp)
        self.until(self.now + FRAME)

    def accelerate(self):
        """Drive to 6.5 m/s, which shows that the car moves forward."""
        for number in range(30):
            self.frame(speed=5.0 + 0.05 * number)


@pytest.fixture
def bench():
    return Bench()


def test_answer_comes_with_the_steering_of_its_own_frame(bench):
    bench.settle()
    stamp = bench.telemetry()
    assert bench.throttle(0.7) is None
    assert bench.steering(stamp - 1) is None
    answer = bench.steering(stamp, 0.2)
    assert (answer.command.steering_rad, answer.command.throttle) == (0.2, 0.7)
    assert answer.latency_s == 0.0
    assert bench.scheduler.counters.late_commands == 1
    assert bench.scheduler.state is State.DRIVING


def test_a_token_is_answered_once(bench):
    bench.settle()
    stamp = bench.telemetry()
    assert bench.throttle() is None
    assert bench.steering(stamp)
    assert bench.steering(stamp) is None
    assert bench.throttle() is None


def test_without_a_new_throttle_the_last_one_serves_for_a_while(bench):
    bench.settle()
    for _ in range(5):
        bench.telemetry()
        assert bench.steering(bench.stamp).command.throttle == 0.5
        bench.now += FRAME
    bench.now += LIMITS.command_timeout_s
    bench.telemetry()
    assert bench.steering(bench.stamp) is None


def test_two_tokens_of_a_connect_collapse_into_one(bench):
    first = bench.telemetry()
    bench.throttle()
    assert bench.steering(first) is None, 'the first is held back for its twin'
    bench.now += 0.02
    second = bench.telemetry()
    bench.throttle()
    assert bench.steering(second) is None, 'more of them may come in the same client frame'
    bench.until(bench.now + LIMITS.gather_s)
    assert len(bench.answers) == 1
    bench.until(bench.now + 0.3)
    assert len(bench.answers) == 1
    assert bench.scheduler.counters.superseded == 1


def test_steering_of_a_collapsed_token_is_not_called_late(bench):
    first = bench.telemetry()
    bench.telemetry()
    bench.steering(first)
    assert bench.scheduler.counters.late_commands == 0


def test_a_lone_first_token_is_answered_after_the_settle_time(bench):
    start = bench.now
    bench.throttle()
    bench.steering(bench.telemetry())
    bench.until(start + 0.3)
    assert [when for when, _ in bench.answers] == pytest.approx([start + LIMITS.settle_s])


def test_commands_that_came_in_time_are_sent_though_the_server_is_late(bench):
    stamp = bench.telemetry()
    bench.throttle(0.5)
    bench.steering(stamp, 0.2)
    bench.now += 3.0
    answer = bench.scheduler.expire(bench.now)
    assert (answer.command.steering_rad, answer.command.throttle) == (0.2, 0.5)
    assert bench.scheduler.counters.timeouts == 0


def test_first_answer_without_commands_is_straight_ahead(bench):
    assert state_after_a_timeout(bench) is State.DEGRADED
    assert bench.answers[-1][1].command == COAST


@pytest.mark.parametrize('speed_mps', [5.0, 0.0])
def test_timeout_answers_with_last_steering_and_no_throttle(bench, speed_mps):
    bench.settle()
    start = bench.now
    bench.telemetry(speed_mps)
    bench.throttle()
    bench.until(start + 0.2)
    when, answer = bench.answers[-1]
    assert when == pytest.approx(start + LIMITS.command_timeout_s)
    assert (answer.command.steering_rad, answer.command.throttle) == (0.1, 0.0)
    assert bench.scheduler.counters.timeouts == 1
    assert bench.scheduler.state is State.DEGRADED


@pytest.mark.parametrize('dead', ['steering', 'throttle'])
def test_a_dead_node_brakes_the_car_within_0_6_seconds(bench, dead):
    bench.settle()
    for _ in range(10):
        bench.frame()
    death = bench.now
    while bench.now < death + 1.0:
        answered = len(bench.answers)
        bench.frame(**{dead: False})
        if len(bench.answers) == answered:
            bench.until(bench.scheduler.next_deadline())
    braking = [when for when, answer in bench.answers if answer.command.throttle == -1.0]
    assert death < braking[0] <= death + 0.6
    assert bench.scheduler.state is State.STOPPED


def test_first_fresh_pair_drives_on(bench):
    bench.settle()
    for _ in range(100):
        bench.frame(steering=False, speed=1.0)
    assert bench.scheduler.state is State.STOPPED
    bench.until(bench.now + 0.2)
    bench.telemetry(speed=0.0)
    bench.throttle(0.4)
    bench.steering(bench.stamp)
    bench.until(bench.now + LIMITS.gather_s)
    assert bench.answers[-1][1].command.throttle == 0.4
    assert bench.scheduler.state is State.DRIVING


def test_a_pause_of_the_simulator_counts_against_nobody(bench):
    bench.settle()
    bench.now += 60.0
    bench.scheduler.expire(bench.now)
    bench.telemetry()
    bench.throttle()
    bench.steering(bench.stamp)
    bench.until(bench.now + 0.1)
    assert bench.answers[-1][1].command.throttle == 0.5
    assert bench.scheduler.counters.timeouts == 0


def test_silence_is_followed_by_keepalives_with_growing_pauses(bench):
    bench.settle()
    start = bench.now - FRAME
    bench.until(start + 20.0)
    keepalives = [when - start for when, answer in bench.answers if answer.latency_s is None]
    assert keepalives == pytest.approx([0.5, 1.5, 3.5, 7.5, 15.5])
    assert bench.scheduler.state is State.WAITING
    assert all(answer.command.throttle == 0.0 for _, answer in bench.answers)


def test_pauses_between_keepalives_are_bounded(bench):
    bench.until(bench.now + 600.0)
    times = [when for when, _ in bench.answers]
    assert times[-1] - times[-2] == pytest.approx(LIMITS.keepalive_at_most_every_s)


def test_a_needless_keepalive_leaves_one_token(bench):
    """The simulator merely paused: its own token and the one of the keepalive both come back."""
    bench.settle()
    bench.until(bench.now + 0.6)
    before = len(bench.answers)
    first = bench.telemetry()
    bench.throttle()
    bench.steering(first)
    bench.now += 0.01
    bench.steering(bench.telemetry())
    bench.until(bench.now + 0.3)
    assert len(bench.answers) == before + 1


def test_bad_packet_keeps_its_token_alive(bench):
    bench.settle()
    bench.scheduler.bad_packet(bench.now)
    bench.until(bench.now + LIMITS.gather_s)
    ((_, answer),) = bench.answers
    assert (answer.command.throttle, answer.latency_s) == (0.0, None)
    assert bench.scheduler.counters.bad_packets == 1


def test_newest_telemetry_that_cannot_be_read_is_the_state_until_a_good_one(bench):
    bench.settle()
    bench.scheduler.bad_packet(bench.now)
    assert bench.scheduler.state is State.UNREADABLE
    bench.until(bench.now + 2.0)
    assert bench.scheduler.state is State.UNREADABLE, 'a keepalive does not make it better'
    bench.telemetry()
    assert bench.scheduler.state is not State.UNREADABLE


@pytest.mark.parametrize('speed_mps', [6.0, None])
def test_bad_packets_alone_brake_the_car(bench, speed_mps):
    bench.settle()
    start = bench.now
    while bench.now < start + 1.0:
        bench.scheduler.bad_packet(bench.now, speed_mps)
        bench.until(bench.now + FRAME)
    braking = [when for when, answer in bench.answers if answer.command.throttle == -1.0]
    # Nothing is known of its direction, which is found out first.
    assert start < braking[0] <= start + 0.7


@pytest.mark.parametrize('speed_mps', [1.0, 5.0, 13.4])
def test_brake_does_not_become_reverse_where_no_speed_can_be_read(bench, speed_mps):
    bench.settle()
    bench.frame(speed=speed_mps)
    while bench.now < 120.0:
        bench.scheduler.bad_packet(bench.now)
        bench.until(bench.now + FRAME)
    hard = [when for when, answer in bench.answers if answer.command.throttle == -1.0]
    needed_s = max(0.0, speed_mps - REVERSE_BELOW_MPS) / 6.5
    assert (len(hard) - 1) * FRAME <= needed_s + 2 * FRAME
    assert bench.answers[-1][1].command.throttle >= 0.0


def test_manual_driving_ends_every_wait(bench):
    bench.settle()
    bench.telemetry()
    bench.scheduler.manual(bench.now)
    bench.until(bench.now + 0.3)
    assert [answer.command for _, answer in bench.answers] == [None]
    assert bench.scheduler.state is State.MANUAL


def stop(bench):
    """Let the steering fail until the car is braked."""
    while bench.scheduler.state is not State.STOPPED:
        bench.frame(steering=False)


def state_after_a_timeout(bench):
    """State of the car after one more frame without commands."""
    bench.telemetry()
    bench.until(bench.now + LIMITS.command_timeout_s)
    return bench.scheduler.state


def test_car_that_was_driven_by_hand_is_not_braked_for_what_was_missed_before(bench):
    bench.settle()
    stop(bench)
    bench.scheduler.manual(bench.now)
    bench.until(bench.now + FRAME)
    assert state_after_a_timeout(bench) is State.DEGRADED


def test_direction_of_a_car_that_was_driven_by_hand_is_found_out_anew(bench):
    """A person may have put it into reverse, where the brake would drive it on."""
    bench.settle()
    bench.accelerate()
    bench.note(bench.scheduler.set_held(bench.now, True))
    bench.frame(speed=6.5)
    assert bench.answers[-1][1].command.throttle == -1.0
    bench.scheduler.manual(bench.now)
    bench.until(bench.now + FRAME)
    bench.frame(speed=6.5)
    assert bench.answers[-1][1].command.throttle == PROBE_THROTTLE


def test_steering_waits_for_the_first_throttle(bench):
    assert bench.steering(bench.telemetry()) is None
    bench.until(bench.now + 0.9 * LIMITS.command_timeout_s)
    assert bench.answers == []
    assert bench.throttle(0.5).command.throttle == 0.5


def test_car_that_was_braked_once_coasts_again_at_the_next_missed_command(bench):
    bench.settle()
    stop(bench)
    for _ in range(10):
        bench.frame()
    assert bench.scheduler.state is State.DRIVING
    assert state_after_a_timeout(bench) is State.DEGRADED


def test_steering_for_a_braked_frame_alone_does_not_release_the_brake(bench):
    bench.settle()
    stop(bench)
    bench.until(bench.now + LIMITS.command_timeout_s)
    stamp = bench.telemetry()
    bench.throttle()
    bench.until(bench.now + 2 * LIMITS.gather_s)
    assert bench.steering(stamp) is None, 'the frame is answered already'
    assert state_after_a_timeout(bench) is State.STOPPED


def test_nodes_that_have_just_become_ready_get_the_whole_stop_timeout(bench):
    bench.settle()
    bench.note(bench.scheduler.set_nodes_ready(bench.now, False))
    start = bench.now
    while bench.now < start + 0.8 * LIMITS.stop_timeout_s:
        bench.telemetry()
        bench.until(bench.now + LIMITS.command_timeout_s)
    bench.note(bench.scheduler.set_nodes_ready(bench.now, True))
    assert state_after_a_timeout(bench) is State.DEGRADED
    assert state_after_a_timeout(bench) is State.DEGRADED


def test_pause_adds_no_age_to_commands_that_were_missed_before_it(bench):
    bench.settle()
    assert state_after_a_timeout(bench) is State.DEGRADED
    bench.scheduler.set_paused(bench.now, True)
    bench.until(bench.now + 60.0)
    bench.scheduler.set_paused(bench.now, False)
    assert state_after_a_timeout(bench) is State.DEGRADED


def test_time_between_single_steps_adds_no_age_either(bench):
    bench.settle()
    bench.scheduler.set_paused(bench.now, True)
    for _ in range(3):
        assert state_after_a_timeout(bench) is State.PAUSED
        assert bench.answers[-1][1].command.throttle == 0.0, 'it coasts'
        bench.until(bench.now + 60.0)


def test_resumed_simulator_gets_no_keepalive_for_its_pause(bench):
    bench.settle()
    bench.scheduler.set_paused(bench.now, True)
    bench.until(bench.now + 60.0)
    assert bench.scheduler.expire(bench.now) is None, 'other cars may be due'
    bench.scheduler.set_paused(bench.now, False)
    bench.until(bench.now + 0.9 * LIMITS.keepalive_after_s)
    assert bench.scheduler.counters.keepalives == 0


@pytest.mark.parametrize(
    ('nodes_ready', 'is_held', 'state'),
    [(True, False, State.WAITING), (False, False, State.ABSENT), (False, True, State.WAITING)],
)
def test_state_before_the_first_answer_says_what_is_awaited(nodes_ready, is_held, state):
    scheduler = ResponseScheduler(LIMITS, 0.0, nodes_ready=nodes_ready, is_held=is_held)
    assert scheduler.state is State.WAITING
    scheduler.telemetry(0.0, 1, 0.0)
    assert scheduler.state is state


KINDS = ('frame', 'manual', 'bad')


class Client:
    """A simulator with so many tokens: each frame spends those that it has, 5 ms apart."""

    RENDERING_S = 0.005
    COMPUTING_S = 0.003

    def __init__(self, bench, kind, tokens):
        self.bench = bench
        self.kind = kind
        self.tokens = tokens
        self.sent = []

    def frames(self, count):
        """Run for so many client frames; telemetries of each."""
        self.sent = [self.frame() for _ in range(count)]
        return self.sent

    def frame(self):
        start, sent = self.bench.now, self.tokens
        before = len(self.bench.answers)
        for _ in range(sent):
            self.spend()
            self.bench.until(self.bench.now + self.RENDERING_S)
        self.bench.until(max(self.bench.now, start + FRAME))
        self.tokens = len(self.bench.answers) - before
        return sent

    def spend(self):
        bench = self.bench
        if self.kind == 'manual':
            bench.scheduler.manual(bench.now)
        elif self.kind == 'bad':
            bench.scheduler.bad_packet(bench.now, 5.0)
        elif self.kind == 'frame without commands':
            bench.telemetry()
        else:
            stamp, start = bench.telemetry(), bench.now
            bench.until(start + self.COMPUTING_S)
            bench.throttle()
            bench.steering(stamp)
            bench.now = start

    def freeze(self, seconds):
        """Nothing is read and nothing sent: what is answered meanwhile are tokens later."""
        before = len(self.bench.answers)
        self.bench.until(self.bench.now + seconds)
        self.tokens += len(self.bench.answers) - before


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('tokens', [1, 2, 3, 6])
def test_every_connect_ends_with_one_token(bench, kind, tokens):
    client = Client(bench, kind, tokens)
    assert client.frames(60)[4:] == [1] * 56


@pytest.mark.parametrize('kind', KINDS)
def test_freezes_leave_one_token(bench, kind):
    client = Client(bench, kind, tokens=2)
    client.frames(60)
    for _ in range(5):
        client.freeze(4.0)
        assert client.frames(100)[5:] == [1] * 95
    assert bench.scheduler.counters.keepalives > 5


@pytest.mark.parametrize('kind', KINDS)
def test_token_that_came_out_of_nowhere_ends_at_the_next_check(bench, kind):
    client = Client(bench, kind, tokens=2)
    client.frames(60)
    client.tokens += 3
    client.frames(CHECK_EVERY)
    assert client.frames(10) == [1] * 10


@pytest.mark.parametrize('is_held', [False, True])
def test_extra_token_of_a_braked_car_ends_in_one_frame(bench, is_held):
    client = Client(bench, 'frame', tokens=2)
    client.frames(60)
    if is_held:
        bench.note(bench.scheduler.set_held(bench.now, True))
    else:
        client.kind = 'frame without commands'
        client.frames(120)
        assert bench.scheduler.state is State.STOPPED
    client.frames(WATCHED)
    client.tokens += 1
    assert client.frames(3) == [2, 1, 1]


def test_kinds_collapse_into_each_other(bench):
    client = Client(bench, 'frame', tokens=2)
    client.frames(60)
    for number in range(200):
        client.kind = KINDS[number % 3]
        client.tokens += number % 20 == 0
        client.frame()
    client.kind = 'manual'
    client.frames(3)
    assert client.frames(10) == [1] * 10


def test_frame_of_a_standing_car_waits_for_the_nodes_and_is_no_timeout(bench):
    bench.scheduler = ResponseScheduler(LIMITS, bench.now, nodes_ready=False)
    start = bench.now
    bench.telemetry(speed=0.0)
    assert bench.scheduler.state is State.ABSENT
    bench.until(start + 0.4)
    assert bench.answers == []
    answer = bench.note(bench.scheduler.set_nodes_ready(bench.now, True))
    assert (answer.command.throttle, answer.latency_s) == (0.0, None)
    bench.throttle()
    bench.steering(bench.telemetry(speed=0.0))
    bench.until(bench.now + LIMITS.gather_s)
    assert bench.answers[-1][1].command.throttle == 0.5
    assert bench.scheduler.state is State.DRIVING
    assert (bench.scheduler.counters.timeouts, bench.scheduler.counters.keepalives) == (0, 0)


def test_standing_car_is_looked_at_now_and_then_while_it_waits_for_the_nodes(bench):
    bench.scheduler = ResponseScheduler(LIMITS, bench.now, nodes_ready=False)
    start = bench.now
    while bench.now < start + 5.0:
        bench.telemetry(speed=0.0)
        bench.until(bench.scheduler.next_deadline())
        if not bench.answers or bench.scheduler.has_waiting:
            bench.until(bench.scheduler.next_deadline())
    assert 8 <= len(bench.answers) <= 11
    assert {answer.command.throttle for _, answer in bench.answers} == {0.0}
    assert (bench.scheduler.counters.timeouts, bench.scheduler.counters.keepalives) == (0, 0)


def test_moving_car_is_braked_where_no_nodes_are_and_driven_when_they_come(bench):
    bench.scheduler = ResponseScheduler(LIMITS, bench.now, nodes_ready=False)
    start = bench.now
    while bench.now < start + 1.0:
        bench.telemetry(speed=6.0)
        while bench.scheduler.has_waiting:
            bench.until(bench.scheduler.next_deadline())
    braking = [when for when, answer in bench.answers if answer.command.throttle == -1.0]
    assert braking[0] <= start + 0.7
    assert len(bench.answers) > 40, 'a slope asks for quick answers'
    assert bench.scheduler.state is State.ABSENT
    bench.note(bench.scheduler.set_nodes_ready(bench.now, True))
    bench.throttle()
    bench.steering(bench.telemetry())
    bench.until(bench.now + LIMITS.gather_s)
    assert bench.scheduler.state is State.DRIVING
    assert bench.scheduler.counters.timeouts == 0


def test_commands_of_nodes_that_do_not_say_that_they_are_there_drive(bench):
    bench.scheduler = ResponseScheduler(LIMITS, bench.now, nodes_ready=False)
    bench.settle()
    assert bench.scheduler.state is State.DRIVING


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_commands_that_are_not_finite_are_rejected(bench, value):
    bench.settle()
    bench.telemetry()
    bench.steering(bench.stamp, value)
    bench.throttle(value)
    assert bench.answers == []
    assert bench.scheduler.counters.rejected_commands == 2


@pytest.mark.parametrize(('throttle', 'limit'), [(3.0, 1.0), (1e30, 1.0), (-5.0, -1.0)])
def test_throttle_beyond_its_limits_counts_as_the_limit(throttle, limit):
    """The estimate of speed and slope expects the effect of the throttle that is sent."""
    answers = []
    for value in (throttle, limit):
        bench = Bench().settle()
        bench.accelerate()
        stamp = bench.telemetry(speed=6.5)
        bench.throttle(value)
        answers.append(bench.steering(stamp))
    assert answers[0] == answers[1]


def test_no_token_is_lost_or_doubled_in_10000_frames(bench):
    bench.settle()
    before = bench.scheduler.counters.telemetry
    for _ in range(10_000):
        bench.frame()
    counters = bench.scheduler.counters
    assert counters.telemetry == counters.answers == before + 10_000
    assert (counters.timeouts, counters.keepalives, counters.superseded) == (0, 0, 0)


@pytest.mark.parametrize('field', [name for name in vars(LIMITS) if name != 'lock_step'])
@pytest.mark.parametrize('value', [0.0, -1.0, math.nan, math.inf])
def test_bad_limit_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        AnswerTimeouts(**{field: value})


def test_stop_timeout_shorter_than_command_timeout_is_refused():
    with pytest.raises(ValueError, match='stop_timeout is'):
        AnswerTimeouts(command_timeout_s=0.2, stop_timeout_s=0.1)


def test_braked_car_is_answered_at_once_and_driven_when_a_steering_comes_in_time(bench):
    bench.settle()
    while bench.scheduler.state is not State.STOPPED:
        bench.telemetry(speed=5.0)
        bench.throttle()
        bench.until(bench.now + FRAME)
    for _ in range(20):
        stamp = bench.telemetry(speed=5.0)
        bench.throttle()
        bench.until(bench.now + 2 * LIMITS.gather_s)
        assert not bench.scheduler.has_waiting
    late = bench.scheduler.counters.late_commands
    bench.steering(stamp)
    assert bench.scheduler.counters.late_commands == late
    stamp = bench.telemetry(speed=5.0)
    bench.throttle()
    bench.until(bench.now + 0.5 * LIMITS.command_timeout_s)
    assert bench.scheduler.has_waiting, 'the network is back: its steering is waited for'
    bench.steering(stamp)
    assert bench.scheduler.state is State.DRIVING


def test_braked_car_is_not_driven_on_by_a_steering_that_comes_too_late(bench):
    bench.settle()
    stamps = []
    while bench.now < 104.0:
        stamps.append((bench.now, bench.telemetry(speed=5.0)))
        bench.throttle()
        bench.until(bench.now + FRAME)
        while stamps and bench.now - stamps[0][0] > 2 * LIMITS.command_timeout_s:
            bench.steering(stamps.pop(0)[1])
    assert bench.scheduler.state is State.STOPPED


BRAKING = {-1.0, PROBE_THROTTLE}
"""Throttles of a stop: it first finds out the direction of a car that has not reacted yet."""


def test_held_car_is_braked_with_the_newest_steering_until_the_first_fresh_pair(bench):
    bench.settle()
    bench.telemetry()
    assert bench.note(bench.scheduler.set_held(bench.now, True)), 'the frame that waited'
    for rad in (0.1, 0.2, 0.3):
        bench.steering(bench.telemetry(), rad)
        bench.throttle(0.5)
        bench.until(bench.now + FRAME)
        assert bench.answers[-1][1].command.steering_rad == rad
        assert bench.scheduler.state is State.HELD
    assert {answer.command.throttle for _, answer in bench.answers} <= BRAKING
    bench.telemetry()
    assert bench.note(bench.scheduler.set_held(bench.now, False)) is None
    answer = bench.steering(bench.stamp, 0.4) or bench.throttle(0.5)
    bench.until(bench.now + LIMITS.gather_s)
    assert (answer or bench.answers[-1][1]).command.throttle == 0.5
    assert bench.scheduler.state is State.DRIVING
    assert bench.scheduler.counters.timeouts == 0


@pytest.mark.parametrize('fault', ['no commands', 'no nodes', 'bad packets', 'slow network'])
def test_held_car_is_answered_within_a_frame_whatever_the_nodes_do(bench, fault):
    bench.settle()
    if fault == 'no nodes':
        bench.scheduler.set_nodes_ready(bench.now, False)
    bench.note(bench.scheduler.set_held(bench.now, True))
    bench.answers.clear()
    for _ in range(60):
        sent = bench.now
        if fault == 'bad packets':
            bench.scheduler.bad_packet(bench.now, 5.0)
        else:
            bench.telemetry()
        if fault == 'slow network':
            bench.steering(bench.stamp - 4, 0.2)
        bench.until(bench.now + FRAME)
        when, answer = bench.answers[-1]
        assert sent <= when < sent + FRAME
        assert answer.command.throttle in BRAKING
    assert len(bench.answers) == 60
    if fault == 'slow network':
        assert bench.answers[-1][1].command.steering_rad == 0.2, 'it came within the timeout'


def test_release_without_fresh_commands_keeps_the_brake(bench):
    bench.settle()
    bench.scheduler.set_held(bench.now, True)
    bench.frame()
    bench.note(bench.scheduler.set_held(bench.now, False))
    bench.answers.clear()
    for _ in range(10):
        bench.frame(steering=False)
    bench.until(bench.now + LIMITS.command_timeout_s)
    assert bench.answers
    assert {answer.command.throttle for _, answer in bench.answers} <= BRAKING


def test_keepalive_of_a_held_car_brakes(bench):
    bench.settle()
    bench.scheduler.set_held(bench.now, True)
    bench.until(bench.now + LIMITS.keepalive_after_s)
    ((_, answer),) = bench.answers
    assert answer.command.throttle in BRAKING
