# SPDX-License-Identifier: Apache-2.0
"""WebSockets of the bridge's own pages, bounded as those of simulators are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from sim_bridge.server.eventlet_imports import eventlet
from sim_bridge.server.websocket import OWNER, prepare_reading

_MAX_MESSAGE_BYTES = 4096


class PageSocket(Protocol):
    """A WebSocket that is open."""

    def wait(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""

    def send(self, message: str) -> None:
        """Send a message."""


class _PageSocketWsgi(eventlet.websocket.WebSocketWSGI):  # type: ignore[misc]
    """Opens uncompressed WebSockets of RFC 6455."""

    def __init__(self, handler: Callable[[PageSocket], None]) -> None:
        super().__init__(lambda ws: _serve(ws, handler), max_frame_length=_MAX_MESSAGE_BYTES)
        self.support_legacy_versions = False

    def _negotiate_permessage_deflate(self, _extensions: object) -> None:
        """Refuse compression, because a kilobyte could become a gigabyte."""


def open_page_socket(
    environ: dict[str, Any],
    start_response: Callable[..., Any],
    handler: Callable[[PageSocket], None],
) -> Iterable[bytes]:
    """Answer a request for a WebSocket, and let `handler` serve it until the handler returns."""
    body: Iterable[bytes] = _PageSocketWsgi(handler)(environ, start_response)
    return body


def _serve(ws: Any, handler: Callable[[PageSocket], None]) -> None:
    ws.environ[OWNER].limiter.promote(ws.socket)
    prepare_reading(ws)
    handler(ws)
