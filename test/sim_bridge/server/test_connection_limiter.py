# SPDX-License-Identifier: Apache-2.0
"""Connections: the newest gets in, the one silent for longest goes, a storm has to wait."""

import pytest

from sim_bridge.server.connection_limiter import ConnectionLimiter


def no_client(_key):
    return False


def test_the_oldest_that_opened_no_websocket_makes_room_first():
    limiter = ConnectionLimiter(no_client, at_most=3)
    for name in 'abc':
        assert limiter.admit(name) is None
    limiter.promote('a')
    assert [limiter.admit(name) for name in 'de'] == ['b', 'c']
    assert (len(limiter), limiter.evicted) == (3, 2)


def test_among_websockets_the_one_silent_for_longest_goes():
    limiter = ConnectionLimiter(no_client, at_most=3)
    for name in 'abc':
        limiter.admit(name)
        limiter.promote(name)
    limiter.heard('a')
    assert limiter.admit('d') == 'b'


def test_one_that_keeps_talking_survives_any_number_of_newcomers():
    limiter = ConnectionLimiter(no_client, at_most=5)
    limiter.admit('driver')
    limiter.promote('driver')
    evicted = []
    for number in range(1000):
        evicted.append(limiter.admit(number))
        limiter.promote(number)
        limiter.heard('driver')
    assert 'driver' not in evicted
    assert len(limiter) == 5


def test_one_that_drives_stays_whoever_speaks_after_it():
    limiter = ConnectionLimiter(lambda key: key == 'driver', at_most=3)
    for name in ('driver', 'a', 'b'):
        limiter.admit(name)
        limiter.promote(name)
    assert limiter.admit('c') == 'a'
    limiter.promote('c')
    assert [limiter.admit('d'), limiter.admit('e')] == ['b', 'd']


def test_where_all_drive_somebody_still_makes_room():
    limiter = ConnectionLimiter(lambda _key: True, at_most=2)
    for name in 'ab':
        limiter.admit(name)
        limiter.promote(name)
    assert limiter.admit('c') == 'a'


def test_one_that_left_makes_room():
    limiter = ConnectionLimiter(no_client, at_most=1)
    limiter.admit('a')
    limiter.leave('a')
    assert limiter.admit('b') is None


def test_what_is_unknown_is_left_alone():
    limiter = ConnectionLimiter(no_client)
    limiter.promote('x')
    limiter.heard('x')
    limiter.leave('x')
    assert len(limiter) == 0


def test_a_burst_is_let_in_and_a_storm_is_slowed_down():
    limiter = ConnectionLimiter(no_client, at_most=10, per_second=100.0, burst=50)
    now, admitted = 1000.0, 0
    while now < 1002.0:
        pause = limiter.pause_s(now)
        if pause:
            now += max(pause, 1e-4)
        else:
            limiter.admit(admitted)
            admitted += 1
    assert admitted == pytest.approx(50 + 200, abs=2)


def test_credit_does_not_pile_up():
    limiter = ConnectionLimiter(no_client, per_second=100.0, burst=2)
    limiter.pause_s(1e6)
    for name in 'ab':
        assert limiter.pause_s(1e6) == 0.0
        limiter.admit(name)
    assert limiter.pause_s(1e6) == pytest.approx(0.01)
