"""The Socket.IO server that simulators and pages connect to; the only file that knows eventlet.

One thread runs eventlet's hub and with it every socket, every handler call and every send.
Other threads reach it through `post` alone: `emit` from a foreign thread would be lost silently.

The unmodified Udacity simulator claims Engine.IO 4 but speaks Engine.IO 3: it never opens its
namespace and pings the server itself. `LegacyDialect` translates at the WebSocket boundary, so
that python-socketio serves it beside modern clients on one port.

Everything that a client can make grow is bounded: connections, their pace, requests, messages,
fragments, what waits to be sent, and what is said about all that: what cannot be read is counted.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import socket
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit

warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')
# Names are never resolved here, and its own resolver takes a fifth of a second to import.
os.environ.setdefault('EVENTLET_NO_GREENDNS', 'yes')


class _Later(ModuleType):
    """Stands for a module that is imported only when somebody uses it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


# Only Engine.IO's client needs it, and half of the time to import Engine.IO goes to it.
_requests = sys.modules.setdefault('requests', _Later('requests'))

import engineio  # noqa: E402
import eventlet  # noqa: E402
import eventlet.hubs  # noqa: E402
import eventlet.wsgi  # noqa: E402
import socketio  # noqa: E402
from engineio.async_drivers.eventlet import WebSocketWSGI  # noqa: E402
from eventlet.websocket import FailedConnectionError, RFC6455WebSocket  # noqa: E402

from sim_bridge.dialect import (  # noqa: E402
    LEGACY,
    MALFORMED_AT_MOST,
    MAX_MESSAGE_BYTES,
    LegacyDialect,
    continuations,
    unmask,
)
from sim_bridge.errors import StartError  # noqa: E402
from sim_bridge.gate import Gate  # noqa: E402
from sim_bridge.protocol import EVENT_TELEMETRY  # noqa: E402

if isinstance(_requests, _Later):
    del sys.modules['requests']

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_logger = logging.getLogger('sim_bridge.server')

_SERVER = 'sim_bridge.server'
_REFUSED = 'sim_bridge.refused'
_FAREWELL_S = 0.1
_REQUEST_S = 10.0
"""A request has to be complete, and the next one of a connection to begin, within this time."""
_SOCKET_S = 30.0
_FRAGMENTS_AT_MOST = 4096
_UNSENT_AT_MOST = 16
"""A simulator has two tokens, so it can have two answers under way, and some kicks."""
_SESSIONS_AT_MOST = 256
"""Sessions of pollers outlive their connections; those of WebSockets do not."""
_SLICE_S = 0.002
_SLICES_IN_A_ROW = 5
_PAUSE_S = 0.01
"""Between the slices of somebody who filled so many: a sixth of the thread is his then."""
_COMPLAIN_EVERY_S = 5.0
_UNHEARD_MS = 20_000


class ServerError(StartError):
    """The server cannot start; the message says why and what to do."""


