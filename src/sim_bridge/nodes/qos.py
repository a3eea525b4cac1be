"""Quality of service of the driving topics, and of what a later subscription gets too."""

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from steering_net.ros.readiness import LATCHED

__all__ = ['LATCHED', 'NEWEST']

NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
)
"""Only the newest value counts. Reliable, for RViz's default subscription asks for that."""
