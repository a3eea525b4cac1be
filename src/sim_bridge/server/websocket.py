# SPDX-License-Identifier: Apache-2.0
"""Connections from accept to close: their pace, deadlines, reading and bounds.

This module treats every connection alike. Socket.IO (`socketio_server.py`) decides which messages
are accepted, and the handler which client drives.
"""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import Any, Protocol

from sim_bridge.protocol.websocket_frames import apply_mask, take_continuations
from sim_bridge.server.connection_limiter import ConnectionLimiter
from sim_bridge.server.eio3_adapter import MAX_MESSAGE_BYTES, Eio3Adapter
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
"""Pause after so many slices in a row, so that the client gets a sixth of the thread."""


class Owner(Protocol):
    """The server, as far as connections need it."""

    limiter: ConnectionLimiter[Any]

    def opened(self, connection: Any, engineio_sid: str) -> None:
        """Note that a connection became a WebSocket."""

    def ended(self, connection: Any) -> None:
        """Note that a connection has ended."""

    def count_malformed(self) -> None:
        """Count a message that cannot be read."""


class Listener:
    """Accepts connections at the pace of the limiter, and closes those that it evicts."""

    def __init__(self, listener: socket.socket, limiter: ConnectionLimiter[Any]) -> None:
        self._socket = eventlet.greenio.GreenSocket(listener)
        self._limiter = limiter

    def accept(self) -> tuple[Any, Any]:
        """Return the next client and its address; waits as long as it takes."""
        while True:
            eventlet.sleep(self._limiter.pause_s(time.monotonic()))
            try:
                client, address = self._socket.accept()
            except OSError:
                # The client is gone already, or no descriptor is free. Both pass.
                eventlet.sleep(0.01)
                continue
            evicted = self._limiter.admit(client)
            if evicted is not None:
                eventlet.greenio.shutdown_safe(evicted)
            return client, address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class HttpProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """The requests of one connection. Slow bytes cannot postpone the deadline of a request."""

    def __init__(self, owner: Owner, *args: Any) -> None:
        self._owner = owner
        self._deadline: Any = None
        super().__init__(*args)

    def handle_one_request(self) -> None:
        """Read and answer one request; close the connection at the deadline."""
        self._deadline = eventlet.spawn_after(
            _REQUEST_S, eventlet.greenio.shutdown_safe, self.connection
        )
        try:
            super().handle_one_request()
        finally:
            self._deadline.cancel()

    def get_environ(self) -> Any:
        """Return the environ. The deadline ends here if no body follows: an answer may last."""
        if 'content-length' not in self.headers and 'transfer-encoding' not in self.headers:
            self._deadline.cancel()
        return super().get_environ()

    def finish(self) -> None:
        """Close the connection, in whatever state it is."""
        self._owner.ended(self.connection)
        try:
            super().finish()
        except OSError:
            self.connection.close()
        finally:
            # It stays open after an answer that its client has not read, and with it the socket.
            self.rfile.close()

    def log_message(self, *_: Any) -> None:
        """Count a request that cannot be read."""
        self._owner.count_malformed()


class QuickWebSocketWSGI(WebSocketWSGI):  # type: ignore[misc]
    """Opens uncompressed WebSockets of RFC 6455 for `handler`."""

    def __init__(self, handler: Any, server: engineio.Server) -> None:
        super().__init__(lambda ws: handler(wrap_websocket(ws)), server)
        self.support_legacy_versions = False
        self._engineio_sid = handler.__self__.sid  # A method of one of Engine.IO's own sockets.

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer the request for a WebSocket, and serve it to its end."""
        environ[OWNER].opened(environ['eventlet.input'].get_socket(), self._engineio_sid)
        return super().__call__(environ, start_response)

    def _negotiate_permessage_deflate(self, _extensions: object) -> None:
        """Refuse compression, because a kilobyte could become a gigabyte."""


def wrap_websocket(ws: Any) -> Eio3Adapter:
    """Return a WebSocket with quick and bounded reading that understands Engine.IO 3."""
    prepare_reading(ws)
    return Eio3Adapter(ws, ws.environ[OWNER].count_malformed)


def prepare_reading(ws: Any) -> None:
    """Give a WebSocket quick and bounded reading."""
    ws.socket = _QuickSocket(ws.socket, ws.environ[OWNER].limiter)
    ws.Message = _BoundedMessage
    ws._apply_mask = apply_mask
    ws._recv_frame = partial(_receive_frames, ws)


def _receive_frames(ws: Any, message: Any = None) -> Any:
    """Read all continuation frames that have come at once, else one frame of any kind."""
    if message is not None:
        payload, final = ws.socket.take_continuations()
        if payload:
            message.push(payload, final=final)
            return message
    return RFC6455WebSocket._recv_frame(ws, message)


class _BoundedMessage(RFC6455WebSocket.Message):  # type: ignore[misc]
    """A message with a bounded number and sum of fragments. Frames are bounded already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bytes = 0

    def push(self, data: bytes, final: bool = False) -> None:
        """Add a fragment."""
        self._bytes += len(data)
        if self._bytes > MAX_MESSAGE_BYTES or len(self.data) >= _FRAGMENTS_AT_MOST:
            raise FailedConnectionError(1009, 'the message is too large')
        super().push(data, final)


class _QuickSocket:
    """A socket that reads ahead into a buffer, and acknowledges at once what it has read.

    The simulator writes a telemetry in some 17 small pieces with Nagle's algorithm: each waits for
    the acknowledgement of the one before, which Linux delays by up to 40 ms. TCP_QUICKACK is not
    permanent, so it is set again after each read.

    A client that sends without a pause would keep the thread for itself. So other clients get
    their turn after a slice of reading, and after some slices in a row the client has to pause.
    """

    def __init__(self, green_socket: Any, limiter: ConnectionLimiter[Any]) -> None:
        self._socket = green_socket
        self._limiter = limiter
        self._buffer = b''
        self._slice_until_s = 0.0
        self._slices = 0

    def recv(self, size: int) -> bytes:
        """Return 1 to `size` bytes, b'' at the end of the stream."""
        if not self._buffer:
            self._buffer = self._read()
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if self._buffer:
                self._limiter.heard(self._socket)
        else:
            self._give_way()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def take_continuations(self) -> tuple[bytes, bool]:
        """Return the payload of the continuation frames read so far, and whether they end it."""
        payload, size, final = take_continuations(self._buffer)
        self._buffer = self._buffer[size:]
        return payload, final

    def _read(self) -> bytes:
        """Return received bytes; wait for some while other clients are served."""
        try:
            data: bytes = self._socket.fd.recv(65536)
        except OSError:
            # Nothing is there yet, or the connection broke: the green socket handles both.
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
        """Begin the given slice in a row, in which no other client is served."""
        self._slices = slices
        self._slice_until_s = time.monotonic() + _SLICE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
