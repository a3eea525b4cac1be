# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm, on real sockets: bounded, quiet, and never at the simulator's cost."""

import json
import logging
import os
import queue
import random
import socket
import struct
import threading
import time
import zlib
from contextlib import ExitStack, contextmanager, suppress

import pytest
import socketio

from helpers.echo import FRAME, STEER, TELEMETRY, Echo, page
from helpers.processes import start_attack
from helpers.waiting import poll_until, wait_for
from sim_bridge.protocol.websocket_frames import BINARY, CONTINUATION, TEXT, encode_frame
from sim_bridge.server import socketio_server
from sim_bridge.server.eio3_adapter import MAX_MESSAGE_BYTES
from sim_bridge.server.simulator_server import SimulatorServer, sleep

pytestmark = pytest.mark.real_time

MASK = b'\x01\x02\x03\x04'
HEAD = (
    'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\n'
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
    'Sec-WebSocket-Key: c2ltX2JyaWRnZSB0cmFjaw==\r\n{more}\r\n'
)


def connect(echo):
    return socket.create_connection(('127.0.0.1', echo.server.port), timeout=5)


def read_to_end(plain):
    """Everything until the server closes; AssertionError if it does not."""
    received = b''
    try:
        while chunk := plain.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    except TimeoutError as error:
        raise AssertionError(f'still open after {received[-200:]!r}') from error
    return received


def ask(echo, more='', host='127.0.0.1'):
    """The head of the answer to a request for a WebSocket."""
    with connect(echo) as plain:
        plain.sendall(HEAD.format(host=host, more=more).encode())
        return plain.recv(4096).decode('latin-1')


@contextmanager
def websocket(echo):
    """An open WebSocket, as a plain socket, its greeting read."""
    with connect(echo) as plain:
        plain.sendall(HEAD.format(host='x', more='').encode())
        received = b''
        while b'0{' not in received:
            received += plain.recv(4096)
        yield plain


def text(message, final=True, opcode=TEXT):
    data = message if isinstance(message, bytes) else message.encode()
    return encode_frame(opcode, data, MASK, final)


def drive_a_frame(simulator):
    """The simulator still gets its answer."""
    answers = simulator.answers
    poll_until(simulator, lambda: simulator.tokens > 0)
    simulator.send_telemetry(TELEMETRY)
    poll_until(simulator, lambda: simulator.answers > answers)


@pytest.fixture
def quick_deadline(monkeypatch):
    monkeypatch.setattr('sim_bridge.server.websocket._REQUEST_S', 0.5)


@pytest.mark.parametrize(
    ('host', 'origin', 'accepted'),
    [
        ('127.0.0.1:4567', 'http://127.0.0.1:4567', True),
        ('localhost:4567', 'http://localhost:4567', True),
        ('[::1]:4567', 'http://[::1]:4567', True),
        ('127.0.0.1:4567', 'http://evil.example', False),
        ('127.0.0.1:4567', 'https://127.0.0.1:4567', False),
        ('127.0.0.1:4567', 'http://127.0.0.1:8000', False),
        ('127.0.0.1:4567', 'null', False),
        ('127.0.0.1:4567', 'http://[', False),
        ('rebound.example:4567', 'http://rebound.example:4567', False),
    ],
)
def test_only_this_servers_own_pages_may_connect(echo, host, origin, accepted):
    status = ask(echo, f'Origin: {origin}\r\n', host).split('\r\n')[0]
    assert ('101' in status) is accepted


def test_compression_is_declined(echo):
    reply = ask(echo, 'Sec-WebSocket-Extensions: permessage-deflate\r\n')
    assert reply.startswith('HTTP/1.1 101')
    assert 'extensions' not in reply.lower()


def test_compressed_bomb_is_refused(echo):
    with websocket(echo) as plain:
        bomb = zlib.compress(bytes(10_000_000))
        plain.sendall(encode_frame(TEXT | 0x40, bomb[:60_000], MASK))
        assert b'\x88' in read_to_end(plain)


def test_protocols_of_old_are_refused(echo):
    with connect(echo) as plain:
        plain.sendall(
            b'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n'
            b'Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
        )
        assert plain.recv(4096).startswith(b'HTTP/1.1 400')


