"""Connections: the newest gets in, the one silent for longest goes, a storm has to wait."""

import pytest

from sim_bridge.server.connection_limiter import Gate


def nobody(_key):
    return False


def test_the_oldest_that_opened_no_websocket_makes_room_first():
    gate = Gate(nobody, at_most=3)
    for name in 'abc':
        assert gate.admit(name) is None
    gate.promote('a')
    assert [gate.admit(name) for name in 'de'] == ['b', 'c']
    assert (len(gate), gate.evicted) == (3, 2)


def test_among_websockets_the_one_silent_for_longest_goes():
    gate = Gate(nobody, at_most=3)
    for name in 'abc':
        gate.admit(name)
        gate.promote(name)
    gate.heard('a')
    assert gate.admit('d') == 'b'


def test_one_that_keeps_talking_survives_any_number_of_newcomers():
    gate = Gate(nobody, at_most=5)
    gate.admit('driver')
    gate.promote('driver')
    evicted = []
    for number in range(1000):
        evicted.append(gate.admit(number))
        gate.promote(number)
        gate.heard('driver')
    assert 'driver' not in evicted
    assert len(gate) == 5


def test_one_that_drives_stays_whoever_speaks_after_it():
    gate = Gate(lambda key: key == 'driver', at_most=3)
    for name in ('driver', 'a', 'b'):
        gate.admit(name)
        gate.promote(name)
    assert gate.admit('c') == 'a'
    gate.promote('c')
    assert [gate.admit('d'), gate.admit('e')] == ['b', 'd']


def test_where_all_drive_somebody_still_makes_room():
    gate = Gate(lambda _key: True, at_most=2)
    for name in 'ab':
        gate.admit(name)
        gate.promote(name)
    assert gate.admit('c') == 'a'


def test_one_that_left_makes_room():
    gate = Gate(nobody, at_most=1)
    gate.admit('a')
    gate.leave('a')
    assert gate.admit('b') is None


def test_what_is_unknown_is_left_alone():
    gate = Gate(nobody)
    gate.promote('x')
    gate.heard('x')
    gate.leave('x')
    assert len(gate) == 0


def test_a_burst_is_let_in_and_a_storm_is_slowed_down():
    gate = Gate(nobody, at_most=10, per_second=100.0, burst=50)
    now, admitted = 1000.0, 0
    while now < 1002.0:
        pause = gate.pause_s(now)
        if pause:
            now += max(pause, 1e-4)
        else:
            gate.admit(admitted)
            admitted += 1
    assert admitted == pytest.approx(50 + 200, abs=2)


def test_credit_does_not_pile_up():
    gate = Gate(nobody, per_second=100.0, burst=2)
    gate.pause_s(1e6)
    for name in 'ab':
        assert gate.pause_s(1e6) == 0.0
        gate.admit(name)
    assert gate.pause_s(1e6) == pytest.approx(0.01)
