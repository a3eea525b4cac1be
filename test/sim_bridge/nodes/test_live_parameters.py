# SPDX-License-Identifier: Apache-2.0
"""Parameters that change while a node runs: their effect, and the reasons of refusals."""

import time
from functools import partial

import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import Float32

from helpers.ros import started_rclpy
from helpers.talking_simulator import JPEG_HEADER
from helpers.waiting import wait_for
from sim_bridge.nodes import annotate, bridge, throttle
from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import CULTURES, UdacityLink, encode_telemetry
from sim_bridge.session.timeouts import SourceTimeouts
from steering_net.ros.qos import LATCHED


@pytest.fixture
def throttle_node():
    """A throttle node in this process, and a function that sets its parameters: the reasons."""
    with started_rclpy('--log-level', 'error'):
        node = throttle.ThrottleNode()
        yield node, partial(reasons, node)
        node.destroy_node()


def reasons(node, **values):
    results = node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
    return [result.reason for result in results if not result.successful]


def test_law_and_gains_change_while_driving(throttle_node):
    node, change = throttle_node
    (car,) = node._cars
    assert car.controller.throttle(3.35, 0.0) == pytest.approx(0.5)
    assert change(law='pi', kp=0.2, ki=0.0) == []
    assert car.controller.throttle(4.7, 0.0) == pytest.approx(0.4)
    assert change(kp=0.1) == []
    assert car.controller.throttle(4.7, 0.0) == pytest.approx(0.2)
    assert change(law='proportional', speed_limit=9.4) == []
    assert car.controller.throttle(4.7, 0.0) == pytest.approx(0.5)


def test_steering_is_subscribed_to_while_curves_have_a_limit(throttle_node):
    node, change = throttle_node
    (car,) = node._cars

    def wait_for_subscribers(number):
        # The graph learns of a subscription a moment later.
        topic = 'vehicle/steering_angle'
        wait_for(lambda: node.count_subscribers(topic) == number, what=f'{number} subscribers')

    wait_for_subscribers(1)
    assert change(lateral_acceleration_limit=0.0) == []
    wait_for_subscribers(0)
    assert change(lateral_acceleration_limit=2.0) == []
    wait_for_subscribers(1)
    car.controller.steering_rad = 0.4
    assert car.controller.throttle(6.0, 0.0) < 0.0
    assert change(lateral_acceleration_limit=0.0) == []
    wait_for_subscribers(0)
    assert car.controller.throttle(6.0, 0.0) > 0.0


@pytest.mark.parametrize(
    ('values', 'told'),
    [
        ({'law': 'none'}, "parameter law is 'none', it must be one of proportional, pi"),
        ({'kp': 10.5}, 'Parameter kp out of range Min: 0.0, Max: 10.0, value: 10.5'),
        ({'lateral_acceleration_limit': -1.0}, 'lateral_acceleration_limit'),
    ],
)
def test_reason_of_a_refused_change_names_the_parameter(throttle_node, values, told):
    node, change = throttle_node
    before = dict(node._values)
    (reason,) = change(**values)
    assert told in reason
    assert node._values == before


def test_parameter_follows_the_topic_speed_limit(throttle_node):
    node, _ = throttle_node
    (car,) = node._cars
    car._on_limit(Float32(data=3.3))
    assert node.get_parameter('speed_limit').value == car.controller.limit_mps == 3.3
    car._on_limit(Float32(data=61.0))
    assert node.get_parameter('speed_limit').value == 3.3


def test_topic_of_one_car_among_several_leaves_the_others_and_the_parameter():
    with started_rclpy('--log-level', 'error', '-p', 'cars:=2'):
        node = throttle.ThrottleNode()
        node._cars[1]._on_limit(Float32(data=3.0))
        assert [car.controller.limit_mps for car in node._cars] == [6.7, 3.0]
        assert node.get_parameter('speed_limit').value == 6.7
        node.set_parameters([Parameter('speed_limit', value=5.0)])
        assert [car.controller.limit_mps for car in node._cars] == [5.0, 5.0]
        node.destroy_node()


