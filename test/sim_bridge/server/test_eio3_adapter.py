# SPDX-License-Identifier: Apache-2.0
"""What passes a client's WebSocket, with a list in place of the socket."""

import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_bridge.protocol.websocket_frames import (
    CONTINUATION,
    PING,
    TEXT,
    apply_mask,
    encode_frame,
    take_continuations,
)
from sim_bridge.server.eio3_adapter import EIO3, MALFORMED_AT_MOST, Eio3Adapter, may_pass
from sim_bridge.simulator.client_protocol import encode_text


class Wire:
    """A WebSocket whose client says these messages and leaves."""

    def __init__(self, *messages, **environ):
        self.messages = list(messages)
        self.environ = environ
        self.socket = SimpleNamespace()
        self.sent = []
        self.closed = False

    def wait(self):
        return self.messages.pop(0) if self.messages and not self.closed else None

    def send(self, message):
        self.sent.append(message)

    def close(self):
        self.closed = True


def heard(wire, on_malformed=lambda: None):
    """Everything that Engine.IO gets to hear."""
    adapter = Eio3Adapter(wire, on_malformed)
    return list(iter(adapter.wait, None))


def test_simulator_that_pings_first_is_opened_and_answered():
    wire = Wire('2', '42["telemetry",{}]', '2')
    assert heard(wire) == ['40', '42["telemetry",{}]']
    assert wire.sent == ['3', '3']
    assert wire.environ[EIO3]


def test_simulator_that_sends_first_is_opened():
    assert heard(Wire('42["telemetry",null]', '41', '1')) == [
        '40', '42["telemetry",null]', '41', '1',
    ]  # fmt: skip


def test_modern_client_is_untouched():
    wire = Wire('40', '2', '42["telemetry",null]')
    assert heard(wire) == ['40', '2', '42["telemetry",null]']
    assert EIO3 not in wire.environ


def test_a_bare_pong_decides_nothing():
    assert heard(Wire('3', '2', '41')) == ['3', '40', '41']


def test_one_that_admits_its_age_is_opened_at_once():
    assert heard(Wire(**{EIO3: True})) == ['40'], 'before its first message'
    assert heard(Wire('42["telemetry"]', **{EIO3: True})) == ['40', '42["telemetry"]']


@pytest.mark.parametrize(
    'message',
    [b'', b'\x00', b'42["telemetry"]', '', '4', '0{}', '7', 'x', '43[]', '44{}', '45-["x"]', '46',
     '4[[[[', '٤2["telemetry"]', '2prob', '1' * 10, '{}', '\x00'],
)  # fmt: skip
def test_what_nobody_has_reason_to_send_is_dropped_and_counted(message):
    counted = []
    assert heard(Wire(message, '40'), lambda: counted.append(1)) == ['40']
    assert counted == [1]


def test_a_client_that_goes_on_is_shut_out():
    wire = Wire(*['junk'] * 1000, '40')
    counted = []
    assert heard(wire, lambda: counted.append(1)) == []
    assert len(counted) == MALFORMED_AT_MOST
    assert wire.closed


@given(st.one_of(st.text(max_size=30), st.binary(max_size=30)))
def test_what_passes_is_a_digit_that_engine_io_can_read(message):
    if may_pass(message):
        assert message[0] in '123456'
        assert message[0] != '4' or message[1] in '012'


@given(st.binary(max_size=3000), st.tuples(*[st.integers(0, 255)] * 4), st.integers(0, 9))
def test_unmask_is_rfc_6455(data, mask, offset):
    expected = bytes(byte ^ mask[(offset + i) % 4] for i, byte in enumerate(data))
    assert apply_mask(data, mask, len(data), offset) == expected


@pytest.mark.parametrize('size', [1016 + 126, 3 * 1016, 17 * 1016 + 700])
def test_continuations_are_unmasked_at_once(size):
    rng = random.Random(size)
    text = ''.join(rng.choices('abcdefgh', k=size))
    _, *rest = encode_text(text, lambda: rng.randbytes(4))
    stream = b''.join(rest)
    assert take_continuations(stream + b'next') == (text[1016:].encode(), len(stream), True)


def test_continuations_end_before_what_is_unfinished_short_or_of_another_kind():
    whole = encode_frame(CONTINUATION, bytes(200), b'abcd', final=False)
    assert take_continuations(whole + whole[:100]) == (bytes(200), len(whole), False)
    for other in (
        encode_frame(TEXT, bytes(200), b'abcd'),
        encode_frame(PING, b'', b'abcd'),
        encode_frame(CONTINUATION, b'short', b'abcd'),
        b'\x00\x7e\x00\xc8' + bytes(200),
    ):
        assert take_continuations(other) == (b'', 0, False)
        assert take_continuations(whole + other) == (bytes(200), len(whole), False)
    ending = encode_frame(CONTINUATION, bytes(200), b'abcd', final=True)
    assert take_continuations(ending + whole) == (bytes(200), len(ending), True)
