# SPDX-License-Identifier: Apache-2.0
"""The relay in front of the Foxglove server: real sockets, and a server of the test behind it."""

import asyncio
import socket
import threading

import pytest

from helpers.waiting import wait_for
from sim_bridge.errors import UsageError
from sim_bridge.foxglove.handshake import ViewerCheck
from sim_bridge.foxglove.outbox import MESSAGES_AT_MOST
from sim_bridge.foxglove.relay import VIEWERS_AT_MOST, Relay, read_frame

REQUEST = b'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n'
ACCEPTED = b'HTTP/1.1 101 Switching Protocols\r\n\r\n'


def frame(payload, opcode=2):
    """A WebSocket frame as a server sends it."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b'\x7e' + size.to_bytes(2)
    return bytes([0x80 | opcode]) + length + payload


def message(number, size=20_000):
    """A frame with the message of a topic."""
    return frame(b'\x01' + number.to_bytes(4) + bytes(size))


@pytest.fixture
def server():
    """A socket that listens, in place of the Foxglove server."""
    with socket.create_server(('127.0.0.1', 0)) as listening:
        listening.settimeout(5.0)
        yield listening


@pytest.fixture
def relay(server):
    relay = Relay('127.0.0.1', 0, ViewerCheck('127.0.0.1'))
    relay.start(server.getsockname())
    yield relay
    relay.stop()


def connected(relay, headers=b''):
    viewer = socket.create_connection(('127.0.0.1', relay.port), timeout=5.0)
    viewer.sendall(REQUEST + headers + b'\r\n')
    return viewer


def accepted(relay, server):
    """A viewer and the server's end of its connection, after the handshake."""
    viewer = connected(relay)
    behind, _ = server.accept()
    behind.settimeout(5.0)
    assert behind.recv(4096) == REQUEST + b'\r\n'
    behind.sendall(ACCEPTED)
    assert viewer.recv(len(ACCEPTED), socket.MSG_WAITALL) == ACCEPTED
    return viewer, behind


def read(viewer, size):
    return viewer.recv(size, socket.MSG_WAITALL)


def test_bytes_pass_in_both_directions_unchanged(relay, server):
    viewer, behind = accepted(relay, server)
    sent = [frame(b'{"op": "serverInfo"}', opcode=1), message(1), message(2, 10), frame(b'')]
    for one in sent:
        behind.sendall(one)
        assert read(viewer, len(one)) == one
    viewer.sendall(b'anything')
    assert read(behind, 8) == b'anything'
    assert (relay.viewers, relay.relayed, relay.dropped) == (1, 2, 0)


@pytest.mark.parametrize('closing', ['viewer', 'server'])
def test_the_end_of_one_side_ends_the_other(relay, server, closing):
    ends = dict(zip(('viewer', 'server'), accepted(relay, server), strict=True))
    ends.pop(closing).close()
    (other,) = ends.values()
    assert other.recv(1) == b''
    wait_for(lambda: relay.viewers == 0, 5.0, 'the end of the viewer')


def test_a_page_of_another_site_is_refused_and_told_why(relay, server, logged):
    viewer = connected(relay, b'Origin: http://evil.example\r\n')
    told = read(viewer, 65536)
    assert told.startswith(b'HTTP/1.1 403 Forbidden\r\n')
    assert b'allowed_hosts' in told
    server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        server.accept()


def test_a_viewer_that_reads_slowly_loses_the_oldest_messages_and_no_reply(relay, server):
    viewer, behind = accepted(relay, server)
    number = 3 * MESSAGES_AT_MOST
    reply = frame(b'{"op": "status"}', opcode=1)

    def send():
        for one in range(number):
            behind.sendall(message(one))
        behind.sendall(reply)

    # The server is never stopped by the viewer, which does not read.
    sending = threading.Thread(target=send)
    sending.start()
    sending.join(30.0)
    assert not sending.is_alive()
    wait_for(lambda: relay.relayed == number, 10.0, 'all messages')
    assert 0 < relay.dropped <= number - MESSAGES_AT_MOST
    heard = 0
    got_reply = False
    stream = viewer.makefile('rb')
    newest = -1
    while heard < number - relay.dropped or not got_reply:
        head = stream.read(2)
        length = int.from_bytes(stream.read(2)) if head[1] == 126 else head[1]
        payload = stream.read(length)
        if head[0] == 0x81:
            got_reply = True
            continue
        heard += 1
        assert int.from_bytes(payload[1:5]) > newest
        newest = int.from_bytes(payload[1:5])
    assert newest == number - 1


def test_more_viewers_than_allowed_are_told_so(relay, server):
    several = [accepted(relay, server) for _ in range(VIEWERS_AT_MOST)]
    assert read(connected(relay), 65536).startswith(b'HTTP/1.1 503 ')
    for viewer, behind in several:
        viewer.close()
        behind.close()
    wait_for(lambda: relay.viewers == 0, 5.0, 'the end of the viewers')
    accepted(relay, server)


def test_a_request_without_end_is_given_up(relay):
    viewer = socket.create_connection(('127.0.0.1', relay.port), timeout=10.0)
    viewer.sendall(REQUEST + b'X: ' + bytes(100_000))
    try:
        rest = viewer.recv(1)
    except ConnectionResetError:
        rest = b''
    assert rest == b''


def test_a_port_in_use_is_one_clear_line(relay):
    with pytest.raises(UsageError, match=f'port {relay.port} on 127.0.0.1 is in use: end the'):
        Relay('127.0.0.1', relay.port, ViewerCheck('127.0.0.1'))


@pytest.mark.parametrize('size', [0, 1, 125, 126, 65535])
def test_frames_of_all_lengths_are_read(size):
    async def read_one():
        reader = asyncio.StreamReader()
        reader.feed_data(frame(b'\x01' * size) + b'rest')
        return await read_frame(reader), await reader.read(4)

    assert asyncio.run(read_one()) == ((frame(b'\x01' * size), size > 0), b'rest')


def test_long_frames_and_texts_are_read():
    payload = b'\x01' + bytes(70_000)
    long = b'\x82\x7f' + len(payload).to_bytes(8) + payload
    text = frame(b'\x01', opcode=1)

    async def read_both():
        reader = asyncio.StreamReader()
        reader.feed_data(long + text)
        return [await read_frame(reader), await read_frame(reader)]

    assert asyncio.run(read_both()) == [(long, True), (text, False)]
