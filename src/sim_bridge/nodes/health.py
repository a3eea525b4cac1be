"""How a node says once a second how it is, in the standard way that rqt and Foxglove show."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from sim_bridge import messages

_PERIOD_S = 1.0

Health = tuple[bytes, str, Mapping[str, object]]
"""Level of diagnostic_msgs/DiagnosticStatus, one line for people, and the figures behind it."""


def publish_health(node: Node, name: str, tell: Callable[[], Health]) -> None:
    """Publish what `tell` says on `diagnostics`, under this name of a status."""
    publisher = node.create_publisher(DiagnosticArray, 'diagnostics', 10)

    def publish() -> None:
        level, summary, values = tell()
        stamp = node.get_clock().now().to_msg()
        publisher.publish(messages.diagnostics(stamp, name, level, summary, values))

    node.create_timer(_PERIOD_S, publish)
