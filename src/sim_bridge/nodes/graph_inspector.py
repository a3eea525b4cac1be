# SPDX-License-Identifier: Apache-2.0
"""Inspects the running ROS graph for `sim-bridge doctor`."""

from __future__ import annotations

import os
import time

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.utilities import get_rmw_implementation_identifier

from sim_bridge.nodes.runner import ros


def description() -> str:
    """Return the name of the ROS distribution and of its middleware."""
    distribution = os.environ.get('ROS_DISTRO', 'of PyPI')
    return f'rclpy {distribution}, {get_rmw_implementation_identifier()}'


def mismatches(seconds: float) -> tuple[int, list[str]]:
    """Return the number of topics, and a line per publisher and subscription that do not match.

    `seconds`: time to wait until the graph is known.
    """
    with ros():
        node = rclpy.create_node('doctor')
        try:
            time.sleep(seconds)
            topics = [name for name, _ in node.get_topic_names_and_types()]
            return len(topics), [line for topic in topics for line in _of_topic(node, topic)]
        finally:
            node.destroy_node()


def _of_topic(node: Node, topic: str) -> list[str]:
    lines = []
    for publisher in node.get_publishers_info_by_topic(topic):
        for subscription in node.get_subscriptions_info_by_topic(topic):
            fit, reason = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
            if fit == QoSCompatibility.ERROR:
                ends = f'{publisher.node_name} to {subscription.node_name}'
                why = ' '.join(str(reason).split()).removeprefix('ERROR: ').rstrip('.;')
                lines.append(f'{topic} from {ends}: {why}')
    return lines