def test_the_monitor_takes_a_share_of_the_limit_whatever_the_limit_becomes(throttle_node):
    node, change = throttle_node
    (car,) = node._cars
    car._on_factor(Float32(data=0.4))
    assert car.controller.limit_mps == pytest.approx(0.4 * 6.7)
    assert change(speed_limit=5.0) == []
    assert car.controller.limit_mps == pytest.approx(2.0)
    for bad in (-0.1, 1.1, float('nan')):
        car._on_factor(Float32(data=bad))
    assert car.controller.limit_mps == pytest.approx(2.0)
    car._on_factor(Float32(data=1.0))
    assert car.controller.limit_mps == pytest.approx(5.0)
    assert node.get_parameter('speed_limit').value == 5.0


def test_share_of_the_limit_ends_with_the_node_that_asked_for_it(throttle_node):
    node, _ = throttle_node
    (car,) = node._cars
    car._on_factor(Float32(data=0.4))

    def limit_mps():
        node._publish_diagnostics()
        return car.controller.limit_mps

    assert limit_mps() == pytest.approx(0.4 * 6.7), 'its publisher may not be known yet'
    monitor = node.create_publisher(Float32, 'speed_factor', LATCHED)
    wait_for(lambda: node.count_publishers('speed_factor'), what='its publisher')
    assert limit_mps() == pytest.approx(0.4 * 6.7)
    node.destroy_publisher(monitor)
    wait_for(lambda: limit_mps() == pytest.approx(6.7), what='the whole limit')


def test_timeouts_of_the_bridge_change_while_it_drives():
    with started_rclpy('--log-level', 'error', '-p', 'port:=0'):
        node = bridge.BridgeNode()
        (session,) = node._sessions.sessions
        assert reasons(node, stop_timeout=0.8, command_timeout=0.2) == []
        assert reasons(node, joy_timeout=1.0, page_timeout=2.0, cmd_vel_timeout=3.0) == []
        # The parameters are set one after the other.
        timeouts = SourceTimeouts(joystick_s=1.0, page_s=2.0, topic_s=3.0)
        wait_for(lambda: session._arbiter.timeouts == timeouts, what='the server')
        assert session._timeouts.command_timeout_s == 0.2
        assert session._scheduler.timeouts is session._timeouts
        assert session._timeouts.stop_timeout_s == 0.8
        (reason,) = reasons(node, stop_timeout=0.1)
        assert 'must not be shorter than command_timeout (0.2)' in reason
        assert node.get_parameter('stop_timeout').value == 0.8
        node.destroy_node()


def test_rate_of_drawings_changes():
    with started_rclpy('--log-level', 'error'):
        node = annotate.AnnotateNode()
        assert reasons(node, rate=50.0) == []
        assert node._period_s == 0.02
        node.destroy_node()


@pytest.mark.parametrize('cars', [1, 2])
def test_frames_of_a_simulator_without_time_have_real_stamps_in_simulated_time(cars):
    words = ('-p', 'port:=0', '-p', 'use_sim_time:=true', '-p', f'cars:={cars}')
    with started_rclpy('--log-level', 'error', *words):
        node = bridge.BridgeNode()
        session = node._sessions.sessions[0]
        link = UdacityLink(lambda *_: None)
        payload = encode_telemetry(Telemetry(0.0, 0.0, 5.0, JPEG_HEADER), CULTURES['en-US'])

        def connect_and_send(now_s):
            node.connected(now_s, 'simulator', link, is_simulator=True)
            node.telemetry(now_s, 'simulator', payload)

        before_ns = time.time_ns()
        node._server.call_soon(connect_and_send)
        wait_for(lambda: session.stamp_ns, what='a frame')
        assert before_ns <= session.stamp_ns <= time.time_ns()
        node.destroy_node()
