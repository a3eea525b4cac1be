# SPDX-License-Identifier: Apache-2.0
"""Socket.IO and Engine.IO with bounds: on sessions, unsent messages and accepted events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sim_bridge.protocol.udacity import EVENT_TELEMETRY
from sim_bridge.server.eio3_adapter import EIO3, MALFORMED_AT_MOST
from sim_bridge.server.eventlet_imports import engineio, socketio
from sim_bridge.server.websocket import QuickWebSocketWSGI

_REFUSED = 'sim_bridge.refused'
_SESSIONS_AT_MOST = 256
"""Sessions of pollers outlive their connections; those of WebSockets do not."""


class BoundedSocketio(socketio.Server):  # type: ignore[misc]
    """Socket.IO server that accepts only `telemetry`. Malformed input is counted, not raised."""

    def __init__(self, on_malformed: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_malformed = on_malformed

    def unsent(self, sid: str) -> int:
        """Return the number of messages that wait for this client."""
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
        """Pass on only `telemetry`, because `connect` and `disconnect` are not for clients."""
        known = isinstance(data, list) and data[:1] == [EVENT_TELEMETRY] and len(data) <= 2
        if known and namespace in (None, '/'):
            super()._handle_event(eio_sid, namespace, id, data)
        else:
            self._refuse(eio_sid)

    def _refuse(self, eio_sid: str) -> None:
        """Count a message that cannot be used, and close a connection with too many of them."""
        self._on_malformed()
        connection = self.eio.sockets.get(eio_sid)
        if connection is not None:
            refused = connection.session[_REFUSED] = connection.session.get(_REFUSED, 0) + 1
            if refused >= MALFORMED_AT_MOST:
                self.eio.disconnect(eio_sid)


class _Engineio(engineio.Server):  # type: ignore[misc]
    """Engine.IO server with quick WebSockets that understand Engine.IO 3."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._async = {**self._async, 'websocket': QuickWebSocketWSGI}  # type: ignore[has-type]

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Accept a client that declares Engine.IO 3, through the adapter."""
        query = environ.get('QUERY_STRING', '')
        if len(self.sockets) >= _SESSIONS_AT_MOST and 'transport=websocket' not in query:
            start_response('503 Service Unavailable', [('Connection', 'close')])
            return []
        if 'EIO=3' in query and 'transport=websocket' in query:
            environ['QUERY_STRING'] = query.replace('EIO=3', 'EIO=4')
            environ[EIO3] = True
        return super().handle_request(environ, start_response)

    def disconnect(self, sid: str) -> None:
        """Close a connection without waiting until its client has read everything."""
        connection = self.sockets.pop(sid, None)
        if connection is not None:
            connection.close(wait=False, reason=self.reason.SERVER_DISCONNECT)


class CountingLogger(logging.Logger):
    """Counts the log records of the libraries, which have a traceback per malformed message."""

    def __init__(self, count: Callable[[], None]) -> None:
        super().__init__('sim_bridge.malformed', logging.ERROR)
        self._count = count

    def handle(self, record: logging.LogRecord) -> None:
        """Count the record."""
        self._count()
