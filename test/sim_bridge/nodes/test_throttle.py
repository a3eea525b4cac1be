# SPDX-License-Identifier: Apache-2.0
"""The throttle node: what it makes of the messages for one car."""

import math
import time

import pytest
from std_msgs.msg import Float32, String

from helpers.ros import spin_until, started_rclpy
from sim_bridge.nodes import throttle
from steering_net.ros.qos import LATCHED, NEWEST


@pytest.fixture
def node(request):
    """A throttle node in this process; `request.param` holds its parameters."""
    settings = [word for one in getattr(request, 'param', ()) for word in ('-p', one)]
    with started_rclpy('--log-level', 'error', *settings):
        made = throttle.ThrottleNode()
        yield made
        made.destroy_node()


@pytest.fixture
def throttles(node):
    """Values that the node publishes on `cmd/throttle`, once it is matched with the listener."""
    heard = []
    listener = node.create_subscription(
        Float32, 'cmd/throttle', lambda message: heard.append(message.data), NEWEST
    )
    (car,) = node._cars
    spin_until(node, car._publisher.get_subscription_count, 'the subscription')
    yield heard
    node.destroy_subscription(listener)


def test_topics_of_a_car_change_its_limit_and_its_throttle(node, throttles):
    active = []
    node.create_subscription(
        Float32, 'speed_limit/active', lambda message: active.append(message.data), LATCHED
    )

    def publish(topic, value, quality=NEWEST):
        publisher = node.create_publisher(Float32, topic, quality)
        spin_until(node, publisher.get_subscription_count, f'a subscription to {topic}')
        publisher.publish(Float32(data=value))

    def wait_for_limit(limit_mps):
        expected = pytest.approx(limit_mps)
        spin_until(node, lambda: active and active[-1] == expected, f'{limit_mps} m/s')

    publish('speed_limit', 5.0)
    wait_for_limit(5.0)
    publish('speed_factor', 0.4, LATCHED)
    wait_for_limit(2.0)
    publish('speed_limit/wanted', 10.0, LATCHED)
    wait_for_limit(4.0)
    publish('vehicle/speed', 3.0)
    spin_until(node, lambda: throttles == [pytest.approx(0.25)], 'the throttle')


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_speed_that_is_no_number_gets_no_throttle(node, throttles, bad):
    (car,) = node._cars
    for speed_mps in (bad, 3.35):
        car._on_speed(Float32(data=speed_mps))
    spin_until(node, lambda: throttles, 'the throttle of the good speed')
    assert throttles == [pytest.approx(0.5)]
    assert car.speeds == 1


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_angle_that_is_no_number_leaves_the_one_before(node, bad):
    (car,) = node._cars
    for angle_rad in (0.4, bad):
        car._on_angle(Float32(data=angle_rad))
    assert car.controller.steering_rad == pytest.approx(0.4)
    assert car.controller.throttle(6.0, 0.0) < 0.0, 'it slows down for the curve'


@pytest.mark.parametrize('node', [['law:=pi', 'kp:=0.0', 'ki:=1.0']], indirect=True)
def test_law_pi_begins_anew_when_another_source_drives(node):
    (car,) = node._cars
    for tenth in range(4):
        car.controller.throttle(6.2, tenth / 10)
    assert car.controller.throttle(6.2, 0.4) == pytest.approx(0.2)
    driver = node.create_publisher(String, 'driver/active', LATCHED)
    driver.publish(String(data='network'))
    spin_until(node, lambda: car.controller.throttle(6.2, 0.4) == 0.0, 'the change of the driver')


@pytest.mark.parametrize('node', [['law:=pi', 'kp:=0.0', 'ki:=1.0']], indirect=True)
def test_law_pi_adds_up_its_error_over_the_time_of_the_node(node, throttles):
    (car,) = node._cars
    for _ in range(2):
        car._on_speed(Float32(data=5.7))
        time.sleep(0.05)
    spin_until(node, lambda: throttles and throttles[-1] > 0.0, 'the second throttle')
    assert 0.05 <= throttles[-1] <= 0.2 + 1e-6


@pytest.mark.parametrize('node', [['lateral_acceleration_limit:=2.0']], indirect=True)
def test_lateral_limit_of_the_start_lowers_the_speed_in_curves(node):
    (car,) = node._cars
    assert car.controller.lateral_limit_mps2 == 2.0
    car._on_angle(Float32(data=0.4))
    assert car.controller.throttle(4.0, 0.0) < 0.0
