# SPDX-License-Identifier: Apache-2.0
"""Holds or releases the cars of a running drive, for `sim-bridge hold`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import rclpy
from rclpy.node import Node
from std_srvs.srv import SetBool

from sim_bridge import services, topics
from sim_bridge.nodes.runner import ros

SEARCH_S = 5.0
"""Longest wait for the first car."""
_QUIET_S = 0.5
"""Time without a further car after which all are found."""
_REPLY_S = 3.0
_LOOK_S = 0.02


def set_held(is_held: bool, car: int = 0) -> Iterator[tuple[str, bool, str]]:
    """Hold or release each car that is found, at once; yield its service, success and reply.

    `car`: number of the only car that is meant, counted from 1; 0 for all. Yields nothing if there
    is no such car.
    """
    with ros():
        node = rclpy.create_node('hold')
        try:
            found: set[str] = set()
            calls: dict[str, _Call] = {}
            until_s = time.monotonic() + SEARCH_S
            while calls or time.monotonic() < until_s:
                for service in sorted(_services(node, car) - found):
                    found.add(service)
                    calls[service] = _Call(node, service, is_held)
                    until_s = time.monotonic() + _QUIET_S
                # None waits for another one, because a frozen bridge must not delay the others.
                for service, call in list(calls.items()):
                    outcome = call.outcome()
                    if outcome is not None:
                        del calls[service]
                        yield service, *outcome
                if car and found and not calls:
                    return
                rclpy.spin_once(node, timeout_sec=_LOOK_S)
        finally:
            node.destroy_node()


def _services(node: Node, car: int) -> set[str]:
    """Return the full names of the services that hold a car."""
    return {
        name
        for name, types in node.get_service_names_and_types()
        if services.SERVICES[services.HOLD].type in types
        and name.endswith(f'/{services.HOLD}')
        and (not car or topics.car_of(name) == car)
    }


class _Call:
    """A call of one service: it is sent as soon as the service is there."""

    def __init__(self, node: Node, service: str, is_held: bool) -> None:
        self._client = node.create_client(SetBool, service)
        self._request = SetBool.Request(data=is_held)
        self._reply: Any = None
        self._until_s = time.monotonic() + _REPLY_S

    def outcome(self) -> tuple[bool, str] | None:
        """Return the success and the reply, once it has come or comes too late; None before."""
        if self._reply is None and self._client.service_is_ready():
            self._reply = self._client.call_async(self._request)
            self._until_s = time.monotonic() + _REPLY_S
        if self._reply is not None and self._reply.done():
            response = self._reply.result()
            return bool(response.success), str(response.message)
        is_late = time.monotonic() > self._until_s
        return (False, 'the bridge does not answer') if is_late else None
