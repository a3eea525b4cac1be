# SPDX-License-Identifier: Apache-2.0
"""What nodes publish about their readiness, alone and on a topic that they share."""

import pytest
import rclpy
from std_msgs.msg import Bool

from helpers.ros import spin_until, started_node
from steering_net.ros.qos import LATCHED
from steering_net.ros.readiness import READY_PERIOD_S, Readiness, set_check_period


@pytest.fixture
def node():
    with started_node('ready') as started:
        started.heard = []
        started.create_subscription(
            Bool, 'ready', lambda message: started.heard.append(message.data), LATCHED
        )
        yield started


def test_a_node_alone_says_false_and_then_each_change(node):
    is_met = False
    Readiness(node).add('ready', lambda: is_met)
    spin_until(node, lambda: node.heard == [False], 'the first value')
    is_met = True
    spin_until(node, lambda: node.heard == [False, True], 'readiness')
    is_met = False
    spin_until(node, lambda: node.heard == [False, True, False], 'its end')


def test_nodes_that_share_a_topic_never_say_false(node):
    conditions = {'first': False, 'second': False}
    first, second = Readiness(node), Readiness(node)
    first.add('ready', lambda: conditions['first'], is_alone=False)
    second.add('ready', lambda: conditions['second'], is_alone=False)
    conditions['first'] = True
    spin_until(node, lambda: node.heard == [True], 'the readiness of the first')
    set_check_period(first._timer, False)
    conditions['first'] = False
    spin_until(node, lambda: not first._published['ready'], 'the end of the first')
    for _ in range(5):
        rclpy.spin_once(node, timeout_sec=0.02)
    assert node.heard == [True]
    conditions['second'] = True
    spin_until(node, lambda: node.heard == [True, True], 'the readiness of the second')


def test_a_condition_that_comes_later_is_checked_at_once(node):
    readiness = Readiness(node)
    for _ in range(10):
        rclpy.spin_once(node, timeout_sec=0.02)
    assert readiness._timer.timer_period_ns == round(1e9 * READY_PERIOD_S)
    readiness.add('ready', lambda: True)
    assert readiness._timer.time_until_next_call() < 1e9 * READY_PERIOD_S / 2


def test_what_is_removed_has_no_publisher(node):
    readiness = Readiness(node)
    readiness.add('ready', lambda: True)
    spin_until(node, lambda: node.count_publishers('ready') == 1, 'a publisher')
    readiness.remove('ready')
    spin_until(node, lambda: node.count_publishers('ready') == 0, 'its end')
