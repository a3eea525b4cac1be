# SPDX-License-Identifier: Apache-2.0
"""ViewerCheck: which WebSocket handshakes may pass to the Foxglove server.

The Foxglove app runs in a browser too, on a page of foxglove.dev, so that its Origin header names
another site than this server. Any other site must not read the frames or drive the car.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from sim_bridge.server.host_check import HostCheck
from sim_bridge.server.listening import is_loopback

_APP_DOMAIN = 'foxglove.dev'


class ViewerCheck:
    """Accepts or refuses handshakes by their Origin and Host headers.

    Accepted are programs that are no browsers, which send no Origin; desktop apps (`file://`);
    https pages of foxglove.dev; pages of this machine; and pages of the `allowed` names.
    """

    def __init__(self, host: str, allowed: Iterable[str] = ()) -> None:
        """`host`: address or name that the server listens on. `allowed`: more names."""
        self._hosts = HostCheck(host, allowed)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Return whether a handshake with these headers, by lower-case name, may pass."""
        origin, host = headers.get('origin'), headers.get('host', '')
        if origin is None:
            return True
        if not self._hosts.allows_host(host):
            return False
        return _is_app(origin) or self._hosts.allows_origin(origin, {'HTTP_HOST': host})


def headers_of(head: bytes) -> dict[str, str]:
    """Return the headers of an HTTP request by lower-case name."""
    lines = head.decode('latin-1').split('\r\n')[1:]
    pairs = (line.partition(':') for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _is_app(origin: str) -> bool:
    """Whether an Origin is that of a viewer: a desktop app, foxglove.dev or a local page."""
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ''
    except ValueError:
        return False
    if parts.scheme == 'file':
        return True
    is_foxglove = name == _APP_DOMAIN or name.endswith(f'.{_APP_DOMAIN}')
    return (parts.scheme == 'https' and is_foxglove) or is_loopback(name)
