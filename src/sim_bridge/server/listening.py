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
        raise ServerError(f'port {port} on {host} {_reason(error)}') from error
    # Connections inherit both. NODELAY sends a further small answer at once.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return 'is in use: end the other program or choose another port'
    # Errors of the resolver are below 0.
    if error.errno == errno.EADDRNOTAVAIL or (error.errno or 0) < 0:
        return (
            'cannot be opened: host must be an IPv4 address of this machine, such as 127.0.0.1, '
            'or 0.0.0.0 for all of them'
        )
    if error.errno == errno.EACCES:
        return 'cannot be opened: this needs an administrator; choose a port of 1024 or more'
    return f'cannot be opened: {error.strerror or error}'


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or an address that only programs of this machine reach."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'
