# SPDX-License-Identifier: Apache-2.0
"""Percentiles and rates."""

import pytest

from steering_net.statistics import RateMeter, correlation, percentile, percentiles_ms


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


@pytest.mark.parametrize(
    ('percent', 'expected'), [(0, 1.0), (1, 1.0), (25, 1.0), (26, 2.0), (50, 2.0), (100, 4.0)]
)
def test_a_percentile_is_one_of_the_values(percent, expected):
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == expected


def test_no_values_have_no_percentile():
    with pytest.raises(ValueError, match='percentile'):
        percentile([], 50)


def test_correlation_is_that_of_a_line_with_noise():
    assert correlation([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]) == pytest.approx(1.0)
    assert correlation([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, -1.0, 1.0]) == pytest.approx(0.0)
    assert correlation([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]) is None


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
