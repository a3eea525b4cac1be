"""What a node says of itself, to those who watch all cars and to those who watch one."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

from sim_bridge import messages


class Diagnostics:
    """Publishes all statuses on `diagnostics`, and that of each car on its own topic as well."""

    def __init__(self, node: Node, prefixes: Sequence[str]) -> None:
        """`prefixes` of the cars' topics, see `sim_bridge.fleet.prefixes`."""
        self._node = node
        self._all = node.create_publisher(DiagnosticArray, 'diagnostics', 10)
        self._of_cars = [
            node.create_publisher(DiagnosticArray, f'{prefix}diagnostics', 10)
            for prefix in prefixes
            if prefix
        ]

    def publish(self, statuses: Sequence[DiagnosticStatus]) -> None:
        """One status per car, in their order."""
        stamp = self._node.get_clock().now().to_msg()
        self._all.publish(messages.diagnostics(stamp, statuses))
        for publisher, status in zip(self._of_cars, statuses, strict=False):
            publisher.publish(messages.diagnostics(stamp, [status]))
