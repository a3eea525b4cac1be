# SPDX-License-Identifier: Apache-2.0
"""The server on real sockets, with the simulator's own dialect and with modern clients."""

import gc
import itertools
import socket
import threading
from pathlib import Path

import pytest
import socketio

from helpers.echo import FRAME, STEER, TELEMETRY, Echo, page
from helpers.waiting import poll_until, wait_for
from sim_bridge.protocol.types import Command
from sim_bridge.protocol.udacity import CULTURES, encode_command
from sim_bridge.server.listening import ServerError
from sim_bridge.server.simulator_server import SimulatorServer, sleep
from sim_bridge.simulator.client import Client


def test_unmodified_simulator_is_served(echo, simulator):
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.send_telemetry(TELEMETRY)
    poll_until(simulator, lambda: simulator.answers == 1)
    assert echo.payloads == [FRAME]
    assert list(echo.simulators.values()) == [True]
    assert simulator.commands[0].throttle == 0.5
    assert echo.threads == {'simulator-server'}


def test_its_ping_is_answered_before_any_telemetry(echo, simulator):
    pongs = []
    take = simulator._take
    simulator._take = lambda received, at: (pongs.append(received.pong), take(received, at))
    poll_until(simulator, lambda: True in pongs)
    assert list(echo.simulators.values()) in ([], [True])


def test_hundreds_of_frames_keep_one_answer_each(echo, simulator):
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.tokens = 1
    for sent in range(1, 301):
        simulator.send_telemetry(TELEMETRY)
        poll_until(simulator, lambda: simulator.answers == sent)  # noqa: B023
    assert len(echo.payloads) == 300
    assert simulator.lost == 0


def test_manual_driving_arrives_as_none(echo, simulator):
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.send_telemetry(None)
    wait_for(lambda: echo.payloads == [None])


def test_leaving_is_noticed(echo, simulator):
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.send_telemetry(TELEMETRY)
    poll_until(simulator, lambda: simulator.answers == 1)
    simulator.quit()
    wait_for(lambda: len(echo.gone) == 1)


@pytest.mark.parametrize('transports', [['websocket'], ['polling', 'websocket'], ['polling']])
def test_modern_client_beside_the_simulator(echo, simulator, transports):
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.send_telemetry(TELEMETRY)
    heard = []
    modern = socketio.Client()
    modern.on('steer', heard.append)
    modern.connect(f'http://127.0.0.1:{echo.server.port}', transports=transports)
    try:
        modern.emit('telemetry', FRAME)
        wait_for(lambda: heard == [STEER])
    finally:
        modern.disconnect()
    poll_until(simulator, lambda: simulator.answers == 1)
    assert sorted(echo.simulators.values()) == [False, True]


def test_engine_io_3_client_is_served(echo):
    """What npm's socket.io-client@2 sends: it admits EIO=3 and waits for the `40`."""
    with socket.create_connection(('127.0.0.1', echo.server.port), timeout=5) as plain:
        plain.sendall(
            b'GET /socket.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: x\r\n'
            b'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
            b'Sec-WebSocket-Key: c2ltX2JyaWRnZSB0cmFjaw==\r\n\r\n'
        )
        received = b''
        while b'40{' not in received:
            received += plain.recv(4096)
    assert b'101 Switching Protocols' in received
    assert b'0{"sid"' in received


def test_pages_are_on_the_same_port(echo):
    with socket.create_connection(('127.0.0.1', echo.server.port), timeout=5) as plain:
        plain.sendall(b'GET /any HTTP/1.0\r\n\r\n')
        reply = b''
        while chunk := plain.recv(4096):
            reply += chunk
    assert reply.endswith(b'a page')