class Handler(Protocol):
    """What the server calls, always on its own thread."""

    def connected(self, sid: str, *, is_simulator: bool) -> None:
        """A client connected."""

    def disconnected(self, sid: str) -> None:
        """A client is gone."""

    def drives(self, sid: str) -> bool:
        """Whether this client may not be sent away to make room for another."""

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
        self.is_local = _is_loopback(self._socket.getsockname()[0])
        self.malformed = 0
        self.unsent = 0
        self.gate: Gate[Any] = Gate(self._drives)
        self._engineio_sids: dict[Any, str] = {}
        self._complained_s = float('-inf')
        quiet = _CountingLogger(self.count_malformed)
        self._sio = _Socketio(
            self.count_malformed,
            async_mode='eventlet',
            async_handlers=False,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
            cors_allowed_origins=partial(_is_own_origin, host),
            logger=quiet,
            engineio_logger=quiet,
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
        self.attach(handler)
        self._thread.start()

    def attach(self, handler: Handler) -> None:
        """Report clients to `handler`; `start` does this, and lets them in."""
        self._handler = handler
        self._sio.on('connect', self._on_connect)
        self._sio.on('disconnect', self._on_disconnect)
        self._sio.on(EVENT_TELEMETRY, self._on_telemetry)

    def stop(self, farewell: Callable[[], None]) -> None:
        """Run `farewell` on the server's thread, give its sends time to arrive, then end."""
        self.post(lambda: self._end(farewell))
        self._thread.join()

    def post(self, function: Callable[[], None]) -> None:
        """Have the server's thread call `function` soon; may be called from any thread."""
        self._posted.append(function)
        os.write(self._wake_writer, b'.')

    def send(self, sid: str, event: str, data: Mapping[str, str]) -> None:
        """Send an event to one client. Only to be called on the server's thread.

        What a client does not take is not queued without end, but dropped and counted.
        """
        if self._stopping:
            return
        if self._sio.unsent(sid) < _UNSENT_AT_MOST:
            self._sio.emit(event, data, to=sid)
        else:
            self.unsent += 1

    def count_malformed(self) -> None:
        """Something came that nobody can read."""
        self.malformed += 1

    @property
    def refusals(self) -> dict[str, int]:
        """How much was turned away so far, for diagnostics."""
        return {
            'malformed_messages': self.malformed,
            'evicted_connections': self.gate.evicted,
            'unsent_answers': self.unsent,
        }

    def opened(self, connection: Any, engineio_sid: str) -> None:
        """A connection became a WebSocket."""
        self._engineio_sids[connection] = engineio_sid
        self.gate.promote(connection)

    def ended(self, connection: Any) -> None:
        """A connection is over."""
        self._engineio_sids.pop(connection, None)
        self.gate.leave(connection)

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

    def _drives(self, connection: Any) -> bool:
        engineio_sid = self._engineio_sids.get(connection)
        sid = self._sio.manager.sid_from_eio_sid(engineio_sid, '/')
        return sid is not None and self._handler is not None and self._handler.drives(sid)

    def _run(self) -> None:
        self._done = eventlet.Event()
        # A listener that stays: a green thread would be registered and switched to each time.
        hub = eventlet.hubs.get_hub()
        hub.add(hub.READ, self._wake_reader, self._drain, _ignore, _ignore)
        wsgi = eventlet.spawn(
            eventlet.wsgi.server,
            _Listener(self._socket, self.gate),
            self._app,
            environ={_SERVER: self, 'wsgi.errors': _Discard()},
            protocol=partial(_HttpProtocol, self),
            max_size=1024,
            socket_timeout=_SOCKET_S,
            log_output=False,
            minimum_chunk_size=1,  # Live pages get each event as it comes.
            debug=False,
        )
        self._done.wait()
        wsgi.kill()
        self._socket.close()

    def _drain(self, _descriptor: int) -> None:
        """Call what other threads posted, in order."""
        os.read(self._wake_reader, 4096)
        while self._posted:
            self._guard(self._posted.popleft())

    def _guard(self, function: Callable[[], None]) -> None:
        """Call it; a mistake in it is logged and must not stop the traffic of everybody else."""
        try:
            function()
        except Exception:
            if time.monotonic() - self._complained_s >= _COMPLAIN_EVERY_S:
                self._complained_s = time.monotonic()
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

    def _on_connect(self, sid: str, environ: dict[str, Any], _auth: object = None) -> None:
        if self._handler:
            connected = self._handler.connected
            self._guard(lambda: connected(sid, is_simulator=LEGACY in environ))

    def _on_disconnect(self, sid: str, _reason: str) -> None:
        if self._handler:
            self._guard(partial(self._handler.disconnected, sid))

    def _on_telemetry(self, sid: str, payload: object = None) -> None:
        if self._handler and not self._stopping:
            self._guard(partial(self._handler.telemetry, sid, payload))


def sleep(seconds: float) -> None:
    """Pause the page that is being served, and nobody else. Only on the server's thread."""
    eventlet.sleep(seconds)


def _ignore(*_: object) -> None:
    """What the hub may call when a descriptor is closed under it: ours never is."""


def _bind(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=64)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = 'is in use: end the other program or choose another port'
        else:
            why = f'cannot be opened: {error.strerror or error}'
        raise ServerError(f'port {port} on {host} {why}') from error
    # Connections inherit it: a page whose phone fell asleep is given up, not written to for ever.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)
    return listener


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback


def _is_own_origin(host: str, origin: str | None, environ: Mapping[str, str]) -> bool:
    """Whether a page comes from this very server, called by an address that cannot be forged.

    A name that somebody else's DNS leads to this machine is no such address.
    """
    if origin is None:
        return True
    url = urlsplit(origin)
    if url.scheme != 'http' or url.netloc != environ.get('HTTP_HOST'):
        return False
    return url.hostname in (host, 'localhost') or _is_address(url.hostname or '')


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _CountingLogger(logging.Logger):
    """What the libraries would print with a traceback for every malformed message, as a count."""

    def __init__(self, count: Callable[[], None]) -> None:
        super().__init__('sim_bridge.malformed', logging.ERROR)
        self._count = count

    def handle(self, record: logging.LogRecord) -> None:
        """Count the record."""
        self._count()


class _Discard:
    """Where eventlet may write that a client left before its farewell."""

    def write(self, _text: str) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Do nothing."""


class _Listener:
    """Accepts connections at the pace of the gate, and ends those that have to make room."""

    def __init__(self, listener: socket.socket, gate: Gate[Any]) -> None:
        self._socket = eventlet.greenio.GreenSocket(listener)
        self._gate = gate

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


class _HttpProtocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection's requests, each with a deadline that dripping bytes cannot put off."""

    def __init__(self, server: SimulatorServer, *args: Any) -> None:
        self._owner = server
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


class _Engineio(engineio.Server):  # type: ignore[misc]
    """Engine.IO server whose WebSockets are quick and understand the legacy dialect."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._async = {**self._async, 'websocket': _WebSocketWSGI}  # type: ignore[has-type]

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Let clients that own up to Engine.IO 3 in through the legacy dialect."""
        query = environ.get('QUERY_STRING', '')
        if len(self.sockets) >= _SESSIONS_AT_MOST and 'transport=websocket' not in query:
            start_response('503 Service Unavailable', [('Connection', 'close')])
            return []
        if 'EIO=3' in query and 'transport=websocket' in query:
            environ['QUERY_STRING'] = query.replace('EIO=3', 'EIO=4')
            environ[LEGACY] = True
        return super().handle_request(environ, start_response)

    def disconnect(self, sid: str) -> None:
        """Close a connection without waiting for its client to fetch what is left for it."""
        connection = self.sockets.pop(sid, None)
        if connection is not None:
            connection.close(wait=False, reason=self.reason.SERVER_DISCONNECT)


class _Socketio(socketio.Server):  # type: ignore[misc]
    """Socket.IO server that takes one event and nothing else, and stumbles over nothing."""

    def __init__(self, on_malformed: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_malformed = on_malformed

    def unsent(self, sid: str) -> int:
        """How many messages wait for this client."""
        connection = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, '/'))
        return connection.queue.qsize() if connection else 0

    def _engineio_server_class(self) -> type[engineio.Server]:
        return _Engineio

    def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        if eio_sid not in self.eio.sockets:
            return
        try:
            super()._handle_eio_message(eio_sid, data)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            self._refuse(eio_sid)

    def _handle_event(self, eio_sid: str, namespace: object, id: object, data: object) -> None:
        """Let telemetry through: `connect` and `disconnect` are handlers too, not for clients."""
        known = isinstance(data, list) and data[:1] == [EVENT_TELEMETRY] and len(data) <= 2
        if known and namespace in (None, '/'):
            super()._handle_event(eio_sid, namespace, id, data)
        else:
            self._refuse(eio_sid)

    def _refuse(self, eio_sid: str) -> None:
        """Count what cannot be used, and close a connection that brings nothing else."""
        self._on_malformed()
        connection = self.eio.sockets.get(eio_sid)
        if connection is not None:
            refused = connection.session[_REFUSED] = connection.session.get(_REFUSED, 0) + 1
            if refused >= MALFORMED_AT_MOST:
                self.eio.disconnect(eio_sid)


