"""The Socket.IO server that simulators and pages connect to.

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
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from typing import Any, Protocol

from sim_bridge.errors import UsageError
from sim_bridge.protocol.udacity import EVENT_TELEMETRY
from sim_bridge.server.connection_limiter import ConnectionLimiter
from sim_bridge.server.eio3_adapter import LEGACY, MAX_MESSAGE_BYTES
from sim_bridge.server.eventlet_imports import eventlet, socketio
from sim_bridge.server.host_check import Names, WsgiApp
from sim_bridge.server.socketio_server import BoundedSocketio, CountingLogger
from sim_bridge.server.websocket import OWNER, HttpProtocol, Listener

_logger = logging.getLogger('sim_bridge.server')

_FAREWELL_S = 0.1
_SOCKET_S = 30.0
_UNSENT_AT_MOST = 16
"""A simulator has two tokens, so it can have two answers under way, and some keepalives."""
_COMPLAIN_EVERY_S = 5.0
_UNHEARD_MS = 20_000


class ServerError(UsageError):
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

    def __init__(
        self, *, host: str, port: int, pages: WsgiApp, allowed_hosts: Iterable[str] = ()
    ) -> None:
        """Bind at once, so that a port in use is told before anything else starts.

        Browsers may call it by an address, `localhost`, `host` and the `allowed_hosts`. Raises
        ServerError if the address cannot be had. port 0 takes any free one.
        """
        self._socket = _bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.is_local = _is_loopback(self._socket.getsockname()[0])
        self.malformed = 0
        self.unsent = 0
        self.limiter: ConnectionLimiter[Any] = ConnectionLimiter(self._drives)
        self._engineio_sids: dict[Any, str] = {}
        self._complained_s = float('-inf')
        names = Names(host, allowed_hosts)
        quiet = CountingLogger(self.count_malformed)
        self._sio = BoundedSocketio(
            self.count_malformed,
            async_mode='eventlet',
            async_handlers=False,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
            cors_allowed_origins=names.takes_origin,
            logger=quiet,
            engineio_logger=quiet,
        )
        self._app = names.guard(socketio.WSGIApp(self._sio, pages))
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

    def repeat(self, period_s: float, function: Callable[[], None]) -> None:
        """Have the server's thread call `function` soon, and again after each period."""

        def call_and_come_back() -> None:
            eventlet.hubs.get_hub().schedule_call_global(period_s, call_and_come_back)
            self._guard(function)

        self.post(call_and_come_back)

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
            'evicted_connections': self.limiter.evicted,
            'unsent_answers': self.unsent,
        }

    def opened(self, connection: Any, engineio_sid: str) -> None:
        """A connection became a WebSocket."""
        self._engineio_sids[connection] = engineio_sid
        self.limiter.promote(connection)

    def ended(self, connection: Any) -> None:
        """A connection is over."""
        self._engineio_sids.pop(connection, None)
        self.limiter.leave(connection)

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
            Listener(self._socket, self.limiter),
            self._app,
            environ={OWNER: self, 'wsgi.errors': _Discard()},
            protocol=partial(HttpProtocol, self),
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
    # Connections inherit both. A page whose phone fell asleep is given up after a while.
    # A second small answer leaves at once, it does not wait for the client's next telemetry.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback


class _Discard:
    """Where eventlet may write that a client left before its farewell."""

    def write(self, _text: str) -> None:
        """Drop it."""

    def flush(self) -> None:
        """Do nothing."""
