"""The Socket.IO server that simulators and pages connect to; the only file that knows eventlet.

One thread runs eventlet's hub and with it every socket, every handler call and every send.
Other threads reach it through `post` alone: `emit` from a foreign thread would be lost silently.

The unmodified Udacity simulator claims Engine.IO 4 but speaks Engine.IO 3: it never opens its
namespace and pings the server itself. `_LegacyDialect` translates at the WebSocket boundary, so
that python-socketio serves it beside modern clients on one port.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

import engineio  # noqa: E402
import eventlet  # noqa: E402
import eventlet.hubs  # noqa: E402
import eventlet.wsgi  # noqa: E402
import socketio  # noqa: E402
from engineio.async_drivers.eventlet import WebSocketWSGI  # noqa: E402

from sim_bridge.errors import StartError  # noqa: E402
from sim_bridge.protocol import EVENT_TELEMETRY  # noqa: E402

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_logger = logging.getLogger('sim_bridge.server')

_LEGACY = 'sim_bridge.legacy'
_FAREWELL_S = 0.1


class ServerError(StartError):
    """The server cannot start; the message says why and what to do."""


class Handler(Protocol):
    """What the server calls, always on its own thread."""

    def connected(self, sid: str, *, is_simulator: bool) -> None:
        """A client connected."""

    def disconnected(self, sid: str) -> None:
        """A client is gone."""

    def telemetry(self, sid: str, payload: object) -> None:
        """A client sent a `telemetry` event with this data."""

    def woken(self) -> None:
        """The time asked for with `wake_at` has come."""


class SimulatorServer:
    """Serves simulators, modern Socket.IO clients and a WSGI application on one port."""

    def __init__(self, *, host: str, port: int, pages: WsgiApp) -> None:
        """Bind at once, so that a port in use is told before anything else starts.

        Raises ServerError if the address cannot be had. port 0 takes any free one.
        """
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._sio = _Socketio(
            async_mode='eventlet', async_handlers=False, logger=False, engineio_logger=False
        )
        self._app = socketio.WSGIApp(self._sio, pages)
        self._posted: deque[Callable[[], None]] = deque()
        self._wake_reader, self._wake_writer = os.pipe()
        self._stopping = False
        self._timer: Any = None
        self._timer_at_s = float('inf')
        self._thread = threading.Thread(target=self._run, name='simulator-server')
        self._handler: Handler | None = None

    def start(self, handler: Handler) -> None:
        """Accept clients from now on and report them to `handler`."""
        self._handler = handler
        self._sio.on('connect', self._on_connect)
        self._sio.on('disconnect', self._on_disconnect)
        self._sio.on(EVENT_TELEMETRY, self._on_telemetry)
        self._thread.start()

    def stop(self, farewell: Callable[[], None]) -> None:
        """Run `farewell` on the server's thread, give its sends time to arrive, then end."""
        self.post(lambda: self._end(farewell))
        self._thread.join()

    def post(self, function: Callable[[], None]) -> None:
        """Have the server's thread call `function` soon; may be called from any thread."""
        self._posted.append(function)
        os.write(self._wake_writer, b'.')

    def send(self, sid: str, event: str, data: Mapping[str, str]) -> None:
        """Send an event to one client. Only to be called on the server's thread."""
        if not self._stopping:
            self._sio.emit(event, data, to=sid)

    def wake_at(self, monotonic_s: float) -> None:
        """Have `Handler.woken` called at this time of `time.monotonic` or a little earlier.

        A wake-up that is already due earlier serves too: the handler then asks anew.
        """
        if self._timer is not None and self._timer_at_s <= monotonic_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at_s = monotonic_s
        if monotonic_s != float('inf'):
            delay_s = max(0.0005, monotonic_s - time.monotonic())
            self._timer = eventlet.hubs.get_hub().schedule_call_global(delay_s, self._on_timer)

    def _run(self) -> None:
        self._done = eventlet.Event()
        listener = eventlet.greenio.GreenSocket(self._socket)
        eventlet.spawn(self._drain)
        wsgi = eventlet.spawn(
            eventlet.wsgi.server,
            listener,
            self._app,
            log=_logger,
            log_output=False,
            debug=False,
        )
        self._done.wait()
        wsgi.kill()
        self._socket.close()

    def _drain(self) -> None:
        """Call what other threads posted, in order."""
        while True:
            eventlet.hubs.trampoline(self._wake_reader, read=True)
            os.read(self._wake_reader, 4096)
            while self._posted:
                self._guard(self._posted.popleft())

    @staticmethod
    def _guard(function: Callable[[], None]) -> None:
        """Call it; a mistake in it is logged and must not stop the traffic of everybody else."""
        try:
            function()
        except Exception:
            _logger.exception('a call on the server thread failed')

    def _end(self, farewell: Callable[[], None]) -> None:
        farewell()
        self._stopping = True
        # Reading on until then keeps the kernel from resetting the connection under the farewell.
        eventlet.spawn_after(_FAREWELL_S, self._done.send)

    def _on_timer(self) -> None:
        self._timer = None
        if self._handler:
            self._guard(self._handler.woken)

    def _on_connect(self, sid: str, environ: dict[str, Any]) -> None:
        if self._handler:
            self._handler.connected(sid, is_simulator=_LEGACY in environ)

    def _on_disconnect(self, sid: str, _reason: str) -> None:
        if self._handler:
            self._handler.disconnected(sid)

    def _on_telemetry(self, sid: str, payload: object = None) -> None:
        if self._handler and not self._stopping:
            self._handler.telemetry(sid, payload)


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=64)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = 'is in use: end the other program or choose another port'
        else:
            why = f'cannot be opened: {error.strerror or error}'
        raise ServerError(f'port {port} on {host} {why}') from error