class _WebSocketWSGI(WebSocketWSGI):  # type: ignore[misc]
    """Opens WebSockets of the present protocol, uncompressed, for `handler`."""

    def __init__(self, handler: Any, server: engineio.Server) -> None:
        super().__init__(lambda ws: handler(_civilised(ws)), server)
        self.support_legacy_versions = False
        self._engineio_sid = handler.__self__.sid  # A method of one of Engine.IO's own sockets.

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer the request for a WebSocket, and serve it to its end."""
        environ[_SERVER].opened(environ['eventlet.input'].get_socket(), self._engineio_sid)
        return super().__call__(environ, start_response)

    def _negotiate_permessage_deflate(self, _extensions: object) -> None:
        """Decline: a kilobyte could become a gigabyte, and the simulator does not ask for it."""


def _civilised(ws: Any) -> LegacyDialect:
    """A WebSocket that is quick, bounded, and understands the simulator."""
    server = ws.environ[_SERVER]
    ws.socket = _QuickSocket(ws.socket, server.gate)
    ws.Message = _BoundedMessage
    ws._apply_mask = unmask
    ws._recv_frame = partial(_receive_frames, ws)
    return LegacyDialect(ws, server.count_malformed)


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

    def __init__(self, green_socket: Any, gate: Gate[Any]) -> None:
        self._socket = green_socket
        self._gate = gate
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
