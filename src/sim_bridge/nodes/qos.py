"""Quality of service of the driving topics."""

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
)
"""Only the newest value counts. Reliable, for RViz's default subscription asks for that."""
