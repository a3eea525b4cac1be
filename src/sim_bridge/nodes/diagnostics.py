# SPDX-License-Identifier: Apache-2.0
"""Publishes the health of nodes once a second as diagnostics, which rqt and Foxglove show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from sim_bridge.nodes import conversions
from sim_bridge.topics import DIAGNOSTICS
from steering_net.ros.timers import steady_timer

PERIOD_S = 1.0
_DEPTH = 10

Health = tuple[bytes, str, Mapping[str, object]]
"""Level of diagnostic_msgs/DiagnosticStatus, a summary in one line, and the figures behind it."""


class Diagnostics:
    """Publishes all statuses on `diagnostics`, and the status of each car on its own topic too."""

    def __init__(self, node: Node, prefixes: Sequence[str]) -> None:
        """`prefixes` of the cars' topics, see `steering_net.cars`."""
        self._node = node
        self._all = node.create_publisher(DiagnosticArray, DIAGNOSTICS, _DEPTH)
        self._of_cars = [
            node.create_publisher(DiagnosticArray, prefix + DIAGNOSTICS, _DEPTH)
            for prefix in prefixes
            if prefix
        ]

    def publish(self, statuses: Sequence[DiagnosticStatus]) -> None:
        """Publish one status per car, in the order of the cars."""
        stamp = self._node.get_clock().now().to_msg()
        self._all.publish(conversions.diagnostics(stamp, statuses))
        for publisher, status in zip(self._of_cars, statuses, strict=False):
            publisher.publish(conversions.diagnostics(stamp, [status]))


def publish_health(node: Node, name: str, read: Callable[[], Health]) -> None:
    """Publish the result of `read` once a second as the status `name` of a node."""
    diagnostics = Diagnostics(node, [])
    steady_timer(
        node, PERIOD_S, lambda: diagnostics.publish([conversions.diagnostic(name, *read())])
    )