class _Engineio(engineio.Server):  # type: ignore[misc]
    """Engine.IO server whose WebSockets are quick and understand the legacy dialect."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._async = {**self._async, 'websocket': _WebSocketWSGI}  # type: ignore[has-type]

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Let clients that own up to Engine.IO 3 in through the legacy dialect."""
        query = environ.get('QUERY_STRING', '')
        if 'EIO=3' in query and 'transport=websocket' in query:
            environ['QUERY_STRING'] = query.replace('EIO=3', 'EIO=4')
            environ[_LEGACY] = True
        return super().handle_request(environ, start_response)


class _Socketio(socketio.Server):  # type: ignore[misc]
    def _engineio_server_class(self) -> type[engineio.Server]:
        return _Engineio


class _WebSocketWSGI(WebSocketWSGI):  # type: ignore[misc]
    def __init__(self, handler: Callable[[Any], Any], server: engineio.Server) -> None:
        super().__init__(lambda ws: handler(_LegacyDialect(_quicken(ws))), server)


class _LegacyDialect:
    """Looks like a modern client's WebSocket to Engine.IO, whoever speaks on the other side.

    A first message that a modern client cannot send gives the simulator away: its bare ping `2`,
    or an event before the namespace was opened. It then gets the opening `40` made up for it and
    its pings answered here. Everything else passes untouched.
    """

    def __init__(self, ws: Any) -> None:
        self._ws = ws
        self.socket = ws.socket
        self._waiting: deque[str | bytes] = deque()
        self._legacy: bool | None = None
        if _LEGACY in ws.environ:
            self._begin_legacy()

    def wait(self) -> str | bytes | None:
        """Return the next message, None when the connection is closed."""
        while not self._waiting:
            message = self._ws.wait()
            if message is None:
                return None
            self._take(message)
        return self._waiting.popleft()

    def send(self, message: str | bytes) -> None:
        """Send one message."""
        self._ws.send(message)

    def close(self) -> None:
        """Close the connection."""
        self._ws.close()

    def _take(self, message: str | bytes) -> None:
        if self._legacy is None and isinstance(message, str) and message != '3':
            if message == '2' or message.startswith(('42', '45')):
                self._begin_legacy()
            else:
                self._legacy = False
        if self._legacy and message == '2':
            self._ws.send('3')
        elif message and (isinstance(message, bytes) or message[0] in '0123456'):
            self._waiting.append(message)

    def _begin_legacy(self) -> None:
        self._legacy = True
        self._ws.environ[_LEGACY] = True
        self._waiting.append('40')


def _quicken(ws: Any) -> Any:
    """Replace the two slow parts of eventlet's WebSocket: reading and unmasking."""
    ws.socket = _QuickSocket(ws.socket)
    ws._apply_mask = unmask
    return ws


class _QuickSocket:
    """Reads ahead into a buffer, and acknowledges what it read at once.

    The simulator writes a telemetry in some 17 small pieces with Nagle's algorithm on: each waits
    for the acknowledgement of the one before, which Linux delays by up to 40 ms. TCP_QUICKACK is
    not permanent, so it is set again after each read.
    """

    def __init__(self, green_socket: Any) -> None:
        self._socket = green_socket
        self._buffer = b''

    def recv(self, size: int) -> bytes:
        """Return 1 to `size` bytes, b'' at the end of the stream."""
        if not self._buffer:
            self._buffer = self._socket.recv(65536)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def unmask(
    data: bytes, mask: tuple[int, ...], length: int | None = None, offset: int = 0
) -> bytes:
    """XOR `data` with the 4 bytes of `mask` repeated, starting `offset` bytes into the mask.

    As one operation on one big integer: some 40 times faster than byte by byte (RFC 6455, 5.3).
    """
    size = len(data) if length is None else length
    start = offset % 4
    key = (bytes(mask) * (size // 4 + 2))[start : start + size]
    mixed = int.from_bytes(data[:size], 'little') ^ int.from_bytes(key, 'little')
    return mixed.to_bytes(size, 'little')