@pytest.mark.parametrize(
    'head',
    [
        b'GET /' + b'x' * 20_000 + b' HTTP/1.1\r\n\r\n',
        b'GET / HTTP/1.1\r\nX: ' + b'x' * 20_000 + b'\r\n\r\n',
        b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 20_000 + b'\r\n',
        b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\xff' * 200 + b'\r\n\r\n',
    ],
)
def test_endless_and_foreign_heads_are_refused(echo, head, capfd):
    with connect(echo) as plain:
        with suppress(ConnectionError):
            plain.sendall(head)
        assert b' 200 ' not in read_to_end(plain)[:20]
    assert capfd.readouterr().err == ''


def test_body_is_bounded(echo):
    sid = open_polling(echo)
    with connect(echo) as plain:
        plain.sendall(
            f'POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: 127.0.0.1\r\n'
            f'Content-Length: {MAX_MESSAGE_BYTES + 1}\r\n\r\n'.encode()
        )
        assert plain.recv(4096).startswith(b'HTTP/1.1 400')


def open_polling(echo):
    with connect(echo) as plain:
        plain.sendall(
            b'GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n'
        )
        return json.loads(read_to_end(plain).split(b'0{', 1)[1].join([b'{', b'']))['sid']


def test_one_frame_is_bounded(echo):
    with websocket(echo) as plain:
        plain.sendall(b'\x81\xff' + struct.pack('>Q', MAX_MESSAGE_BYTES + 1) + MASK)
        assert b'\x88' in read_to_end(plain)
    assert echo.payloads == []


@pytest.mark.parametrize(('size', 'count'), [(1000, 1100), (0, 5000)])
def test_fragments_are_bounded_in_sum_and_number(echo, size, count):
    with websocket(echo) as plain:
        plain.sendall(text('42', final=False))
        piece = text(b'x' * size, final=False, opcode=CONTINUATION)
        with suppress(ConnectionError):
            for _ in range(count):
                plain.sendall(piece)
        read_to_end(plain)


def test_the_largest_allowed_message_arrives(echo, simulator):
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.send_payload({**FRAME, 'image': '/' * (MAX_MESSAGE_BYTES - 200)})
    poll_until(simulator, lambda: simulator.answers == 1)


MALFORMED = [
    text(b'\x00\x01', opcode=BINARY),
    text('45-["telemetry",{"_placeholder":true,"num":0}]'),
    text('451-["telemetry",{"_placeholder":true,"num":9}]') + text(b'x', opcode=BINARY),
    text('4' + '[' * 100_000),
    text('42' + '[' * 100_000),
    text('42["telemetry",' + '{"a":' * 50_000),
    text('42'),
    text('42{"telemetry":1}'),
    text('42[]'),
    text('42[["telemetry"]]'),
    text('42["connect",{"sim_bridge.legacy":true}]'),
    text('42["disconnect","x"]'),
    text('42["telemetry",1,2]'),
    text('42/other,["telemetry"]'),
    text('42' + '9' * 200 + '["telemetry"]'),
    text('42["telemetry",' + '9' * 5000 + ']'),
    text('40{"deep":' + '[' * 100_000),
    text('40[[],'),
    text('43[]'),
    text('0{"sid":"x"}'),
    text(''),
    text('4'),
    text('\x00'),
    text('7'),
]


@pytest.mark.parametrize('number', range(len(MALFORMED)))
def test_malformed_messages_are_counted_in_silence_and_the_connection_lives(
    echo, number, capfd, logged
):
    with websocket(echo) as plain:
        plain.sendall(text('40') + MALFORMED[number] + text('42["telemetry",{"after":1}]'))
        wait_for(lambda: echo.payloads)
    assert echo.payloads == [{'after': 1}]
    assert list(echo.simulators.values()) == [False]
    assert echo.server.malformed > 0
    assert capfd.readouterr().err == ''
    assert not logged.records


@pytest.mark.parametrize('message', ['42[', '42["connect",{}]', 'x'])
def test_a_client_that_only_talks_nonsense_is_shut_out(echo, message):
    with websocket(echo) as plain:
        with suppress(ConnectionError):
            plain.sendall(text('40') + text(message) * 200)
        read_to_end(plain)
    assert echo.server.malformed == 100
    wait_for(lambda: len(echo.gone) == 1)


