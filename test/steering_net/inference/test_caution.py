# SPDX-License-Identifier: Apache-2.0
import pytest

from steering_net.inference.caution import MODES, Action, Caution


def actions(mode, spans, step_s=0.05):
    """The actions at the ends of spans of (uncertainty, seconds)."""
    caution, now_s, ends = Caution(mode), 0.0, []
    for uncertainty, seconds in spans:
        for _ in range(round(seconds / step_s)):
            now_s += step_s
            action = caution.add(uncertainty, now_s)
        ends.append(action)
    return ends


def test_an_unsure_network_slows_at_once_and_is_held_after_a_while():
    assert actions('hold', [(0.49, 5.0), (0.5, 1.1), (0.6, 0.2)]) == [
        Action.DRIVE, Action.SLOW, Action.HOLD,
    ]  # fmt: skip


def test_a_short_doubt_slows_only_and_ends_after_two_sure_seconds():
    assert actions('hold', [(0.9, 1.1), (0.1, 1.8), (0.1, 0.5)]) == [
        Action.SLOW, Action.SLOW, Action.DRIVE,
    ]  # fmt: skip


def test_doubts_with_a_sure_frame_between_them_do_not_add_up():
    assert actions('hold', [(0.9, 1.1), (0.1, 0.05), (0.9, 1.1)])[-1] is Action.SLOW


def test_a_car_that_is_released_is_not_held_again_before_the_network_was_sure():
    ends = actions('hold', [(0.9, 1.5), (0.9, 9.0), (0.1, 3.0), (0.9, 1.5)])
    assert ends == [Action.HOLD, Action.HOLD, Action.DRIVE, Action.HOLD]


@pytest.mark.parametrize('mode', MODES)
def test_the_mode_limits_what_a_car_does(mode):
    most = {'off': Action.DRIVE, 'warn': Action.DRIVE, 'slow': Action.SLOW, 'hold': Action.HOLD}
    assert actions(mode, [(0.9, 3.0)]) == [most[mode]]


def test_clock_that_is_set_back_delays_neither_the_hold_nor_its_end():
    caution = Caution('hold')
    caution.add(0.9, 5000.0)
    held = [caution.add(0.9, 0.1 * step) for step in range(14)]
    assert held[-1] is Action.HOLD
    free = [caution.add(0.1, 0.1 * step) for step in range(23)]
    assert free[-1] is Action.DRIVE


def test_pause_is_neither_doubt_nor_certainty():
    caution = Caution('hold')
    assert caution.add(0.9, 1.0) is Action.SLOW
    assert caution.add(0.9, 60.0) is Action.SLOW
    assert caution.add(0.1, 120.0) is Action.SLOW
