# SPDX-License-Identifier: Apache-2.0
"""The topics whose newest values a viewer shows beside a frame."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from rclpy.subscription import Subscription
from std_msgs.msg import Float32

from sim_bridge import topics
from steering_net.ros.qos import LATCHED, NEWEST

_INPUTS = {
    'recorded_rad': (topics.STEERING_ANGLE, NEWEST),
    'speed_mps': (topics.SPEED, NEWEST),
    'throttle': (topics.THROTTLE_COMMAND, NEWEST),
    'limit_mps': (topics.ACTIVE_SPEED_LIMIT, LATCHED),
}


def keep_newest(node: Node, values: dict[str, float], prefix: str = '') -> list[Subscription]:
    """Subscribe to these topics; `values` then has the newest value of each field of Reading.

    `prefix` of the car's topics, as in `car_2/`.
    """

    def keep(name: str) -> Callable[[Float32], None]:
        def on_message(message: Float32) -> None:
            values[name] = float(message.data)

        return on_message

    return [
        node.create_subscription(Float32, prefix + topic, keep(name), quality)
        for name, (topic, quality) in _INPUTS.items()
    ]
