# SPDX-License-Identifier: Apache-2.0
"""The simulator's half of the wire: literal bytes both ways, and a real socket."""

import json
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from helpers.raw_server import OPEN, RawServer, Seen, server_text, unmask
from helpers.waiting import poll_until
from sim_bridge.protocol.types import Control, Telemetry
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.protocol.websocket_frames import encode_frame
from sim_bridge.simulator.client import Client, parse_url
from sim_bridge.simulator.client_protocol import (
    AbortError,
    CarCommand,
    ClientProtocol,
    Received,
    check_upgrade_reply,
    encode_text,
    upgrade_request,
)
from steering_net.vehicle import MAX_STEERING_RAD

MASK = bytes([1, 2, 3, 4])


def protocol(culture: str = 'en-US') -> ClientProtocol:
    return ClientProtocol(CULTURES[culture], lambda: MASK)


def receive(text: str, culture: str = 'en-US') -> Received:
    return protocol(culture).receive(server_text(text))


@pytest.mark.parametrize('control', Control)
def test_request_gives_no_token_and_loses_none(control: Control) -> None:
    received = receive(f'42["{control.value}",{{}}]')
    assert received.commands == [control]
    assert (received.tokens, received.steers, received.lost) == (0, 0, 0)


def test_upgrade_request_is_the_real_ones() -> None:
    assert upgrade_request('127.0.0.1', 4567) == (
        b'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n'
        b'User-Agent: websocket-sharp/1.0\r\n'
        b'Host: 127.0.0.1:4567\r\n'
        b'Upgrade: websocket\r\n'
        b'Connection: Upgrade\r\n'
        b'Sec-WebSocket-Key: c2ltX2JyaWRnZSB0cmFjaw==\r\n'
        b'Sec-WebSocket-Version: 13\r\n\r\n'
    )
    assert b'\r\nHost: [::1]:4567\r\n' in upgrade_request('::1', 4567)


