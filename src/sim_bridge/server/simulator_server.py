# SPDX-License-Identifier: Apache-2.0
"""The Socket.IO server that simulators and pages connect to.

One thread runs eventlet's hub, and with it every socket, every handler call and every send. Other
threads use `call_soon` alone, because an `emit` from another thread is lost silently.

The unmodified Udacity simulator claims Engine.IO 4 but speaks Engine.IO 3: it never opens its
namespace and pings the server itself. `Eio3Adapter` translates this at the WebSocket, so that
python-socketio serves simulators and modern clients on one port.

Everything that a client can make grow is bounded: the number and pace of connections, requests,
messages, fragments, unsent answers and log lines. Unreadable messages are counted, not logged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from sim_bridge.protocol.types import Link
from sim_bridge.protocol.udacity import EVENT_TELEMETRY, UdacityLink
from sim_bridge.server.connection_limiter import ConnectionLimiter
from sim_bridge.server.eio3_adapter import EIO3, MAX_MESSAGE_BYTES
from sim_bridge.server.eventlet_imports import eventlet, socketio
from sim_bridge.server.host_check import HostCheck, WsgiApp
from sim_bridge.server.listening import is_loopback, listen
from sim_bridge.server.socketio_server import BoundedSocketio, CountingLogger
from sim_bridge.server.websocket import OWNER, HttpProtocol, Listener

T = TypeVar('T')

_logger = logging.getLogger('sim_bridge.server')

_LAST_SENDS_S = 0.1
_SOCKET_S = 30.0
_UNSENT_AT_MOST = 16
"""Unsent events of a client: two answers, because a simulator has two tokens, and keepalives."""
_LOG_EVERY_S = 5.0
_UNACKNOWLEDGED_MS = 20_000
_SHORTEST_DELAY_S = 0.0005


class Handler(Protocol):
    """Receives the events of a server, always on the server's thread.

    The server passes the time of its clock, and after each call asks for the next deadline.
    """

    def connected(self, now_s: float, key: str, link: Link, *, is_simulator: bool) -> None:
        """Take a new client, which `key` names from now on.

        is_simulator: it speaks Engine.IO 3, as only the Udacity simulator does.
        """

    def disconnected(self, now_s: float, key: str) -> None:
        """Note that a client is gone."""

    def drives(self, now_s: float, key: str) -> bool:
        """Whether this client drives a car, so that it may not be disconnected for another."""

    def telemetry(self, now_s: float, key: str, payload: object) -> None:
        """Take the data of a client's `telemetry` event."""

    def expire(self, now_s: float) -> None:
        """Act on deadlines that have passed."""

    def next_deadline(self) -> float:
        """Time at which `expire` has to be called next; infinity for never."""


