# SPDX-License-Identifier: Apache-2.0
"""A person or planner that drives by standard messages: the bridge alone, no network."""

import math
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Float32, String

from helpers.graph import state_of
from helpers.network import own_port
from helpers.processes import start_verb
from helpers.ros import started_node
from helpers.waiting import wait_for
from sim_bridge.control.motion_controller import Motion, Pedals
from sim_bridge.nodes.driver_topics import (
    JoyError,
    JoyLayout,
    motion_of_ackermann,
    motion_of_twist,
    pedals_of_joy,
)
from sim_bridge.process import ManagedProcess
from sim_bridge.simulator.track import make_track
from steering_net.bicycle_model import pursuit_steering_rad, yaw_rate_radps
from steering_net.ros.qos import LATCHED
from steering_net.vehicle import MAX_STEERING_RAD, REAR_WHEEL_M

pytestmark = pytest.mark.real_time

TRACK = 3


def twist(speed_mps, yaw_rate_radps):
    message = Twist()
    message.linear.x, message.angular.z = float(speed_mps), float(yaw_rate_radps)
    return message


def test_messages_become_commands():
    assert motion_of_twist(twist(3, -0.5)) == Motion(3.0, None, -0.5)
    drive = SimpleNamespace(speed=-1.0, steering_angle=0.2, acceleration=9.0, jerk=9.0)
    assert motion_of_ackermann(drive) == Motion(-1.0, steering_rad=0.2)


def test_joystick_drives_while_its_button_is_pressed():
    layout = JoyLayout(steering_axis=2, throttle_axis=0, deadman_button=1)
    axes = [-0.5, 0.0, 1.0]
    assert pedals_of_joy(Joy(axes=axes, buttons=[0, 1]), layout) == Pedals(MAX_STEERING_RAD, -0.5)
    assert pedals_of_joy(Joy(axes=axes, buttons=[1, 0]), layout) is None
    with pytest.raises(JoyError, match='joy_deadman_button is 1; this joystick has 1 buttons'):
        pedals_of_joy(Joy(axes=axes, buttons=[1]), layout)
    with pytest.raises(JoyError, match='joy_steering_axis is 2; this joystick has 2 axes'):
        pedals_of_joy(Joy(axes=axes[:2], buttons=[0, 1]), layout)