@pytest.mark.parametrize(
    'head',
    [
        b'HTTP/1.1 400 Bad Request',
        b'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate',
        b'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat',
        b'',
    ],
)
def test_replies_that_the_client_refuses(head: bytes) -> None:
    check_upgrade_reply(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket')
    with pytest.raises(AbortError):
        check_upgrade_reply(head)


def test_ping_is_a_masked_text_frame() -> None:
    assert protocol().ping() == [b'\x81\x81\x01\x02\x03\x04' + bytes([ord('2') ^ 1])]


def test_frame_lengths_have_three_forms() -> None:
    assert encode_frame(1, b'a' * 125, MASK)[:2] == b'\x81\xfd'
    assert encode_frame(1, b'a' * 126, MASK)[:4] == b'\x81\xfe\x00\x7e'
    assert encode_frame(1, b'a' * 65536, MASK)[:10] == b'\x81\xff' + (65536).to_bytes(8, 'big')
    assert encode_frame(1, b'abcde', MASK)[6:] == bytes([97 ^ 1, 98 ^ 2, 99 ^ 3, 100 ^ 4, 101 ^ 1])


@pytest.mark.parametrize(
    ('size', 'heads'),
    [(1016, [0x81]), (1017, [0x01, 0x80]), (2032, [0x01, 0x80]), (2033, [0x01, 0x00, 0x80])],
)
def test_long_text_goes_out_in_fragments_of_1016(size: int, heads: list[int]) -> None:
    frames = encode_text('x' * size, lambda: MASK)
    assert [frame[0] for frame in frames] == heads
    assert all(frame[1:4] == b'\xfe\x03\xf8' for frame in frames[:-1])


def test_quit_says_41_then_1_then_closes_without_status() -> None:
    frames = protocol().quitting()
    assert frames == [
        b'\x81\x82\x01\x02\x03\x04' + bytes([ord('4') ^ 1, ord('1') ^ 2]),
        b'\x81\x81\x01\x02\x03\x04' + bytes([ord('1') ^ 1]),
        b'\x88\x80\x01\x02\x03\x04',
    ]


def test_manual_driving_says_null() -> None:
    (frame,) = protocol().telemetry(None)
    assert unmask(frame) == b'42["telemetry",null]'


def test_server_frames_may_come_byte_by_byte_and_in_fragments() -> None:
    client = protocol()
    data = b'\x01\x02' + b'42' + b'\x89\x01!' + b'\x80\x0a' + b'["manual"]'
    parts = [client.receive(bytes([byte])) for byte in data]
    assert sum(part.tokens for part in parts) == 1
    assert [frame for part in parts for frame in part.replies] == [
        b'\x8a\x81\x01\x02\x03\x04' + bytes([ord('!') ^ 1])
    ]


def test_good_steer_moves_the_car_and_gives_a_token() -> None:
    got = receive('42["steer",{"steering_angle":"-0.5","throttle":"0.3"}]')
    assert got.commands == [CarCommand(pytest.approx(0.5 * MAX_STEERING_RAD), pytest.approx(0.3))]
    assert (got.tokens, got.steers, got.lost) == (1, 1, 0)


@pytest.mark.parametrize('text', ['40', '41', '44{"a":1}', '1', '3', '6', '7'])
def test_ignored_packets_change_nothing(text: str) -> None:
    got = receive(text)
    assert (got.replies, got.commands, got.tokens, got.lost) == ([], [], 0, 0)


@pytest.mark.parametrize('text', [OPEN, '42["manual"]', '42["manual",{}]', '42/ns,7["manual",{}]'])
def test_what_gives_one_token(text: str) -> None:
    assert receive(text).tokens == 1


@pytest.mark.parametrize(
    'data',
    [
        '"other",{}',
        '"Steer",{"steering_angle":"0","throttle":"0"}',
        '"steer",{"throttle":"0"}',
        '"steer",{"steering_angle":0.1,"throttle":0.1}',
        '"steer",{"steering_angle":"nan","throttle":"0"}',
    ],
)
def test_what_is_swallowed_loses_its_token(data: str) -> None:
    got = receive(f'42[{data}]')
    assert (got.tokens, got.steers, got.lost, got.commands) == (0, 0, 1, [])


@pytest.mark.parametrize('rest', ['', ',"throttle":"x"', ',"throttle":0.5'])
def test_bad_throttle_after_a_good_angle_still_turns_the_wheels(rest: str) -> None:
    got = receive('42["steer",{"steering_angle":"1"' + rest + '}]')
    assert got.commands == [CarCommand(pytest.approx(-MAX_STEERING_RAD), None)]
    assert (got.tokens, got.lost) == (0, 1)


def test_german_machine_reads_a_point_as_thousands() -> None:
    wrong = receive('42["steer",{"steering_angle":"-0.050000","throttle":"0.3"}]', 'de-DE')
    right = receive('42["steer",{"steering_angle":"-0,050000","throttle":"0,3"}]', 'de-DE')
    assert wrong.commands[0].steering_rad == pytest.approx(MAX_STEERING_RAD)
    assert right.commands[0].steering_rad == pytest.approx(0.05 * MAX_STEERING_RAD)


@pytest.mark.parametrize(
    'text',
    ['', '4', '42["a",{},{}]', '42["a","b"]', '42["a",[]]', '42{', '42' + 60_000 * '['],
)
def test_what_aborts_the_connection(text: str) -> None:
    with pytest.raises(AbortError):
        receive(text)


@pytest.mark.parametrize(
    ('size', 'head'),
    [(125, b'\x7d'), (126, b'\x7e\x00\x7e'), (65_536, b'\x7f\x00\x00\x00\x00\x00\x01\x00\x00')],
)
def test_server_frames_of_every_length_are_read(size: int, head: bytes) -> None:
    frame = b'\x81' + head + b'42["manual"]'.ljust(size)
    client = protocol()
    assert client.receive(frame[:9]).tokens == 0
    assert client.receive(frame[9:] + frame).tokens == 2


@pytest.mark.parametrize(
    ('data', 'told'),
    [
        (b'\x82\x01x', 'binary'),
        (b'\x81\x81\x01\x02\x03\x04x', 'masked'),
        (b'\xc1\x01x', 'extended'),
        (b'\x81\x7f' + ((1 << 20) + 1).to_bytes(8, 'big'), 'a frame of 1048577 bytes'),
        (b'\x80\x01x', 'wrong sequence'),
        (b'\x01\x01x\x81\x01x', 'wrong sequence'),
        (
            b'\x01\x7f' + (1 << 20).to_bytes(8, 'big') + b'x' * (1 << 20) + b'\x00\x01x',
            'message of',
        ),
    ],
)
def test_frames_that_the_client_refuses(data: bytes, told: str) -> None:
    with pytest.raises(AbortError, match=told):
        protocol().receive(data)


def test_close_is_answered_with_its_code() -> None:
    got = protocol().receive(b'\x88\x04\x03\xe8no')
    assert got.closed
    (reply,) = got.replies
    assert (reply[0], unmask(reply)) == (0x88, b'\x03\xe8')


def test_engine_ping_of_the_server_is_answered_with_3() -> None:
    assert [unmask(frame) for frame in receive('2').replies] == [b'3']


@pytest.mark.parametrize(
    'url',
    [
        'http://a:1', '127.0.0.1:4567', 'ws://', '', 'ws://a..b:4567', 'ws://[::1', 'ws://a:b',
        'ws://127.0.0.1:99999', 'ws://a:0', f'ws://{"a" * 64}:1',
    ],
)  # fmt: skip
def test_bad_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r'^url is .*; it must be ws://HOST:PORT, as in ws://127'):
        parse_url(url)


@pytest.mark.parametrize(
    ('url', 'address'),
    [
        ('ws://localhost', ('localhost', 80)),
        ('ws://[::1]:4567', ('::1', 4567)),
        ('ws://münchen.example:1', ('xn--mnchen-3ya.example', 1)),
    ],
)
def test_url_gives_host_and_port(url: str, address: tuple[str, int]) -> None:
    assert parse_url(url) == address


@pytest.fixture
def server() -> Iterator[RawServer]:
    raw = RawServer([server_text(OPEN)])
    yield raw
    raw.close()


