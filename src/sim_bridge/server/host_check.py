# SPDX-License-Identifier: Apache-2.0
"""Checks Host and Origin headers: by which names and from which pages browsers may call.

Another site can point its own name at this machine (DNS rebinding). A browser then lets the pages
of that site read the bridge's answers, the camera's frames too. Such requests still carry the name
of the site. Addresses and `localhost` cannot be forged in this way.

A page of another site can also send requests that change something, without reading the answers.
Browsers name the site in the Origin header of each of them.

Such a page can also show an image or a stream of the bridge, and so use up all streams. A browser
sends no Origin then, but most browsers say in Sec-Fetch-Site that the page is of another site.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_logger = logging.getLogger('sim_bridge.server')
_READING = ('GET', 'HEAD', 'OPTIONS')
_SHOWN_AT_MOST = 100
_LOG_EVERY_S = 5.0


class HostCheck:
    """Accepts or refuses requests by their Host and Origin; logs one refusal in five seconds."""

    def __init__(
        self, host: str, allowed: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`host`: address or name that the server listens on. `allowed`: more names."""
        self._allowed = {name.strip().lower() for name in allowed} - {''}
        self._known = {'localhost', host.lower(), *self._allowed}
        self._clock = clock
        self._logged_s = float('-inf')

    def wrap(self, app: WsgiApp) -> WsgiApp:
        """Return `app` for requests that name this server; others get 403 with the fix."""

        def checked(
            environ: dict[str, Any], start_response: Callable[..., Any]
        ) -> Iterable[bytes]:
            if _is_plain_websocket(environ) or self.allows_host(environ.get('HTTP_HOST', '')):
                return app(environ, start_response)
            refusal = _not_known(environ['HTTP_HOST'])
            self._log(f'a request was refused: {refusal}')
            return _refuse(start_response, refusal)

        return checked

    def keep_out_others(self, app: WsgiApp) -> WsgiApp:
        """Return `app` for requests of no page of another site, which may only link to it."""

        def checked(
            environ: dict[str, Any], start_response: Callable[..., Any]
        ) -> Iterable[bytes]:
            if _can_change(environ) and not self.allows_origin(
                environ.get('HTTP_ORIGIN'), environ
            ):
                return _refuse(start_response, 'only pages of this bridge may send this request')
            if _is_embedded_elsewhere(environ):
                return _refuse(start_response, 'pages of other sites may only link to this bridge')
            return app(environ, start_response)

        return checked

    def allows_host(self, host: str) -> bool:
        """Whether a Host header names this server.

        An empty one is allowed, because only scripts send none.
        """
        return not host or self._is_known(_hostname(f'//{host}'))

    def allows_origin(self, origin: str | None, environ: Mapping[str, str]) -> bool:
        """Whether an Origin header names a page of this server, or of a proxy that is allowed."""
        if origin is None:
            return True
        name = _hostname(origin)
        is_own = origin.startswith('http://') and origin[7:] == environ.get('HTTP_HOST')
        if name in self._allowed or (is_own and self._is_known(name)):
            return True
        self._log(
            f'a page of {origin[:_SHOWN_AT_MOST]!r} was refused: only pages of this bridge may '
            'connect. For a proxy of yours, add its name to the parameter allowed_hosts'
        )
        return False

    def _is_known(self, name: str) -> bool:
        return name in self._known or _is_address(name)

    def _log(self, line: str) -> None:
        if self._clock() - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = self._clock()
            _logger.warning(line)


def _refuse(start_response: Callable[..., Any], refusal: str) -> Iterable[bytes]:
    headers = [('Content-Type', 'text/plain; charset=utf-8'), ('Connection', 'close')]
    start_response('403 Forbidden', headers)
    return [f'{refusal}\n'.encode()]


def _can_change(environ: Mapping[str, Any]) -> bool:
    """Whether a request can change something: all but reading, and each WebSocket."""
    return environ['REQUEST_METHOD'] not in _READING or _is_websocket(environ)


def _is_embedded_elsewhere(environ: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of another site embeds what it asks for."""
    is_elsewhere = environ.get('HTTP_SEC_FETCH_SITE') == 'cross-site'
    return is_elsewhere and environ.get('HTTP_SEC_FETCH_DEST') != 'document'


def _is_websocket(environ: Mapping[str, Any]) -> bool:
    return bool(environ.get('HTTP_UPGRADE', '').lower() == 'websocket')


def _is_plain_websocket(environ: Mapping[str, Any]) -> bool:
    """Whether a request opens a WebSocket and comes from no browser, as the simulator's does."""
    return _is_websocket(environ) and 'HTTP_ORIGIN' not in environ


def _not_known(host: str) -> str:
    name = _hostname(f'//{host}') or host
    return (
        f'this bridge is not known as {name[:_SHOWN_AT_MOST]!r}. Open it by its IP address or as '
        'localhost, or add the name: parameter allowed_hosts of the bridge, or '
        'sim-bridge drive --allowed-hosts NAME'
    )


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or '').removesuffix('.')
    except ValueError:
        return ''


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
