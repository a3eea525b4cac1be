# SPDX-License-Identifier: Apache-2.0
"""Quality of service: `NEWEST` for the topics of a drive, `LATCHED` for lasting states.

`EVERY` is for values that are added up.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

NEWEST = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
)
"""Only the newest value counts. Reliable, because the default subscription of RViz asks for it."""

EVERY = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE
)
"""Every value counts, also while a node is busy for a moment."""

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""A later subscription gets the newest value too."""