def make_client(url: str, culture: str = 'en-US') -> Client:
    return Client(url, CULTURES[culture], rng=random.Random(1))


TELEMETRY = Telemetry(
    steering_rad=0.1, throttle=0.3, speed_mps=9.0, jpeg=b'\xff\xd8' + b'x' * 6000
)


def test_connect_pings_and_owes_two_telemetries(server: RawServer) -> None:
    client = make_client(server.url)
    poll_until(client, lambda: client.tokens == 2 and server.messages() == [b'2'])
    assert server.requests[0].startswith(b'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1')
    client.quit()


def test_telemetry_arrives_in_1016_byte_fragments_with_german_numbers(server: RawServer) -> None:
    client = make_client(server.url, 'de-DE')
    poll_until(client, lambda: client.tokens == 2)
    client.send_telemetry(TELEMETRY)
    poll_until(client, lambda: server.telemetries() == 1)
    fragments = [frame for frame in server.frames if frame.payload != b'2']
    assert [len(frame.payload) for frame in fragments[:-1]] == [1016] * (len(fragments) - 1)
    assert [f.head for f in fragments] == [0x01] + [0x00] * (len(fragments) - 2) + [0x80]
    name, data = json.loads(server.messages()[1][2:])
    assert name == 'telemetry'
    assert list(data) == ['steering_angle', 'throttle', 'speed', 'image']
    assert (data['steering_angle'], data['throttle']) == ('-5,7296', '0,3000')
    assert client.tokens == 1
    client.quit()


def test_answer_is_timed_and_counted(server: RawServer) -> None:
    client = make_client(server.url)
    poll_until(client, lambda: client.tokens == 2)
    client.send_telemetry(None)
    client.send_telemetry(None)
    poll_until(client, lambda: server.telemetries() == 2)
    server.send(server_text('42["steer",{"steering_angle":"0.1","throttle":"0.2"}]'))
    poll_until(client, lambda: client.answers == 1)
    assert client.tokens == 1
    assert len(client.latencies_s) == 1
    assert 0.0 < client.latencies_s[0] < 5.0
    assert len(client.commands) == 1
    client.quit()


def test_quit_ends_with_41_1_and_a_bare_close(server: RawServer) -> None:
    client = make_client(server.url)
    poll_until(client, lambda: client.tokens == 2)
    client.quit()
    poll_until(make_client('ws://127.0.0.1:9'), lambda: len(server.frames) == 4)
    assert server.frames[1:] == [Seen(0x81, b'41'), Seen(0x81, b'1'), Seen(0x88, b'')]


def test_abort_leads_to_a_reconnect_with_the_same_key_and_fresh_tokens(server: RawServer) -> None:
    client = make_client(server.url)
    poll_until(client, lambda: client.tokens == 2)
    server.send(server_text('4'))
    poll_until(client, lambda: len(server.requests) == 2 and client.tokens == 2)
    assert server.requests[0] == server.requests[1]
    client.quit()


def test_all_addresses_of_a_name_are_tried_and_the_right_one_is_kept(
    server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, port = socket.SOCK_STREAM, parse_url(server.url)[1]
    found: list[Any] = [
        (socket.AF_INET6, stream, 6, '', ('::1', port, 0, 0)),
        (socket.AF_INET, stream, 6, '', ('127.0.0.1', port)),
    ]
    looked_up: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> list[Any]:
        looked_up.append(host)
        return found

    monkeypatch.setattr(socket, 'getaddrinfo', look_up)
    client = make_client(f'ws://localhost:{port}')
    poll_until(client, lambda: client.tokens == 2)
    assert (client.connections, looked_up) == (1, ['localhost'] * 2)
    server.send(server_text('4'))
    poll_until(client, lambda: client.connections == 2)
    assert looked_up == ['localhost'] * 3
    client.quit()


def test_server_that_comes_late_is_found_and_attempts_are_bounded() -> None:
    attempts: list[float] = []
    now_s = [0.0]

    class Counting(Client):
        def _connect(self) -> None:
            attempts.append(now_s[0])
            raise ConnectionRefusedError

    client = Counting('ws://127.0.0.1:4567', CULTURES['en-US'], clock=lambda: now_s[0])
    for _ in range(1000):
        client.poll(0.0)
        now_s[0] += 0.001
    assert 5 < len(attempts) <= 50


@pytest.mark.parametrize(('pong', 'wait_s', 'pings'), [(1, 24.9, 1), (1, 25.0, 2), (0, 99.0, 1)])
def test_ping_is_repeated_25_s_after_the_pong_and_never_without(
    server: RawServer, pong: int, wait_s: float, pings: int
) -> None:
    now_s = [0.0]
    client = Client(server.url, CULTURES['en-US'], clock=lambda: now_s[0])
    poll_until(client, lambda: client.tokens == 2)
    server.send(server_text('3') * pong + server_text('42["manual"]'))
    poll_until(client, lambda: client.tokens == 3)
    now_s[0] += wait_s
    client.poll(0.0)
    client.quit()
    poll_until(make_client('ws://127.0.0.1:9'), lambda: b'1' in server.messages())
    assert server.messages() == [b'2'] * pings + [b'41', b'1']
