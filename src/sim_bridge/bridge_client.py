# SPDX-License-Identifier: Apache-2.0
"""Client of a running bridge: the address to connect to, its state, and whether it is ready."""

from __future__ import annotations

import http.client
import json
from typing import Any

_LOCAL_NAME = 'localhost'


def client_host(listen_host: str) -> str:
    """Return the host to connect to for a server on this machine that listens on `listen_host`."""
    return '127.0.0.1' if listen_host in ('', '0.0.0.0') else listen_host


def fetch_state(host: str, port: int, timeout_s: float = 0.5) -> dict[str, Any] | None:
    """Return /state.json of the bridge; None if no bridge answers within `timeout_s`."""
    try:
        _, content = _get(host, port, '/state.json', timeout_s)
        state = json.loads(content)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return state if isinstance(state, dict) else None


def is_ready(host: str, port: int, timeout_s: float = 1.0) -> bool:
    """Return whether the bridge is connected to all nodes that a drive needs (/healthz)."""
    try:
        status, _ = _get(host, port, '/healthz', timeout_s)
    except (OSError, http.client.HTTPException):
        return False
    return status == http.HTTPStatus.OK


def _get(host: str, port: int, path: str, timeout_s: float) -> tuple[int, bytes]:
    """Return status and body of a page of the bridge."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        # The bridge rejects names that it does not know; every bridge knows this one.
        connection.request('GET', path, headers={'Host': _LOCAL_NAME})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
