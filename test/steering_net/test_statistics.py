"""Percentiles and rates."""

import pytest

from steering_net.statistics import RateMeter, percentiles_ms


def test_percentiles_are_nearest_rank():
    assert percentiles_ms([n / 1000 for n in range(1, 101)]) == {
        'p50': 50.0,
        'p99': 99.0,
        'max': 100.0,
    }
    assert percentiles_ms([0.002]) == {'p50': 2.0, 'p99': 2.0, 'max': 2.0}
    assert percentiles_ms([0.003, 0.001]) == {'p50': 1.0, 'p99': 3.0, 'max': 3.0}


def test_no_latencies_have_no_percentiles():
    assert percentiles_ms([]) == {'p50': None, 'p99': None, 'max': None}


def test_rate_of_regular_events():
    meter = RateMeter()
    for number in range(200):
        meter.tick(number / 60)
    assert meter.hz(200 / 60) == pytest.approx(60.0)


def test_rate_forgets():
    meter = RateMeter(memory_s=2.0)
    for number in range(10):
        meter.tick(number / 10)
    assert meter.hz(1.0) == pytest.approx(10.0)
    assert meter.hz(5.0) == 0.0


def test_one_event_is_no_rate():
    meter = RateMeter()
    meter.tick(0.0)
    assert meter.hz(0.0) == 0.0
