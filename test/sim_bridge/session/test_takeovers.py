# SPDX-License-Identifier: Apache-2.0
"""Which commands of a person are a takeover."""

from sim_bridge.session.takeovers import CONTINUED_S, TakeoverDetector


def takeovers(*spans):
    """Number of takeovers when `network`, `person` or nothing drives for these seconds each."""
    detector, now, found = TakeoverDetector(), 0.0, 0
    for who, seconds in spans:
        for _ in range(round(10 * seconds)):
            now += 0.1
            if who == 'person':
                found += detector.person(now)
            elif who == 'network':
                detector.network()
    return found


def test_each_return_to_the_wheel_counts_once():
    assert takeovers(*(('network', 2.0), ('person', 3.0)) * 3) == 3


def test_takeover_at_the_first_moments_counts():
    assert takeovers(('network', 0.1), ('person', 0.1)) == 1


def test_person_at_the_wheel_from_the_beginning_takes_nothing_over():
    assert takeovers(('person', 5.0)) == 0
    assert takeovers(('person', 5.0), ('network', 2.0), ('person', 1.0)) == 1


def test_short_breaks_belong_to_one_takeover():
    flicker = (('network', CONTINUED_S - 0.3), ('person', 0.2)) * 9
    assert takeovers(('network', 5.0), ('person', 1.0), *flicker) == 1
    assert takeovers(('network', 5.0), ('person', 1.0), *flicker, ('network', 2.0)) == 1


def test_person_who_was_only_stopped_takes_nothing_over_again():
    assert takeovers(('network', 5.0), ('person', 1.0), ('hold', 9.0), ('person', 1.0)) == 1


def test_person_after_a_network_that_failed_takes_over():
    assert takeovers(('network', 5.0), ('braked', 9.0), ('person', 1.0)) == 1


def test_stop_alone_is_none():
    assert takeovers(('network', 5.0), ('hold', 9.0), ('network', 5.0)) == 0
