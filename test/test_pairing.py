"""One answer per token, of the right frame, in time."""

import math

import pytest

from sim_bridge.pairing import Limits, Pairing, State

FRAME = 1 / 60
LIMITS = Limits()


class Bench:
    """A pairing with a clock of its own and a list of what it answered."""

    def __init__(self):
        self.now = 100.0
        self.pairing = Pairing(LIMITS, self.now)
        self.answers = []
        self.stamp = 0

    def note(self, answer):
        if answer is not None:
            self.answers.append((self.now, answer))
        return answer

    def telemetry(self, speed=5.0):
        self.stamp += 1
        self.pairing.telemetry(self.now, self.stamp, speed)
        return self.stamp

    def steering(self, stamp, rad=0.1):
        return self.note(self.pairing.steering(self.now, stamp, rad))

    def throttle(self, value=0.5):
        return self.note(self.pairing.throttle(self.now, value))

    def until(self, moment):
        """Let time pass, with every deadline kept."""
        while self.pairing.next_deadline() <= moment:
            self.now = max(self.now, self.pairing.next_deadline())
            self.note(self.pairing.expire(self.now))
        self.now = moment

    def settle(self):
        """Bring the pairing to normal driving."""
        self.telemetry()
        self.throttle()
        self.steering(self.stamp)
        self.until(self.now + LIMITS.settle_s)
        assert len(self.answers) == 1
        return self

    def frame(self, steering=True, throttle=True, speed=5.0):
        """One frame of driving, with or without its commands."""
        self.telemetry(speed)
        if throttle:
            self.throttle()
        if steering:
            self.steering(self.stamp)
        self.until(self.now + FRAME)


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
    assert bench.pairing.counters.late_commands == 1
    assert bench.pairing.state is State.DRIVING


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
    assert bench.steering(second)
    bench.until(bench.now + 0.3)
    assert len(bench.answers) == 1
    assert bench.pairing.counters.collapsed == 1


def test_steering_of_a_collapsed_token_is_not_called_late(bench):
    first = bench.telemetry()
    bench.telemetry()
    bench.steering(first)
    assert bench.pairing.counters.late_commands == 0


def test_a_lone_first_token_is_answered_after_the_settle_time(bench):
    start = bench.now
    bench.settle()
    assert bench.answers[0][0] == pytest.approx(start + LIMITS.settle_s)


def test_timeout_answers_with_last_steering_and_no_throttle(bench):
    bench.settle()
    start = bench.now
    bench.telemetry()
    bench.throttle()
    bench.until(start + 0.2)
    when, answer = bench.answers[-1]
    assert when == pytest.approx(start + LIMITS.command_timeout_s)
    assert (answer.command.steering_rad, answer.command.throttle) == (0.1, 0.0)
    assert bench.pairing.counters.timeouts == 1
    assert bench.pairing.state is State.DEGRADED


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
            bench.until(bench.pairing.next_deadline())
    braking = [when for when, answer in bench.answers if answer.command.throttle == -1.0]
    assert death < braking[0] <= death + 0.6
    assert bench.pairing.state is State.STOPPED


def test_first_fresh_pair_drives_on(bench):
    bench.settle()
    for _ in range(100):
        bench.frame(steering=False, speed=1.0)
    assert bench.pairing.state is State.STOPPED
    bench.until(bench.now + 0.2)
    bench.telemetry(speed=0.0)
    bench.throttle(0.4)
    assert bench.steering(bench.stamp).command.throttle == 0.4
    assert bench.pairing.state is State.DRIVING


def test_a_pause_of_the_simulator_counts_against_nobody(bench):
    bench.settle()
    bench.now += 60.0
    bench.pairing.expire(bench.now)
    bench.telemetry()
    bench.throttle()
    bench.steering(bench.stamp)
    bench.until(bench.now + 0.1)
    assert bench.answers[-1][1].command.throttle == 0.5
    assert bench.pairing.counters.timeouts == 0


def test_silence_is_kicked_once_then_with_growing_pauses(bench):
    bench.settle()
    start = bench.now
    bench.until(start + 20.0)
    kicks = [when - start for when, answer in bench.answers if answer.latency_s is None]
    assert kicks == pytest.approx([0.5, 1.5, 3.5, 7.5, 15.5])
    assert all(answer.command.throttle == 0.0 for _, answer in bench.answers[1:])


def test_pauses_between_kicks_are_bounded(bench):
    bench.until(bench.now + 600.0)
    times = [when for when, _ in bench.answers]
    assert times[-1] - times[-2] == pytest.approx(LIMITS.kick_at_most_every_s)


def test_a_needless_kick_leaves_one_token(bench):
    """The simulator merely paused: its own token and the one of the kick both come back."""
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
    answer = bench.note(bench.pairing.bad_packet(bench.now))
    assert answer.command.throttle == 0.0
    assert bench.pairing.counters.bad_packets == 1


def test_bad_packets_alone_brake_the_car(bench):
    bench.settle()
    for _ in range(40):
        bench.note(bench.pairing.bad_packet(bench.now))
        bench.now += FRAME
    assert bench.answers[-1][1].command.throttle == -1.0


def test_manual_driving_ends_every_wait(bench):
    bench.settle()
    bench.telemetry()
    bench.pairing.manual(bench.now)
    bench.until(bench.now + 0.3)
    assert len(bench.answers) == 1
    assert bench.pairing.state is State.MANUAL


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_commands_that_are_not_finite_are_rejected(bench, value):
    bench.settle()
    bench.telemetry()
    bench.steering(bench.stamp, value)
    bench.throttle(value)
    assert len(bench.answers) == 1
    assert bench.pairing.counters.rejected_commands == 2


def test_no_token_is_lost_or_doubled_in_10000_frames(bench):
    bench.settle()
    for _ in range(10_000):
        bench.frame()
    counters = bench.pairing.counters
    assert (counters.telemetry, counters.answers) == (10_001, 10_001)
    assert (counters.timeouts, counters.kicks, counters.collapsed) == (0, 0, 0)


@pytest.mark.parametrize('field', list(vars(LIMITS)))
@pytest.mark.parametrize('value', [0.0, -1.0, math.nan, math.inf])
def test_bad_limit_is_named(field, value):
    with pytest.raises(ValueError, match=field):
        Limits(**{field: value})


def test_stop_timeout_shorter_than_command_timeout_is_refused():
    with pytest.raises(ValueError, match='stop_timeout_s'):
        Limits(command_timeout_s=0.2, stop_timeout_s=0.1)
