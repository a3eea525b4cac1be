# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a car are ready: reasons that another thread asks for."""

import itertools

import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes import bridge, throttle
from sim_bridge.nodes.readiness_monitor import MISSING, READY, STARTING, ReadinessMonitor
from steering_net.ros.qos import LATCHED, NEWEST


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


def test_node_that_comes_again_is_ready_when_it_says_so_itself(ros_node):
    monitor = ReadinessMonitor(ros_node, 'car_2/', lambda: None)

    def wait_until(presence):
        def is_so():
            rclpy.spin_once(ros_node, timeout_sec=0.01)
            return monitor.update() or monitor.nodes['steering'] == presence

        wait_for(is_so, what=presence)

    for _ in range(2):
        ready = ros_node.create_publisher(Bool, 'car_2/ready/steering', LATCHED)
        commands = ros_node.create_publisher(JointState, 'car_2/cmd/steering', NEWEST)
        wait_until(STARTING)
        ready.publish(Bool(data=True))
        wait_until(READY)
        for publisher in (ready, commands):
            ros_node.destroy_publisher(publisher)
        wait_until(MISSING)
