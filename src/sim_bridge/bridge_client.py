# SPDX-License-Identifier: Apache-2.0
"""Client of a running bridge: the address to connect to, its state, and whether it is ready."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

_LOCAL_NAME = 'localhost'


def client_host(listen_host: str) -> str:
    """Return the host to connect to for a server on this machine that listens on `listen_host`."""
    return '127.0.0.1' if listen_host in ('', '0.0.0.0') else listen_host


def fetch_state(host: str, port: int, timeout_s: float = 0.5) -> dict[str, Any] | None:
    """Return /state.json of the bridge; None if no bridge answers within `timeout_s`."""
    try:
        state = json.loads(_get(host, port, '/state.json', timeout_s))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return state if isinstance(state, dict) else None


def is_ready(
    state: Mapping[str, Any] | None, *, drive: str = '', is_recorded: bool = False
) -> bool:
    """Return whether a bridge with this state is connected to all nodes that a drive needs.

    With the identifier of a `drive`, only the bridge of this drive counts, not the one of another
    drive that already has the port. `is_recorded`: the drive needs a recorder too.
    """
    if not state or not state.get('ready') or drive not in ('', state.get('drive')):
        return False
    return not is_recorded or all(car['nodes']['recorder'] == 'ready' for car in state['cars'])


def _get(host: str, port: int, path: str, timeout_s: float) -> bytes:
    """Return the body of a page of the bridge."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        # The bridge rejects names that it does not know; every bridge knows this one.
        connection.request('GET', path, headers={'Host': _LOCAL_NAME})
        return connection.getresponse().read()
    finally:
        connection.close()
