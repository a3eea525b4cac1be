# SPDX-License-Identifier: Apache-2.0
"""Faults of a network, as its outputs show them."""

import pytest

from steering_net.inference.output_monitor import (
    UNMOVED_FRAMES,
    WINDOW_FRAMES,
    Level,
    OutputMonitor,
)

FULL_LOCK_RAD = 0.4


class Bench:
    def __init__(self):
        self.now = 0.0
        self.monitor = OutputMonitor(FULL_LOCK_RAD, clock=lambda: self.now)
        self.frames = 0

    def answer(self, *angles, same_frame=False):
        for angle in angles:
            self.frames += not same_frame
            self.monitor.add(angle, 0.5, f'frame {self.frames}')

    def verdict(self):
        level, summary, _ = self.monitor.take(1.0)
        return level, summary.partition(':')[0]


@pytest.fixture
def bench():
    return Bench()


def test_figures_are_those_of_the_period(bench):
    assert bench.verdict() == (Level.OK, 'no frames')
    bench.answer(*(0.01 * i for i in range(20)))
    level, summary, values = bench.monitor.take(2.0)
    assert (level, summary) == (Level.OK, 'steering')
    assert (values['frames'], values['rate_hz']) == ('20', '10.0')
    assert (values['answer_p50_ms'], values['answer_max_ms']) == ('0.500', '0.500')
    assert bench.monitor.take(1.0)[2]['rate_hz'] == '0.0'


def test_constant_over_different_frames_is_a_fault(bench):
    bench.answer(*[0.1] * (UNMOVED_FRAMES + 1))
    assert bench.verdict() == (Level.WARN, 'the steering is constant')
    assert bench.monitor.is_faulty
    bench.answer(0.11)
    assert bench.verdict() == (Level.OK, 'steering')
    assert not bench.monitor.is_faulty


def test_constant_over_one_and_the_same_frame_is_none(bench):
    bench.answer(*[0.1] * 10 * UNMOVED_FRAMES, same_frame=True)
    assert bench.verdict() == (Level.OK, 'steering')


@pytest.mark.parametrize('side', [1.0, -1.0])
def test_full_lock_for_most_frames_is_a_fault_and_a_bend_is_none(bench, side):
    for _ in range(WINDOW_FRAMES // 10):
        bench.answer(*(side * angle for angle in (*[FULL_LOCK_RAD] * 7, 0.1, 0.2, 0.3)))
    assert bench.verdict() == (Level.OK, 'steering')
    for _ in range(WINDOW_FRAMES // 10):
        bench.answer(*(side * angle for angle in (*[FULL_LOCK_RAD] * 9, 0.1)))
    assert bench.verdict() == (Level.WARN, 'the steering is saturated')
    bench.monitor.forget()
    bench.answer(0.1)
    assert bench.verdict() == (Level.OK, 'steering')


def test_no_number_is_an_error_that_passes_but_stays_counted(bench):
    bench.answer(0.1)
    bench.monitor.bad_output()
    bench.monitor.bad_frame('it cannot be decoded')
    assert bench.verdict() == (Level.ERROR, 'the output of the network is not finite')
    bench.now += 6.0
    level, _, values = bench.monitor.take(1.0)
    assert (level, values['bad_outputs'], values['bad_frames']) == (0, '1', '1')


def test_frame_that_is_dropped_is_a_warning_with_its_reason_that_passes(bench):
    bench.answer(0.1)
    bench.monitor.bad_frame('it cannot be decoded')
    told = 'some frames are dropped: it cannot be decoded'
    assert bench.monitor.take(1.0)[:2] == (Level.WARN, told)
    assert bench.monitor.take(1.0)[:2] == (Level.WARN, told), 'though no frame came since'
    bench.now += 6.0
    assert bench.verdict() == (Level.OK, 'no frames')


def test_another_network_is_not_blamed_for_the_one_before(bench):
    bench.answer(*[0.1] * (UNMOVED_FRAMES + 1))
    bench.monitor.bad_output()
    assert bench.monitor.is_faulty
    bench.monitor.forget()
    assert not bench.monitor.is_faulty
