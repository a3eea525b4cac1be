# SPDX-License-Identifier: Apache-2.0
"""A steady timer runs while simulated time stands still."""

from rclpy.parameter import Parameter

from helpers.ros import spin_until, started_node
from steering_net.ros.timers import steady_timer


def test_steady_timer_runs_without_a_clock():
    overrides = [Parameter('use_sim_time', value=True)]
    with started_node('simulated', parameter_overrides=overrides) as node:
        ticks = []
        steady_timer(node, 0.01, lambda: ticks.append(node.get_clock().now().nanoseconds))
        spin_until(node, lambda: len(ticks) >= 3, 'three ticks')
    assert set(ticks) == {0}, 'ROS time has not begun'
