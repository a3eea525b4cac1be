# SPDX-License-Identifier: Apache-2.0
"""Opening the TCP ports that others connect to."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

from sim_bridge.errors import UsageError


class ServerError(UsageError):
    """The address cannot be opened. The message names it and the reason."""


def listen(
    host: str,
    port: int,
    *,
    backlog: int,
    unacknowledged_ms: int,
    family: socket.AddressFamily = socket.AF_INET,
) -> socket.socket:
    """Return a listening socket; port 0 takes any free one.

    A connection ends when its client, such as a sleeping phone, has acknowledged nothing for
    `unacknowledged_ms`. Raises ServerError if the address cannot be opened.
    """
    try:
        listener = socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = 'is in use: end the other program or choose another port'
        else:
            why = f'cannot be opened: {error.strerror or error}'
        raise ServerError(f'port {port} on {host} {why}') from error
    # Connections inherit both. NODELAY sends a further small answer at once.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or an address that only programs of this machine reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'
