# SPDX-License-Identifier: Apache-2.0
"""A short run of the fuzzer, and that it would notice what it looks for."""

import pytest

from helpers import fuzz_wire
from sim_bridge.session.car_session import CarSession


def test_a_thousand_inputs_are_answered_once_and_raise_nothing():
    seen = fuzz_wire.fuzz(1000, seed=1)
    assert seen['accepted'] > 100
    assert seen['refused'] > 100
    assert seen['malformed'] > 100
    assert seen['undecodable'] > 0, 'what their header shows is refused before'
    assert seen['corpus'] > len(fuzz_wire.real_messages())


def test_a_second_answer_is_noticed(monkeypatch):
    send = CarSession._send_command
    monkeypatch.setattr(
        CarSession, '_send_command', lambda self, *what: (send(self, *what), send(self, *what))
    )
    with pytest.raises(fuzz_wire.Failure, match='answers'):
        fuzz_wire.fuzz(10, seed=2)


def test_a_missing_answer_is_noticed(monkeypatch):
    monkeypatch.setattr(CarSession, '_send_command', lambda *_: None)
    with pytest.raises(fuzz_wire.Failure, match='answers'):
        fuzz_wire.fuzz(10, seed=2)


def test_an_unforeseen_exception_is_noticed(monkeypatch):
    monkeypatch.setattr(fuzz_wire, 'decode_jpeg', lambda _jpeg: 1 / 0)
    with pytest.raises(fuzz_wire.Failure):
        fuzz_wire.fuzz(10, seed=2)