@pytest.mark.parametrize(
    'frames',
    [
        text(b'42["telemetry","\xff\xfe"]'),
        b'\x81\x05hello',
        b'\x83\x80' + MASK,
        b'\x09\x80' + MASK,
        text(b'x', opcode=CONTINUATION),
        text('a', final=False) + text('b'),
        encode_frame(0x8, b'\x00', MASK),
        encode_frame(0x8, b'\x03\xe8\xff\xff', MASK),
    ],
)
def test_broken_frames_close_their_own_connection_in_silence(echo, frames, simulator, capfd):
    drive_a_frame(simulator)
    with websocket(echo) as plain:
        plain.sendall(frames)
        read_to_end(plain)
    drive_a_frame(simulator)
    assert capfd.readouterr().err == ''


def test_polling_clients_malformed_payload_is_silent(echo, capfd, logged):
    sid = open_polling(echo)
    for body in ('4' + '[' * 100_000, '42[', 'b!!!', '\x1e\x1e', '9', '42["connect",{}]'):
        with connect(echo) as plain:
            plain.sendall(
                f'POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.0\r\nHost: [::1]\r\n'
                f'Content-Length: {len(body)}\r\n\r\n{body}'.encode()
            )
            read_to_end(plain)
    assert capfd.readouterr().err == ''
    assert not logged.records
    assert echo.server.malformed > 0


def test_pollers_sessions_are_bounded(echo, simulator, monkeypatch):
    monkeypatch.setattr(socketio_server, '_SESSIONS_AT_MOST', 3)
    for _ in range(3):
        open_polling(echo)
    with connect(echo) as plain:
        plain.sendall(
            b'GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n'
        )
        assert b' 503 ' in read_to_end(plain)[:20]
    drive_a_frame(simulator)


def test_client_that_offers_credentials_is_served_like_any_other(echo):
    client = socketio.Client()
    client.connect(f'http://127.0.0.1:{echo.server.port}', auth={'a': 1})
    client.disconnect()
    assert list(echo.simulators.values()) == [False]


def test_random_bytes_disturb_nobody(echo, simulator, capfd):
    rng = random.Random(1)
    for _ in range(100):
        with connect(echo) as plain:
            if rng.random() < 0.7:
                plain.sendall(HEAD.format(host='x', more='').encode())
            plain.sendall(rng.randbytes(rng.randrange(1, 400)))
    drive_a_frame(simulator)
    assert capfd.readouterr().err == ''


def test_dripping_bytes_do_not_put_the_deadline_off(quick_deadline, echo):
    with connect(echo) as plain:
        plain.sendall(b'GET / HTTP/1.1\r\n')

        def is_closed():
            try:
                plain.sendall(b'X: y\r\n')
            except ConnectionError:
                return True
            return False

        wait_for(is_closed, what='the end of the connection')