class SimulatorServer:
    """Serves simulators, modern Socket.IO clients and a WSGI application on one port."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        pages: WsgiApp,
        allowed_hosts: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bind at once, so that a port in use is reported before anything else starts.

        port: 0 takes any free one. pages: WSGI application for paths other than Socket.IO's.
        allowed_hosts: names by which browsers may call the server, besides addresses, `localhost`
        and `host`. Raises ServerError if the address cannot be opened.
        """
        self._clock = clock
        self._handler: Handler | None = None
        self._socket = listen(host, port, backlog=64, unacknowledged_ms=_UNACKNOWLEDGED_MS)
        self.port: int = self._socket.getsockname()[1]
        self.is_local = is_loopback(self._socket.getsockname()[0])
        self.malformed = 0
        self.unsent = 0
        self.limiter: ConnectionLimiter[Any] = ConnectionLimiter(self._drives)
        self._engineio_sids: dict[Any, str] = {}
        self._logged_s = float('-inf')
        hosts = HostCheck(host, allowed_hosts)
        quiet = CountingLogger(self.count_malformed)
        self._sio = BoundedSocketio(
            self.count_malformed,
            async_mode='eventlet',
            async_handlers=False,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
            cors_allowed_origins=hosts.allows_origin,
            logger=quiet,
            engineio_logger=quiet,
        )
        self._app = hosts.wrap(socketio.WSGIApp(self._sio, hosts.keep_out_others(pages)))
        self._calls: deque[Callable[[float], object]] = deque()
        self._wake_reader, writer = os.pipe()
        self._wake_writer = os.fdopen(writer, 'wb', buffering=0)
        self._stopping = False
        self._timer: Any = None
        self._timer_at_s = float('inf')
        self._thread = threading.Thread(target=self._run, name='simulator-server')

    def start(self, handler: Handler) -> None:
        """Accept clients from now on, and report them to `handler`."""
        self.attach(handler)
        self._thread.start()

    def attach(self, handler: Handler) -> None:
        """Report clients to `handler`, without accepting any. `start` does both."""
        self._handler = handler
        self._sio.on('connect', partial(self._on_connect, handler))
        self._sio.on('disconnect', partial(self._on_disconnect, handler))
        self._sio.on(EVENT_TELEMETRY, partial(self._on_telemetry, handler))

    def stop(self, last_call: Callable[[], None]) -> None:
        """Run `last_call` on the server's thread, give its sends time to arrive, then end."""
        self.call_soon(lambda _now_s: self._end(last_call))
        self._thread.join()

    def call_soon(self, function: Callable[[float], object]) -> None:
        """Let the server's thread call `function` with the time, unless the server has ended.

        Any thread may call this.
        """
        self._calls.append(function)
        with contextlib.suppress(ValueError):  # The file is closed after the end.
            self._wake_writer.write(b'.')

    def call_now(self, function: Callable[[float], T]) -> T:
        """Call `function` with the time and return its value. Only for the server's thread."""
        try:
            return function(self._clock())
        finally:
            if self._handler:
                self._set_timer(self._handler)

    def repeat(self, period_s: float, function: Callable[[], object]) -> None:
        """Let the server's thread call `function` soon, and again after each period."""

        def call_and_repeat(_now_s: float) -> None:
            hub = eventlet.hubs.get_hub()
            hub.schedule_call_global(period_s, self._call, call_and_repeat)
            function()

        self.call_soon(call_and_repeat)

    def send(self, sid: str, event: str, data: Mapping[str, str]) -> bool:
        """Send an event to one client; return False if it is dropped.

        It is dropped and counted if too many wait for a client that does not read. Only the
        server's thread may call this.
        """
        if self._stopping:
            return False
        if self._sio.unsent(sid) >= _UNSENT_AT_MOST:
            self.unsent += 1
            return False
        self._sio.emit(event, data, to=sid)
        return True

    def count_malformed(self) -> None:
        """Count a message that cannot be read."""
        self.malformed += 1

    @property
    def refusals(self) -> dict[str, int]:
        """Counts of refused messages, connections and answers, for diagnostics."""
        return {
            'malformed_messages': self.malformed,
            'evicted_connections': self.limiter.evicted,
            'unsent_answers': self.unsent,
        }

    def opened(self, connection: Any, engineio_sid: str) -> None:
        """Note that a connection became a WebSocket."""
        self._engineio_sids[connection] = engineio_sid
        self.limiter.promote(connection)

    def ended(self, connection: Any) -> None:
        """Note that a connection has ended."""
        self._engineio_sids.pop(connection, None)
        self.limiter.leave(connection)

    def _drives(self, connection: Any) -> bool:
        engineio_sid = self._engineio_sids.get(connection)
        sid = self._sio.manager.sid_from_eio_sid(engineio_sid, '/')
        return bool(sid and self._handler and self._handler.drives(self._clock(), sid))

    def _run(self) -> None:
        self._done = eventlet.Event()
        # A permanent listener; a green thread costs a registration and a switch each time.
        hub = eventlet.hubs.get_hub()
        waking = hub.add(hub.READ, self._wake_reader, self._drain, _ignore, _ignore)
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
        self._wake_writer.close()
        hub.remove(waking)
        os.close(self._wake_reader)

    def _drain(self, _descriptor: int) -> None:
        """Make the calls of other threads, in order."""
        os.read(self._wake_reader, 4096)
        while self._calls:
            self._call(self._calls.popleft())

    def _call(self, function: Callable[[float], object]) -> None:
        """Call `function` with the time, then set the timer for the next deadline.

        An error in it is logged, because it must not stop the traffic of the other clients.
        """
        try:
            function(self._clock())
        except Exception:
            if self._clock() - self._logged_s >= _LOG_EVERY_S:
                self._logged_s = self._clock()
                _logger.exception('a call on the server thread failed')
        if self._handler:
            self._set_timer(self._handler)

    def _set_timer(self, handler: Handler) -> None:
        """Call the handler's `expire` at its next deadline, or at an earlier time already set."""
        deadline_s = handler.next_deadline()
        if self._timer is not None:
            if self._timer_at_s <= deadline_s:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_at_s = deadline_s
        if deadline_s != float('inf'):
            delay_s = max(_SHORTEST_DELAY_S, deadline_s - self._clock())
            hub = eventlet.hubs.get_hub()
            self._timer = hub.schedule_call_global(delay_s, self._on_timer, handler)

    def _end(self, last_call: Callable[[], None]) -> None:
        try:
            last_call()
        finally:
            self._stopping = True
            # The server reads on until then, because the kernel would reset a connection with
            # unread data before the last sends arrive.
            eventlet.spawn_after(_LAST_SENDS_S, self._done.send)

    def _on_timer(self, handler: Handler) -> None:
        self._timer = None
        self._call(handler.expire)

    def _on_connect(
        self, handler: Handler, sid: str, environ: dict[str, Any], _auth: object = None
    ) -> None:
        link = UdacityLink(partial(self.send, sid))
        is_simulator = EIO3 in environ
        self._call(lambda now_s: handler.connected(now_s, sid, link, is_simulator=is_simulator))

    def _on_disconnect(self, handler: Handler, sid: str, _reason: str) -> None:
        self._call(lambda now_s: handler.disconnected(now_s, sid))

    def _on_telemetry(self, handler: Handler, sid: str, payload: object = None) -> None:
        if not self._stopping:
            self._call(lambda now_s: handler.telemetry(now_s, sid, payload))


def sleep(seconds: float) -> None:
    """Pause the page that is being served, and no other. Only for the server's thread."""
    eventlet.sleep(seconds)


def _ignore(*_: object) -> None:
    """Callback of the hub for a closed descriptor. Ours stays open, so it is never called."""


class _Discard:
    """File for eventlet's messages about clients that left early; drops them."""

    def write(self, _text: str) -> None:
        """Drop the text."""

    def flush(self) -> None:
        """Do nothing."""
