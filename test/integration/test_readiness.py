# SPDX-License-Identifier: Apache-2.0
"""Which nodes are there: the bridge alone, and nodes of the test that say so or say nothing."""

import urllib.error
import urllib.request

import pytest
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Bool, Float32

from helpers.graph import Graph
from helpers.talking_simulator import JPEG_HEADER, TalkingSimulator
from helpers.waiting import wait_for
from steering_net.ros.qos import LATCHED, NEWEST

pytestmark = pytest.mark.real_time

STEERING, THROTTLE = 'no node publishes cmd/steering', 'no node publishes cmd/throttle'


@pytest.fixture(scope='module')
def bridge():
    """A bridge without any other node."""
    graph = Graph()
    graph.start('bridge')
    wait_for(graph.state, what='the bridge')
    yield graph
    graph.__exit__()


def car(bridge):
    return bridge.state()['cars'][0]


def wait_for_reason(bridge, reason):
    wait_for(lambda: car(bridge)['reason'] == reason, what=repr(reason))


def test_nodes_that_know_nothing_of_readiness_are_ready_with_their_publishers(bridge, ros_node):
    """They need not take the frames either: a network may steer from anything."""
    wait_for_reason(bridge, f'{STEERING}, {THROTTLE}')
    ros_node.create_publisher(JointState, 'cmd/steering', NEWEST)
    wait_for_reason(bridge, THROTTLE)
    ros_node.create_publisher(Float32, 'cmd/throttle', NEWEST)
    wait_for_reason(bridge, '')
    state = bridge.state()
    assert (state['ready'], state['trouble']) == (True, '')
    nodes = {'steering': 'ready', 'throttle': 'ready', 'recorder': 'missing'}
    assert state['cars'][0]['nodes'] == nodes


def test_node_that_tells_is_ready_when_it_says_so(bridge, ros_node):
    ready = ros_node.create_publisher(Bool, 'ready/steering', LATCHED)
    ready.publish(Bool(data=False))
    commands = ros_node.create_publisher(JointState, 'cmd/steering', NEWEST)
    wait_for_reason(bridge, f'the steering node is starting, {THROTTLE}')
    assert car(bridge)['nodes']['steering'] == 'starting'
    ready.publish(Bool(data=True))
    wait_for_reason(bridge, THROTTLE)
    ros_node.destroy_publisher(commands)
    wait_for_reason(bridge, f'{STEERING}, {THROTTLE}')


def test_recorder_is_who_says_so_and_no_viewer_of_frames(bridge, ros_node):
    viewer = ros_node.create_subscription(
        CompressedImage, 'camera/image_raw/compressed', lambda _: None, NEWEST
    )
    wait_for(lambda: ros_node.count_publishers(viewer.topic_name))
    ros_node.create_publisher(Bool, 'ready/steering', LATCHED)
    assert car(bridge)['nodes']['recorder'] == 'missing'
    recorder = ros_node.create_publisher(Bool, 'ready/recorder', LATCHED)
    wait_for(lambda: car(bridge)['nodes']['recorder'] == 'starting')
    recorder.publish(Bool(data=True))
    wait_for(lambda: car(bridge)['nodes']['recorder'] == 'ready')
    ros_node.destroy_publisher(recorder)
    wait_for(lambda: car(bridge)['nodes']['recorder'] == 'missing')


def test_health_names_what_is_missing(bridge):
    wait_for_reason(bridge, f'{STEERING}, {THROTTLE}')
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(bridge.url('/healthz', 'http'), timeout=2.0)
    assert (caught.value.code, caught.value.read().decode()) == (503, f'{STEERING}, {THROTTLE}\n')


def test_moving_car_is_braked_while_no_nodes_are_there(bridge):
    before = bridge.state()
    simulator = TalkingSimulator(bridge.url())
    client = simulator.client

    def drives_on():
        if client.tokens:
            simulator.send(JPEG_HEADER, speed_mps=6.0)
        client.poll(0.01)
        return client.commands and client.commands[-1].throttle == -1.0

    wait_for(drives_on, 0.8, 'braking')
    state = bridge.state()
    assert state['state'] == 'waiting for the nodes'
    assert state['timeouts'] == before['timeouts']
    assert state['keepalives'] == before['keepalives']
    simulator.leave()


def test_standing_car_keeps_its_token_until_the_nodes_are_there(bridge, ros_node):
    simulator = TalkingSimulator(bridge.url())
    before = bridge.state()
    simulator.send(JPEG_HEADER, speed_mps=0.0)
    simulator.send(JPEG_HEADER, speed_mps=0.0)
    simulator.pump(0.3)
    assert simulator.client.answers == 0
    assert bridge.state()['state'] == 'waiting for the nodes'
    ros_node.create_publisher(JointState, 'cmd/steering', NEWEST)
    ros_node.create_publisher(Float32, 'cmd/throttle', NEWEST)
    simulator.pump_until(lambda: simulator.client.answers == 1)
    assert simulator.client.commands[-1].throttle == 0.0
    state = bridge.state()
    assert (state['timeouts'], state['keepalives']) == (before['timeouts'], before['keepalives'])
    simulator.leave()
