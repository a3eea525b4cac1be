# SPDX-License-Identifier: Apache-2.0
"""Client of the simulator: a socket that connects, reads and writes without blocking.

It uses one thread and one `select`. When the connection ends, the client reconnects: 20 ms later
at first, and after longer pauses of up to 100 ms while there is no server.
"""

from __future__ import annotations

import random
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

from sim_bridge.limits import USUAL_URL
from sim_bridge.protocol.types import Control, Telemetry
from sim_bridge.protocol.udacity import Culture, encode_telemetry
from sim_bridge.simulator.client_protocol import (
    PING_PERIOD_S,
    AbortError,
    CarCommand,
    ClientProtocol,
    Received,
    check_upgrade_reply,
    upgrade_request,
)

RETRY_MIN_S = 0.02
RETRY_MAX_S = 0.1
_RETRY_GROWTH = 1.5
_CONNECT_TIMEOUT_S = 5.0
_DRAIN_S = 0.3
_MAX_HEAD_BYTES = 16_384
_CHUNK_BYTES = 65_536


def parse_url(url: str) -> tuple[str, int]:
    """Return host and port of `ws://host[:port]`; ValueError with the fix for any other text.

    The port is 1..65535, by default 80. An international host name is returned in ASCII (IDNA).
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or '').encode('idna').decode('ascii')
        port = 80 if parts.port is None else parts.port
    except ValueError:
        host, port = '', 0
    if not host or not port or parts.scheme != 'ws':
        raise ValueError(f'url is {url!r}; it must be ws://HOST:PORT, as in {USUAL_URL}')
    return host, port


class Client:
    """Connection to the server that is reopened when it ends.

    `connections`: number of WebSockets opened so far. `commands`: received commands and requests;
    the caller removes them. `tokens`: telemetries that are due now. `answers`: number of steer
    events so far. `lost`: number of ignored events so far, each of which lost a token.
    `latencies_s`: times from writing the first byte of a telemetry to reading its answer. With
    several telemetries in flight a latency counts from the newest one. `sent_at_s`: time at which
    the newest telemetry was written; None once it is answered.
    """

    sent_at_s: float | None

    def __init__(
        self,
        url: str,
        culture: Culture,
        clock: Callable[[], float] = time.perf_counter,
        rng: random.Random | None = None,
    ) -> None:
        self._host, self._port = parse_url(url)
        self._culture = culture
        self._clock = clock
        self._rng = rng or random.Random(0)
        self.commands: deque[CarCommand | Control] = deque()
        self.latencies_s: array[float] = array('d')
        self.connections = 0
        self.tokens = 0
        self.answers = 0
        self.lost = 0
        self._failures = 0
        self._retry_s = RETRY_MIN_S
        self._next_try_s = clock()
        self._forget_connection()

    @property
    def connected(self) -> bool:
        """Whether the WebSocket is open."""
        return self._protocol is not None

    def poll(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the server once; process what it sent and reply to it."""
        deadline_s = self._clock() + timeout_s
        if self._socket is None:
            self._wait_or_connect(deadline_s)
            return
        self._ping_when_due()
        wake_s = min(deadline_s, self._ping_due_s or deadline_s)
        wait_s = max(0.0, wake_s - self._clock())
        writing = [self._socket] if self._outbox or self._connecting else []
        try:
            readable, writable, _ = select.select([self._socket], writing, [], wait_s)
            if writable:
                self._on_writable()
            if readable:
                self._on_readable()
            if self._protocol is None and self._clock() > self._give_up_s:
                raise TimeoutError
        except (OSError, AbortError):
            self._drop()

    def send_telemetry(self, telemetry: Telemetry | None) -> None:
        """Use one token to send a telemetry in the client's culture; None for manual driving."""
        if self._protocol is None:
            return
        self.tokens -= 1
        self.send_payload(self._fields(telemetry))

    def send_payload(self, payload: object) -> None:
        """Send a telemetry with any data, valid or not, without using a token."""
        if self._protocol is None:
            return
        frames = self._protocol.telemetry(payload)
        self.sent_at_s = self._clock()
        self._send(frames)

    def quit(self) -> None:
        """Disconnect as the simulator does when its window is closed."""
        if self._socket is not None and self._protocol is not None:
            self._send(self._protocol.quitting())
            self._drain()
        self._drop()

    def _fields(self, telemetry: Telemetry | None) -> dict[str, str] | None:
        return None if telemetry is None else encode_telemetry(telemetry, self._culture)

    def _forget_connection(self) -> None:
        self._socket: socket.socket | None = None
        self._protocol: ClientProtocol | None = None
        self._connecting = False
        self._head = bytearray()
        self._outbox: deque[bytes] = deque()
        self._ping_due_s: float | None = None
        self.sent_at_s = None
        self._give_up_s = 0.0
        self.tokens = 0

    def _drop(self) -> None:
        self._failures += self._protocol is None
        if self._socket is not None:
            self._socket.close()
        self._forget_connection()
        self._next_try_s = self._clock() + self._retry_s
        self._retry_s = min(RETRY_MAX_S, self._retry_s * _RETRY_GROWTH)

    def _wait_or_connect(self, deadline_s: float) -> None:
        wait_s = min(deadline_s, self._next_try_s) - self._clock()
        if wait_s > 0.0:
            time.sleep(wait_s)
        if self._clock() < self._next_try_s:
            return
        try:
            self._connect()
        except OSError:
            self._drop()

    def _connect(self) -> None:
        """Begin to connect to the address of the last connection, or the next one if that failed.

        A name may have several addresses, of which the server has one: localhost is ::1 first.
        """
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        family, kind, proto, _, address = found[self._failures % len(found)]
        self._socket = socket.socket(family, kind, proto)
        self._socket.setblocking(False)
        self._socket.connect_ex(address)
        self._connecting = True
        self._give_up_s = self._clock() + _CONNECT_TIMEOUT_S

    def _on_writable(self) -> None:
        if self._connecting:
            self._connecting = False
            self._check_connected()
            self._send([upgrade_request(self._host, self._port)])
        else:
            self._flush()

    def _check_connected(self) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, 'cannot connect')

    def _on_readable(self) -> None:
        if self._socket is None or self._connecting:
            return
        data = self._socket.recv(_CHUNK_BYTES)
        read_at_s = self._clock()
        if not data:
            raise ConnectionResetError('the server ended the connection')
        if self._protocol is None:
            data = self._take_head(data)
        if self._protocol is not None and data:
            self._take(self._protocol.receive(data), read_at_s)

    def _take_head(self, data: bytes) -> bytes:
        """Collect the reply to the upgrade request; return the bytes after it."""
        self._head += data
        head, blank, rest = bytes(self._head).partition(b'\r\n\r\n')
        if not blank:
            if len(head) > _MAX_HEAD_BYTES:
                raise AbortError(
                    f'the server sent an HTTP head of more than {_MAX_HEAD_BYTES} bytes'
                )
            return b''
        check_upgrade_reply(head)
        self._on_open()
        return rest

    def _on_open(self) -> None:
        """Send one PING; one telemetry is due, and the server's `0{` makes another one due."""
        self._protocol = ClientProtocol(self._culture, lambda: self._rng.randbytes(4))
        self._retry_s = RETRY_MIN_S
        self.connections += 1
        self.tokens = 1
        self._send(self._protocol.ping())

    def _take(self, received: Received, read_at_s: float) -> None:
        self._send(received.replies)
        self.commands.extend(received.commands)
        self.tokens += received.tokens
        self.answers += received.steers
        self.lost += received.lost
        if received.steers and self.sent_at_s is not None:
            self.latencies_s.append(read_at_s - self.sent_at_s)
            self.sent_at_s = None
        if received.pong:
            self._ping_due_s = read_at_s + PING_PERIOD_S
        if received.closed:
            raise ConnectionResetError('the server closed the connection')

    def _ping_when_due(self) -> None:
        """Ping 25 s after the last pong; like the real client, never without a pong."""
        if self._protocol is None or self._ping_due_s is None:
            return
        if self._clock() >= self._ping_due_s:
            self._ping_due_s = None
            self._send(self._protocol.ping())

    def _send(self, frames: list[bytes]) -> None:
        self._outbox.extend(frames)
        self._flush()

    def _flush(self) -> None:
        """Write frame by frame as the real client does, so that Nagle's algorithm acts."""
        try:
            while self._outbox and self._socket is not None:
                sent = self._socket.send(self._outbox[0])
                rest = self._outbox.popleft()[sent:]
                if rest:
                    self._outbox.appendleft(rest)
        except BlockingIOError:
            return
        except OSError:
            # The next read fails too and drops the connection.
            self._outbox.clear()

    def _drain(self) -> None:
        """Wait until the server has read everything: closing earlier resets the connection."""
        assert self._socket is not None
        deadline_s = self._clock() + _DRAIN_S
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while (wait_s := deadline_s - self._clock()) > 0.0:
                readable, _, _ = select.select([self._socket], [], [], wait_s)
                if readable and not self._socket.recv(_CHUNK_BYTES):
                    return
        except OSError:
            return
