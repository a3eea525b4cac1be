# SPDX-License-Identifier: Apache-2.0
"""The topics of persons and planners of one car: joystick, planners and the sent command."""

import pytest
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import JointState, Joy

from helpers.ros import spin_until, started_rclpy
from helpers.waiting import wait_for
from sim_bridge.control.motion_controller import Motion, Pedals
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.conversions import stamp_ns
from sim_bridge.nodes.driver_topics import DriverTopics, JoyError, JoyLayout, pedals_of_joy
from sim_bridge.protocol.types import Command
from sim_bridge.session.arbiter import Driver
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.timeouts import AnswerTimeouts
from steering_net.ros.qos import EVERY
from steering_net.vehicle import MAX_STEERING_RAD

STAMP_NS = 1_700_000_000_123_456_789
LAYOUT = JoyLayout(steering_axis=2, throttle_axis=0, deadman_button=1)


@pytest.fixture
def car(ros_node):
    session = CarSession(AnswerTimeouts(), None)
    session.topics = DriverTopics(
        ros_node, 'car_2/', session, joy=LAYOUT, call_soon=lambda function: function(1.0)
    )
    return session


def test_joystick_drives_until_its_button_is_released(car):
    car.topics._on_joy(Joy(axes=[-0.5, 0.0, 1.0], buttons=[0, 1]))
    assert car._arbiter.active == (Driver.JOYSTICK, Pedals(MAX_STEERING_RAD, -0.5))
    car.topics._on_joy(Joy(axes=[-0.5], buttons=[0, 1]))
    assert car.driver is Driver.JOYSTICK, 'a joystick without its axes says nothing'
    car.topics._on_joy(Joy(axes=[-0.5, 0.0, 1.0], buttons=[1, 0]))
    assert car.driver is Driver.NETWORK


def test_joystick_without_an_axis_for_the_throttle_is_named():
    layout = JoyLayout(steering_axis=0, throttle_axis=1)
    with pytest.raises(JoyError, match='joy_throttle_axis is 1; this joystick has 1 axes'):
        pedals_of_joy(Joy(axes=[0.0], buttons=[1]), layout)


def test_planner_drives_with_either_kind_of_twist(car):
    twist = Twist()
    twist.linear.x, twist.angular.z = 2.0, -0.5
    car.topics._on_twist(twist)
    assert car._arbiter.active == (Driver.TWIST, Motion(2.0, yaw_rate_radps=-0.5))
    twist.linear.x = 3.0
    car.topics._on_twist_stamped(TwistStamped(twist=twist))
    assert car._arbiter.active == (Driver.TWIST, Motion(3.0, yaw_rate_radps=-0.5))


def test_command_of_a_person_has_the_stamp_of_its_frame(car, ros_node):
    viewer, heard = rclpy.create_node('viewer'), []
    viewer.create_subscription(JointState, 'car_2/driver/command', heard.append, EVERY)
    wait_for(lambda: car.topics._command.get_subscription_count(), what='the viewer')
    car.on_person_command(STAMP_NS, Command(0.125, -0.5))
    spin_until(viewer, lambda: heard, 'the command')
    assert dict(zip(heard[0].name, heard[0].position, strict=True)) == {
        'steering': 0.125,
        'throttle': -0.5,
    }
    assert stamp_ns(heard[0].header.stamp) == STAMP_NS
    viewer.destroy_node()


def test_axes_and_button_are_those_of_the_parameters():
    values = ('joy_steering_axis:=3', 'joy_throttle_axis:=4', 'joy_deadman_button:=5')
    words = [word for value in ('port:=0', *values) for word in ('-p', value)]
    with started_rclpy(*words, '--log-level', 'error'):
        node = BridgeNode()
        (car,) = node._cars.values()
        node.destroy_node()
    assert car._drivers._joy == JoyLayout(steering_axis=3, throttle_axis=4, deadman_button=5)
