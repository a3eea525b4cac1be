# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a car are ready: reasons that another thread asks for."""

import itertools

import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState

from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes import bridge, throttle
from sim_bridge.nodes.readiness_monitor import MISSING, READY, STARTING, ReadinessMonitor
from steering_net.ros.qos import NEWEST


def test_reasons_are_those_of_one_moment_while_the_nodes_change(ros_node, monkeypatch):
    monitor = ReadinessMonitor(ros_node, '', lambda: None)
    missing = {'steering': MISSING, 'throttle': MISSING}
    ready = {'steering': READY, 'throttle': READY}
    states = itertools.chain([missing], itertools.repeat(ready))
    monkeypatch.setattr(ReadinessMonitor, 'nodes', property(lambda _: next(states)), raising=False)
    assert monitor.reasons == [
        'no node publishes cmd/steering',
        'no node publishes cmd/throttle',
    ]
    assert monitor.reasons == []


@pytest.fixture
def remapped():
    """A bridge and a throttle node whose topics have other names, and a node with those names."""
    names = {
        'cmd/steering': '/net/steering',
        'cmd/throttle': '/net/throttle',
        'cmd_vel_stamped': '/plan/cmd_vel',
        'vehicle/speed': '/car/speed',
    }
    words = [word for pair in names.items() for word in ('-r', ':='.join(pair))]
    with started_rclpy(*words, '-p', 'port:=0', '--log-level', 'error'):
        nodes = [
            bridge.BridgeNode(),
            throttle.ThrottleNode(),
            rclpy.create_node('other', use_global_arguments=False),
        ]
        yield nodes
        for node in nodes:
            node.destroy_node()


def test_nodes_whose_topics_are_remapped_are_found(remapped):
    bridge_node, throttle_node, other = remapped
    (car,) = bridge_node._cars.values()
    other.create_publisher(JointState, '/net/steering', NEWEST)
    found = {'steering': READY, 'throttle': STARTING, 'recorder': MISSING}
    wait_for(lambda: car.update_readiness() or car.status()['nodes'] == found, what='the nodes')
    (car_throttle,) = throttle_node._cars
    wait_for(car_throttle.is_matched, what='the bridge')
    assert not car._has_planner
    other.create_publisher(TwistStamped, '/plan/cmd_vel', NEWEST)
    wait_for(lambda: car.update_readiness() or car._has_planner, what='the planner')
