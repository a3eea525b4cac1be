# SPDX-License-Identifier: Apache-2.0
"""steady_timer: a timer that runs whatever the ROS time does."""

from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """Call `callback` every `period_s` seconds of real time, also with `use_sim_time`.

    With simulated time a simulator waits for nodes that are ready, so their checks cannot wait for
    its time.
    """
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