class Person:
    """A node that drives by hand a car of a bridge without any other node."""

    def __init__(self, node, port):
        self.node, self.port = node, port
        self.drivers, self.commands = [], []
        self.publishers = {
            'cmd_vel': node.create_publisher(Twist, 'cmd_vel', 10),
            'cmd_vel_stamped': node.create_publisher(TwistStamped, 'cmd_vel_stamped', 10),
            'joy': node.create_publisher(Joy, 'joy', 10),
        }
        node.create_subscription(
            String, 'driver/active', lambda it: self.drivers.append(it.data), LATCHED
        )
        node.create_subscription(JointState, 'driver/command', self.commands.append, 10)

    def state(self):
        return state_of(self.port)

    def says(self, topic, message, seconds, until=lambda: False):
        """Publish a message at 20 Hz, for so long or until a condition is met."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until():
            self.publishers[topic].publish(message)
            self.hears(0.05)

    def hears(self, seconds):
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            rclpy.spin_once(self.node, timeout_sec=left_s)

    def drives_at(self, speed_mps):
        return abs(self.state()['speed_mps'] - speed_mps) < 0.3


@pytest.fixture(scope='module')
def person():
    port = own_port()
    bridge = ManagedProcess('bridge', ['bridge', '--ros-args', '-p', f'port:={port}'])
    url = f'ws://127.0.0.1:{port}'
    words = ['simulate', '--url', url, '--when-ready', '--track', TRACK]
    try:
        wait_for(lambda: state_of(port), what='an answer')
        with started_node('person') as node:
            person = Person(node, port)
            simulator = start_verb(*words, stdout=subprocess.DEVNULL)
            try:
                # The car is ready because a planner can drive: no node takes its frames.
                wait_for(lambda: person.state()['simulators'], what='the simulator')
                yield person
            finally:
                simulator.send_signal(signal.SIGINT)
                simulator.wait(10.0)
    finally:
        bridge.ask_to_end()
        bridge.wait(10.0)


def test_car_follows_a_twist_until_it_is_silent_and_then_stops(person):
    person.says('cmd_vel', twist(3.0, 0.0), 20.0, until=lambda: person.drives_at(3.0))
    state = person.state()
    assert (state['state'], state['driver'], state['reason']) == ('driving', 'cmd_vel', '')
    assert person.drives_at(3.0)
    assert person.drivers[-1] == 'cmd_vel'
    stamps = [(one.header.stamp.sec, one.header.stamp.nanosec) for one in person.commands]
    assert len(stamps) > 20
    assert stamps == sorted(set(stamps)), 'one command for each frame'
    assert person.commands[-1].name == ['steering', 'throttle']
    silent_s = time.monotonic()
    wait_for(lambda: person.state()['driver'] == 'nobody', what='the timeout')
    assert 0.3 < time.monotonic() - silent_s < 1.5
    wait_for(lambda: person.state()['speed_mps'] < 0.1, what='a standing car')
    person.hears(0.2)
    assert person.drivers[-1] == 'nobody'


class PurePursuit:
    """A planner that knows the track and odometry, and publishes Twist alone."""

    AHEAD_M = 8.0
    SPEED_MPS = 5.0

    def __init__(self, node):
        self.track = make_track(TRACK)
        self.s_m = self.track.start_m
        self.heard = []
        self.publisher = node.create_publisher(Twist, 'cmd_vel', 10)
        self.subscription = node.create_subscription(
            Odometry, 'ground_truth/odom', self.on_odometry, 10
        )

    def on_odometry(self, message):
        self.heard.append(message)
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        yaw_rad = 2.0 * math.atan2(turn.z, turn.w)
        self.s_m = self.track.project(place.x, place.y, self.s_m).s_m
        x_m, y_m = self.track.pose(self.s_m + self.AHEAD_M)[:2]
        dx_m, dy_m = x_m - place.x, y_m - place.y
        cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
        steering_rad = pursuit_steering_rad(dx_m * cos + dy_m * sin, dy_m * cos - dx_m * sin)
        self.publisher.publish(
            twist(self.SPEED_MPS, yaw_rate_radps(self.SPEED_MPS, float(steering_rad)))
        )


def test_planner_that_knows_only_twist_drives_a_stretch_by_the_true_odometry(person):
    off_middle_m, off_road = [], []
    person.node.create_subscription(
        Float32, 'ground_truth/cross_track', lambda it: off_middle_m.append(abs(it.data)), 10
    )
    person.node.create_subscription(
        Bool, 'ground_truth/off_road', lambda it: off_road.append(it.data), 10
    )
    joints, limits = [], []
    person.node.create_subscription(JointState, 'joint_states', joints.append, 10)
    person.node.create_subscription(DiagnosticStatus, 'vehicle/limits', limits.append, LATCHED)
    planner = PurePursuit(person.node)
    wait_for(lambda: person.hears(0.1) or planner.heard, what='odometry')
    start_m = planner.s_m
    # The rear axle of a car at the start is before the start line, where the lap ends.
    lap_m = planner.track.length_m
    wait_for(
        lambda: person.hears(0.1) or 20.0 < (planner.s_m - start_m) % lap_m < lap_m / 2,
        what='a stretch',
    )
    person.node.destroy_subscription(planner.subscription)
    odometry = planner.heard[-1]
    assert odometry.twist.twist.linear.x == pytest.approx(planner.SPEED_MPS, abs=0.5)
    assert (odometry.header.frame_id, odometry.child_frame_id) == ('map', 'base_link')
    assert max(off_middle_m) < 1.0
    assert not any(off_road)
    assert person.state()['driver'] == 'cmd_vel'
    speed_of = dict(zip(joints[-1].name, joints[-1].velocity, strict=True))
    assert speed_of['rear_left_wheel'] * REAR_WHEEL_M == pytest.approx(planner.SPEED_MPS, abs=0.5)
    assert abs(joints[-1].position[0]) < MAX_STEERING_RAD
    assert {pair.key: pair.value for pair in limits[-1].values}['wheelbase_m'] == '2.87'


def test_stamped_twist_reverses_and_a_joystick_takes_over(person):
    backwards = TwistStamped(twist=twist(-1.0, 0.0))
    person.says('cmd_vel_stamped', backwards, 20.0, until=lambda: person.drives_at(1.0))
    assert person.drives_at(1.0)
    joy = Joy(axes=[0.5, 0.8], buttons=[1])
    person.says('joy', joy, 0.5)
    state = person.state()
    assert (state['driver'], state['throttle']) == ('joystick', 0.8)
    assert state['commanded_rad'] == pytest.approx(0.5 * MAX_STEERING_RAD, abs=1e-4)
    person.says('joy', Joy(axes=[0.5, 0.8], buttons=[0]), 0.2)
    assert person.state()['driver'] != 'joystick'