def endless(_environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    for _ in itertools.count():
        yield b'news'
        sleep(0.01)


def open_sockets():
    """Number of descriptors of this process that are sockets."""
    return sum(map(Path.is_socket, Path('/proc/self/fd').iterdir()))


def test_stream_that_its_reader_leaves_keeps_no_descriptor():
    server = SimulatorServer(host='127.0.0.1', port=0, pages=endless)
    server.start(Echo(server))
    gc.disable()
    try:
        before = open_sockets()
        for _ in range(3):
            with socket.create_connection(('127.0.0.1', server.port), timeout=5) as reader:
                reader.sendall(b'GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n')
                assert reader.recv(4096).startswith(b'HTTP/1.1 200')
        wait_for(lambda: open_sockets() <= before, what='closed sockets')
    finally:
        gc.enable()
        server.stop(lambda: None)


def test_browsers_of_other_origins_are_refused(echo):
    with socket.create_connection(('127.0.0.1', echo.server.port), timeout=5) as plain:
        plain.sendall(
            b'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n'
            b'Origin: http://evil.example\r\n'
            b'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
            b'Sec-WebSocket-Key: c2ltX2JyaWRnZSB0cmFjaw==\r\n\r\n'
        )
        assert plain.recv(4096).startswith(b'HTTP/1.1 400')


def test_calls_run_on_the_server_thread_in_order(echo):
    ran = []
    for number in range(100):
        echo.server.call_soon(
            lambda _now_s, number=number: ran.append((number, threading.current_thread().name))
        )
    wait_for(lambda: len(ran) == 100)
    assert ran == [(number, 'simulator-server') for number in range(100)]


def test_an_error_in_a_call_does_not_stop_the_next(echo, logged):
    done = []
    echo.server.call_soon(lambda _now_s: 1 / 0)
    echo.server.call_soon(lambda _now_s: done.append(True))
    wait_for(lambda: done)
    assert 'ZeroDivisionError' in logged.text


def test_errors_of_calls_do_not_flood_the_log(echo, logged):
    done = []
    for _ in range(3):
        echo.server.call_soon(lambda _now_s: 1 / 0)
    echo.server.call_soon(lambda _now_s: done.append(True))
    wait_for(lambda: done)
    assert logged.messages == ['a call on the server thread failed']


def test_every_call_sets_the_timer_for_the_next_deadline(echo):
    asked_s = []

    def ask(now_s, after_s):
        asked_s.append(now_s)
        echo.deadline_s = now_s + after_s

    for after_s in (10.0, 0.05):
        echo.server.call_soon(lambda now_s, after_s=after_s: ask(now_s, after_s))
    wait_for(lambda: echo.expired_s)
    assert echo.expired_s[0] >= asked_s[1] + 0.045


def test_farewell_is_the_last_thing_that_a_simulator_hears():
    server = SimulatorServer(host='127.0.0.1', port=0, pages=page)
    echo = Echo(server)
    server.start(echo)
    client = Client(f'ws://127.0.0.1:{server.port}', CULTURES['en-US'])
    poll_until(client, lambda: client.tokens == 2)
    client.send_telemetry(TELEMETRY)
    poll_until(client, lambda: client.answers == 1)
    (sid,) = echo.simulators
    halt = encode_command(Command(0.0, 0.0), '.')
    stopping = threading.Thread(target=server.stop, args=[lambda: server.send(sid, 'steer', halt)])
    stopping.start()
    while stopping.is_alive():
        if client.tokens > 0 and client.connected:
            client.send_telemetry(TELEMETRY)
        client.poll(0.005)
    stopping.join()
    assert client.commands[-1] == (0.0, 0.0)


def test_port_in_use_is_told_with_the_fix(echo):
    with pytest.raises(ServerError, match=f'port {echo.server.port} .* in use.*another port'):
        SimulatorServer(host='127.0.0.1', port=echo.server.port, pages=page)


def test_address_that_is_not_ours_is_told():
    with pytest.raises(ServerError, match=r'192\.0\.2\.1'):
        SimulatorServer(host='192.0.2.1', port=0, pages=page)


def ask(port, head):
    """The whole answer to a request."""
    with socket.create_connection(('127.0.0.1', port), timeout=5) as plain:
        plain.sendall(head.encode('latin-1') + b'Connection: close\r\n\r\n')
        reply = b''
        while chunk := plain.recv(4096):
            reply += chunk
    return reply.decode('latin-1')


WEBSOCKET = (
    'GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n'
    'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
    'Sec-WebSocket-Key: c2ltX2JyaWRnZSB0cmFjaw==\r\n'
)
PAGE = 'GET /state.json HTTP/1.1\r\n'
POLL = 'GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n'


@pytest.fixture
def named():
    """A server that a proxy calls by name too."""
    names = ['', ' Car.Example ', 'other.example']
    server = SimulatorServer(host='127.0.0.1', port=0, pages=page, allowed_hosts=names)
    server.start(Echo(server))
    yield server
    server.stop(lambda: None)


@pytest.mark.parametrize('request_line', [PAGE, POLL])
@pytest.mark.parametrize(
    'host',
    ['127.0.0.1', '127.0.0.1:4567', '[::1]:4567', '192.168.1.7:4567', 'localhost', 'LOCALHOST:1',
     'localhost.', 'car.example', 'CAR.example:80', ''],
)  # fmt: skip
def test_requests_that_name_this_server_are_answered(named, request_line, host):
    assert ask(named.port, f'{request_line}Host: {host}\r\n').startswith('HTTP/1.1 200')


@pytest.mark.parametrize('request_line', [PAGE, POLL])
@pytest.mark.parametrize(
    'host',
    ['rebound.example', 'rebound.example:4567', '127.0.0.1.rebound.example', 'localhost.example',
     'car.example.evil', 'xcar.example', '[', '127.0.0.1, evil', 'a@rebound.example', '\xe9'],
)  # fmt: skip
def test_requests_that_name_another_server_are_refused_with_the_fix(named, request_line, host):
    reply = ask(named.port, f'{request_line}Host: {host}\r\n')
    assert reply.startswith('HTTP/1.1 403')
    told = reply.split('\r\n\r\n', 1)[1]
    assert 'a page' not in told
    assert 'localhost' in told
    assert 'parameter allowed_hosts of the bridge' in told


def test_requests_without_a_host_are_answered(named):
    assert ask(named.port, PAGE).startswith('HTTP/1.1 200')


@pytest.mark.parametrize('host', ['Host: 127.0.0.1:4567\r\n', 'Host: any.example\r\n', ''])
def test_simulator_is_never_refused_by_what_it_calls_the_server(echo, host):
    """It has no Origin, and once refused it would come again hundreds of times a second."""
    with socket.create_connection(('127.0.0.1', echo.server.port), timeout=5) as plain:
        plain.sendall(f'{WEBSOCKET}{host}\r\n'.encode())
        assert plain.recv(4096).startswith(b'HTTP/1.1 101')


@pytest.mark.parametrize(
    ('host', 'origin', 'status'),
    [
        ('127.0.0.1', 'https://car.example', 101),
        ('car.example', 'https://car.example', 101),
        ('car.example:4567', 'http://car.example:4567', 101),
        ('127.0.0.1', 'https://evil.example', 400),
        ('car.example', 'https://evil.example', 400),
        ('rebound.example', 'http://rebound.example', 403),
    ],
)
def test_pages_of_an_allowed_proxy_may_connect(named, host, origin, status):
    with socket.create_connection(('127.0.0.1', named.port), timeout=5) as plain:
        plain.sendall(f'{WEBSOCKET}Host: {host}\r\nOrigin: {origin}\r\n\r\n'.encode())
        assert plain.recv(4096).startswith(f'HTTP/1.1 {status}'.encode())


def test_refused_pages_are_logged_with_the_fix_and_not_every_time(echo, logged):
    for _ in range(5):
        reply = ask(echo.server.port, f'{POLL}Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n')
        assert reply.startswith('HTTP/1.1 400')
        ask(echo.server.port, f'{PAGE}Host: rebound.example\r\n')
    (record,) = logged.records
    assert "a page of 'http://evil.example' was refused" in record.getMessage()
    assert 'allowed_hosts' in record.getMessage()


def test_second_small_answer_does_not_wait_for_the_clients_next_word(echo, simulator):
    """Nagle's algorithm would hold it back until the first one is acknowledged: 40 ms."""
    poll_until(simulator, lambda: simulator.tokens == 2)
    simulator.send_telemetry(TELEMETRY)
    poll_until(simulator, lambda: simulator.answers == 1)
    (connection,) = echo.server._engineio_sids
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_the_server_ends_though_its_last_call_fails(logged):
    server = SimulatorServer(host='127.0.0.1', port=0, pages=page)
    server.start(Echo(server))
    ending = threading.Thread(target=server.stop, args=[lambda: 1 / 0])
    ending.start()
    ending.join(5.0)
    assert not ending.is_alive()
    assert 'ZeroDivisionError' in logged.text
