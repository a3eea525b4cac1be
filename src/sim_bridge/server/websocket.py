"""A connection from its admission to its end: paced, with deadlines, quick, and bounded.

What is true of each alone, whatever comes through it, is here; who is who, and what may be said,
is for Socket.IO (`bounded.py`) and those behind it.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import Any, Protocol

from sim_bridge.server.connection_limiter import ConnectionLimiter
from sim_bridge.server.eio3_adapter import MAX_MESSAGE_BYTES, LegacyDialect, continuations, unmask
from sim_bridge.server.eventlet_imports import (
    FailedConnectionError,
    RFC6455WebSocket,
    WebSocketWSGI,
    engineio,
    eventlet,
)

OWNER = 'sim_bridge.server'
"""Key in a connection's environ: the server that it belongs to."""

_REQUEST_S = 10.0
"""A request has to be complete, and the next one of a connection to begin, within this time."""
_FRAGMENTS_AT_MOST = 4096
_SLICE_S = 0.002
_SLICES_IN_A_ROW = 5
_PAUSE_S = 0.01
"""Between the slices of somebody who filled so many: a sixth of the thread is his then."""


class Owner(Protocol):
    """The server, as a connection sees it."""

    limiter: ConnectionLimiter[Any]

    def opened(self, connection: Any, engineio_sid: str) -> None:
        """A connection became a WebSocket."""

    def ended(self, connection: Any) -> None:
        """A connection is over."""

    def count_malformed(self) -> None:
        """Something came that nobody can read."""


class Listener:
    """Accepts connections at the pace of the limiter, and ends those that have to make room."""

    def __init__(self, listener: socket.socket, limiter: ConnectionLimiter[Any]) -> None:
        self._socket = eventlet.greenio.GreenSocket(listener)
        self._gate = limiter

    def accept(self) -> tuple[Any, Any]:
        """Return the next client and its address; never gives up."""
        while True:
            eventlet.sleep(self._gate.pause_s(time.monotonic()))
            try:
                client, address = self._socket.accept()
            except OSError:
                # A client that is gone already, or no descriptor left for it: both pass.
                eventlet.sleep(0.01)
                continue
            evicted = self._gate.admit(client)
            if evicted is not None:
                eventlet.greenio.shutdown_safe(evicted)
            return client, address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class HttpProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection's requests, each with a deadline that dripping bytes cannot put off."""

    def __init__(self, owner: Owner, *args: Any) -> None:
        self._owner = owner
        self._deadline: Any = None
        super().__init__(*args)

    def handle_one_request(self) -> None:
        """Read and answer one request, or see the connection closed."""
        self._deadline = eventlet.spawn_after(
            _REQUEST_S, eventlet.greenio.shutdown_safe, self.connection
        )
        try:
            super().handle_one_request()
        finally:
            self._deadline.cancel()

    def get_environ(self) -> Any:
        """The request has been read but for its body: without one, its answer may last."""
        if 'content-length' not in self.headers and 'transfer-encoding' not in self.headers:
            self._deadline.cancel()
        return super().get_environ()

    def finish(self) -> None:
        """Close the connection, whatever state it is in."""
        self._owner.ended(self.connection)
        try:
            super().finish()
        except OSError:
            self.connection.close()

    def log_message(self, *_: Any) -> None:
        """A request that cannot be read."""
        self._owner.count_malformed()


class QuickWebSocketWSGI(WebSocketWSGI):  # type: ignore[misc]
    """Opens WebSockets of the present protocol, uncompressed, for `handler`."""

    def __init__(self, handler: Any, server: engineio.Server) -> None:
        super().__init__(lambda ws: handler(wrap_websocket(ws)), server)
        self.support_legacy_versions = False
        self._engineio_sid = handler.__self__.sid  # A method of one of Engine.IO's own sockets.

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer the request for a WebSocket, and serve it to its end."""
        environ[OWNER].opened(environ['eventlet.input'].get_socket(), self._engineio_sid)
        return super().__call__(environ, start_response)

    def _negotiate_permessage_deflate(self, _extensions: object) -> None:
        """Decline: a kilobyte could become a gigabyte, and the simulator does not ask for it."""


def wrap_websocket(ws: Any) -> LegacyDialect:
    """A WebSocket that is quick, bounded, and understands the simulator."""
    owner: Owner = ws.environ[OWNER]
    ws.socket = _QuickSocket(ws.socket, owner.limiter)
    ws.Message = _BoundedMessage
    ws._apply_mask = unmask
    ws._recv_frame = partial(_receive_frames, ws)
    return LegacyDialect(ws, owner.count_malformed)


def _receive_frames(ws: Any, message: Any = None) -> Any:
    """Add what has come of a message's continuation frames at once, or one frame of any kind."""
    if message is not None:
        payload, final = ws.socket.take_continuations()
        if payload:
            message.push(payload, final=final)
            return message
    return RFC6455WebSocket._recv_frame(ws, message)


class _BoundedMessage(RFC6455WebSocket.Message):  # type: ignore[misc]
    """A message whose fragments are bounded in sum and number; each frame alone already is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bytes = 0

    def push(self, data: bytes, final: bool = False) -> None:
        """Add a piece."""
        self._bytes += len(data)
        if self._bytes > MAX_MESSAGE_BYTES or len(self.data) >= _FRAGMENTS_AT_MOST:
            raise FailedConnectionError(1009, 'the message is too large')
        super().push(data, final)


class _QuickSocket:
    """Reads ahead into a buffer, and acknowledges what it read at once.

    The simulator writes a telemetry in some 17 small pieces with Nagle's algorithm on: each waits
    for the acknowledgement of the one before, which Linux delays by up to 40 ms. TCP_QUICKACK is
    not permanent, so it is set again after each read.

    Somebody who sends without a pause would never be waited for, and so keep the thread for
    himself: after a slice of reading the others get their turn, and after some he has to pause.
    """

    def __init__(self, green_socket: Any, limiter: ConnectionLimiter[Any]) -> None:
        self._socket = green_socket
        self._gate = limiter
        self._buffer = b''
        self._slice_until_s = 0.0
        self._slices = 0

    def recv(self, size: int) -> bytes:
        """Return 1 to `size` bytes, b'' at the end of the stream."""
        if not self._buffer:
            self._buffer = self._read()
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if self._buffer:
                self._gate.heard(self._socket)
        else:
            self._give_way()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def take_continuations(self) -> tuple[bytes, bool]:
        """Payload of the whole continuation frames read so far; whether they end the message."""
        payload, size, final = continuations(self._buffer)
        self._buffer = self._buffer[size:]
        return payload, final

    def _read(self) -> bytes:
        """What is there, or what comes next; waiting for it is a turn for the others too."""
        try:
            data: bytes = self._socket.fd.recv(65536)
        except OSError:
            # Nothing there yet, or the connection broke: the green socket knows what to do.
            data = self._socket.recv(65536)
            self._begin_slice(1)
        else:
            self._give_way()
        return data

    def _give_way(self) -> None:
        if time.monotonic() > self._slice_until_s:
            eventlet.sleep(_PAUSE_S if self._slices >= _SLICES_IN_A_ROW else 0)
            self._begin_slice(self._slices + 1)

    def _begin_slice(self, slices: int) -> None:
        """Read on without a look at the others, for so many slices in a row now."""
        self._slices = slices
        self._slice_until_s = time.monotonic() + _SLICE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