@pytest.mark.parametrize(
    'beginning',
    [b'', b'GET', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
     b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n'],
)  # fmt: skip
def test_idle_connections_end(quick_deadline, echo, beginning):
    with connect(echo) as plain:
        plain.sendall(beginning)
        read_to_end(plain)
    wait_for(lambda: len(echo.server.limiter) == 0)


def test_an_answer_that_lasts_is_not_cut_short(quick_deadline):
    def slow(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        for _ in range(10):
            sleep(0.1)
            yield b'x' * 5000

    server = SimulatorServer(host='127.0.0.1', port=0, pages=slow)
    server.start(Echo(server))
    try:
        with socket.create_connection(('127.0.0.1', server.port), timeout=5) as plain:
            plain.sendall(b'GET / HTTP/1.0\r\n\r\n')
            assert read_to_end(plain).count(b'x') >= 50_000
    finally:
        server.stop(lambda: None)


def test_300_idle_connections_leave_room_for_the_simulator(echo, simulator):
    drive_a_frame(simulator)
    with ExitStack() as stack:
        crowd = [stack.enter_context(connect(echo)) for _ in range(300)]
        for plain in crowd[::2]:
            plain.sendall(b'GET / HTTP/1.1\r\n')
        wait_for(lambda: echo.server.limiter.evicted > 150)
        drive_a_frame(simulator)
        assert len(echo.server.limiter) <= 128
        simulator.quit()
        drive_a_frame(simulator)
    assert list(echo.simulators.values()) == [True, True]


def test_many_that_speak_after_it_do_not_displace_the_simulator(echo, simulator):
    drive_a_frame(simulator)
    with ExitStack() as stack:
        for _ in range(127):
            stack.enter_context(websocket(echo)).sendall(text('40'))
        wait_for(lambda: len(echo.simulators) == 128)
        for _ in range(20):
            stack.enter_context(websocket(echo))
        assert echo.server.limiter.evicted == 20
        drive_a_frame(simulator)
    assert next(iter(echo.simulators)) not in echo.gone


@pytest.mark.parametrize('transports', [['websocket'], ['polling', 'websocket']])
def test_a_modern_simulator_is_not_displaced_either(echo, transports):
    answers = queue.Queue()
    modern = socketio.Client()
    modern.on('steer', answers.put)
    modern.connect(f'http://127.0.0.1:{echo.server.port}', transports=transports)
    wait_for(lambda: modern.transport() == 'websocket')
    with ExitStack() as stack:
        for _ in range(140):
            stack.enter_context(websocket(echo)).sendall(text('40'))
        assert echo.server.limiter.evicted >= 13
        modern.emit('telemetry', FRAME)
        assert answers.get(timeout=5.0) == STEER
    modern.disconnect()


@pytest.mark.parametrize('attack', ['storm', 'crowd', 'slow_loris', 'half_open', 'gibberish'])
def test_attack_costs_the_driving_simulator_no_answer(echo, simulator, attack):
    """Those of `make attack`, shorter; that one measures what they cost."""
    drive_a_frame(simulator)
    (driving,) = echo.simulators
    attacker = start_attack(attack, echo.server.port, seconds=1.0)
    frames = 0
    while attacker.poll() is None:
        drive_a_frame(simulator)
        frames += 1
    assert int(attacker.stdout.read()) >= 50, 'connections'
    assert frames > 10
    assert len(echo.server.limiter) <= 128
    assert driving not in echo.gone
    assert simulator.answers == echo.payloads.count(FRAME) == frames + 1


@pytest.fixture
def pouring(echo):
    """Somebody sends small messages as fast as the server reads them."""
    flood = text('6') * 10_000
    stop = threading.Event()

    def pour():
        with websocket(echo) as plain:
            while not stop.is_set():
                plain.sendall(flood)

    thread = threading.Thread(target=pour)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_one_that_sends_without_a_pause_leaves_the_others_their_turn(echo, simulator, pouring):
    started = time.monotonic()
    for _ in range(50):
        drive_a_frame(simulator)
    assert time.monotonic() < started + 4.0


def test_one_that_sends_without_a_pause_has_to_pause(echo, pouring):
    busy_s = queue.Queue()

    def wait_and_look(seconds):
        time.sleep(seconds)
        echo.server.call_soon(lambda _now_s: busy_s.put(time.thread_time()))
        return busy_s.get(timeout=5.0)

    before = wait_and_look(0.5)
    assert wait_and_look(1.0) - before < 0.5


def test_a_client_that_never_reads_is_not_queued_for_without_end(echo):
    sender = socketio.Client()
    sender.connect(f'http://127.0.0.1:{echo.server.port}', transports=['websocket'])
    (sid,) = echo.simulators
    sent = []
    try:
        echo.server.call_soon(
            lambda _now_s: sent.extend(
                echo.server.send(sid, 'steer', {'x': 'y'}) for _ in range(1000)
            )
        )
        wait_for(lambda: len(sent) == 1000)
        assert echo.server.unsent > 900
        assert sent.count(False) == echo.server.unsent, 'the caller has to know'
    finally:
        sender.disconnect()


def test_a_mistake_of_the_handler_is_told_but_not_with_every_frame(echo, simulator, logged):
    poll_until(simulator, lambda: simulator.tokens == 2)
    echo.telemetry = lambda now_s, sid, payload: 1 / 0
    for _ in range(50):
        simulator.send_telemetry(TELEMETRY)
        simulator.poll(0.01)
    wait_for(lambda: logged.records)
    assert [record.levelno for record in logged.records] == [logging.ERROR]
    assert 'ZeroDivisionError' in logged.text


def test_every_interface_is_not_local():
    server = SimulatorServer(host='0.0.0.0', port=0, pages=page)
    server.start(Echo(server))
    server.stop(lambda: None)
    assert not server.is_local


def test_no_descriptor_is_left_behind(echo):
    def descriptors():
        return len(os.listdir('/proc/self/fd'))

    with websocket(echo):
        before = descriptors()
    for _ in range(60):
        with websocket(echo) as plain:
            plain.sendall(text('40'))
    wait_for(lambda: descriptors() <= before)
