# SPDX-License-Identifier: Apache-2.0
"""Diagnostics: all cars on one topic, each car on its own."""

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from helpers.ros import spin_until
from helpers.waiting import wait_for
from sim_bridge.nodes import diagnostics as diagnostics_module
from sim_bridge.nodes.conversions import diagnostic
from sim_bridge.nodes.diagnostics import Diagnostics, publish_health


def test_each_car_has_its_status_on_its_own_topic_and_all_are_on_one(ros_node):
    diagnostics = Diagnostics(ros_node, ['car_1/', 'car_2/'])
    viewer, heard = rclpy.create_node('viewer'), {}
    names = ('diagnostics', 'car_1/diagnostics', 'car_2/diagnostics')
    for name in names:
        viewer.create_subscription(
            DiagnosticArray, name, lambda it, name=name: heard.update({name: it}), 10
        )
        wait_for(lambda name=name: ros_node.count_subscribers(name), what='the viewer')
    statuses = [
        diagnostic('one', DiagnosticStatus.OK, 'drives', {}),
        diagnostic('two', DiagnosticStatus.ERROR, 'stopped', {}),
    ]
    diagnostics.publish(statuses)
    spin_until(viewer, lambda: len(heard) == 3, 'diagnostics')
    assert [list(heard[name].status) for name in names] == [statuses, *([it] for it in statuses)]
    assert heard['diagnostics'].header.stamp.sec > 0
    viewer.destroy_node()


def test_a_single_car_has_one_topic(ros_node):
    Diagnostics(ros_node, [''])
    assert len([one for one in ros_node.publishers if 'diagnostics' in one.topic_name]) == 1


def test_health_is_read_and_published_again_and_again(ros_node, monkeypatch):
    monkeypatch.setattr(diagnostics_module, 'PERIOD_S', 0.01)
    heard, figures = [], iter(range(1000))
    ros_node.create_subscription(
        DiagnosticArray, 'diagnostics', lambda it: heard.append(it.status[0]), 10
    )
    publish_health(
        ros_node, 'odd', lambda: (DiagnosticStatus.WARN, 'tired', {'figure': next(figures)})
    )
    spin_until(ros_node, lambda: len(heard) >= 2, 'two statuses')
    first, second = heard[:2]
    assert (first.name, first.level, first.message) == ('odd', DiagnosticStatus.WARN, 'tired')
    assert int(second.values[0].value) == int(first.values[0].value) + 1
