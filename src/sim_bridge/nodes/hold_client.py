# SPDX-License-Identifier: Apache-2.0
"""Holds or releases the cars of a running drive, for `sim-bridge hold`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import rclpy
from rclpy.node import Node
from std_srvs.srv import SetBool

from sim_bridge import services, topics
from sim_bridge.nodes.runner import ros

_SEARCH_S = 5.0
"""Longest wait for the first car."""
_QUIET_S = 0.5
"""Time without a further car after which all are found."""
_REPLY_S = 3.0
_TYPE = 'std_srvs/srv/SetBool'


def set_held(is_held: bool, car: int = 0) -> Iterator[tuple[str, bool, str]]:
    """Hold or release each car that is found, at once; yield its service, success and reply.

    `car`: number of the only car that is meant, counted from 1; 0 for all. Yields nothing if there
    is no such car.
    """
    with ros():
        node = rclpy.create_node('hold')
        try:
            done: set[str] = set()
            until_s = time.monotonic() + _SEARCH_S
            while time.monotonic() < until_s:
                for service in _services(node, car) - done:
                    done.add(service)
                    yield service, *_call(node, service, is_held)
                    until_s = time.monotonic() + _QUIET_S
                if car and done:
                    return
                time.sleep(0.02)
        finally:
            node.destroy_node()


def _services(node: Node, car: int) -> set[str]:
    """Return the full names of the services that hold a car."""
    return {
        name
        for name, types in node.get_service_names_and_types()
        if _TYPE in types
        and name.endswith(f'/{services.HOLD}')
        and (not car or topics.car_of(name) == car)
    }


def _call(node: Node, service: str, is_held: bool) -> tuple[bool, str]:
    client = node.create_client(SetBool, service)
    if not client.wait_for_service(_REPLY_S):
        return False, 'the bridge does not answer'
    reply = client.call_async(SetBool.Request(data=is_held))
    rclpy.spin_until_future_complete(node, reply, timeout_sec=_REPLY_S)
    if not reply.done():
        return False, 'the bridge does not answer'
    return bool(reply.result().success), str(reply.result().message)
