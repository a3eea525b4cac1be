# SPDX-License-Identifier: Apache-2.0
"""Joints, limits and the truth of the simulator in standard messages."""

import math
from types import SimpleNamespace

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32, UInt32

from helpers.ros import spin_until, started_node
from helpers.waiting import wait_for
from sim_bridge.nodes.conversions import header, stamp_ns
from sim_bridge.nodes.state_topics import LIMITS, StateTopics, true_odometry
from sim_bridge.protocol.types import Telemetry, Truth
from steering_net.ros.qos import LATCHED, NEWEST
from steering_net.vehicle import FRONT_WHEEL_M, REAR_AXLE_M, REAR_WHEEL_M

STAMP_NS = 7_000_000_000
TRUTH = Truth(
    x_m=10.0,
    y_m=5.0,
    z_m=2.0,
    yaw_rad=math.pi / 2,
    pitch_up_rad=0.1,
    speed_mps=-3.0,
    yaw_rate_radps=0.5,
    cross_track_m=-0.75,
    laps=3,
    lap_time_s=41.5,
    off_road=True,
)


def test_true_odometry_is_that_of_the_rear_axle():
    message = true_odometry(TRUTH, header(STAMP_NS, 'map'), 'base_link')
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    assert (place.x, place.y) == pytest.approx((10.0, 5.0 - REAR_AXLE_M))
    assert place.z == pytest.approx(2.0 - REAR_AXLE_M * math.sin(0.1)), 'the nose points up'
    nose = (
        1.0 - 2.0 * (turn.y**2 + turn.z**2),
        2.0 * (turn.x * turn.y + turn.w * turn.z),
        2.0 * (turn.x * turn.z - turn.w * turn.y),
    )
    assert nose == pytest.approx((0.0, math.cos(0.1), math.sin(0.1)))
    twist = message.twist.twist
    assert twist.linear.x == pytest.approx(-math.sqrt(3.0**2 - (0.5 * REAR_AXLE_M) ** 2))
    assert twist.angular.z == 0.5


class Viewer:
    """The topics of a car, and a node that hears some of them."""

    def __init__(self, node):
        self.node = node
        self._viewer = rclpy.create_node('viewer', use_global_arguments=False)
        self.session = SimpleNamespace(signed_speed_mps=0.0)
        self.topics = StateTopics(
            node, 'car_2/', self.session, map_frame='car_2/map', base_frame='car_2/base_link'
        )
        self.heard = {}

    def hears(self, kind, topic, quality=NEWEST):
        self._viewer.create_subscription(
            kind, f'/car_2/{topic}', lambda it: self.heard.update({topic: it}), quality
        )
        wait_for(lambda: self.node.count_subscribers(f'/car_2/{topic}'), what='the viewer')

    def publish(self, stamp_ns=STAMP_NS, truth=None, steering_rad=0.0):
        self.topics.publish(Telemetry(steering_rad, 0.0, 3.0, b'', truth=truth), stamp_ns)

    def newest(self, *names):
        self.heard.clear()

        def is_heard():
            return self.heard.keys() >= {*names}

        spin_until(self._viewer, is_heard, ', '.join(names))
        return [self.heard[name] for name in names]

    def end(self):
        self._viewer.destroy_node()


@pytest.fixture
def viewer():
    with started_node('bridge') as node:
        viewer = Viewer(node)
        yield viewer
        viewer.end()


def test_each_value_of_the_truth_has_its_topic(viewer):
    kinds = {'cross_track': Float32, 'laps': UInt32, 'lap_time': Float32, 'off_road': Bool}
    for name, kind in kinds.items():
        viewer.hears(kind, f'ground_truth/{name}')
    viewer.publish(truth='{"x_m": 1.0}')
    viewer.publish(truth=TRUTH.text())
    heard = viewer.newest(*(f'ground_truth/{name}' for name in kinds))
    assert [message.data for message in heard] == [-0.75, 3, 41.5, True]


def test_true_odometry_has_the_frames_of_its_car(viewer):
    viewer.hears(Odometry, 'ground_truth/odom')
    viewer.publish(truth=TRUTH.text())
    (odometry,) = viewer.newest('ground_truth/odom')
    assert (odometry.header.frame_id, odometry.child_frame_id) == ('car_2/map', 'car_2/base_link')
    assert stamp_ns(odometry.header.stamp) == STAMP_NS


def test_wheels_roll_with_the_speed_and_stand_in_a_pause(viewer):
    viewer.hears(JointState, 'joint_states')
    viewer.session.signed_speed_mps = 2.0
    for at_ns in (STAMP_NS, STAMP_NS + 100_000_000, STAMP_NS + 60_000_000_000):
        viewer.publish(at_ns, steering_rad=0.25)
        (joints,) = viewer.newest('joint_states')
        assert stamp_ns(joints.header.stamp) == at_ns
    rolled_m = 2.0 * (0.2 + 0.1 + 0.2)
    angles = dict(zip(joints.name, joints.position, strict=True))
    assert angles == pytest.approx(
        {
            'front_left_steering': 0.25,
            'front_right_steering': 0.25,
            'front_left_wheel': math.remainder(rolled_m / FRONT_WHEEL_M, math.tau),
            'front_right_wheel': math.remainder(rolled_m / FRONT_WHEEL_M, math.tau),
            'rear_left_wheel': math.remainder(rolled_m / REAR_WHEEL_M, math.tau),
            'rear_right_wheel': math.remainder(rolled_m / REAR_WHEEL_M, math.tau),
        }
    )
    front, rear = 2.0 / FRONT_WHEEL_M, 2.0 / REAR_WHEEL_M
    assert list(joints.velocity) == pytest.approx([0.0, 0.0, front, front, rear, rear])


def test_limits_come_to_a_later_subscription(viewer):
    viewer.hears(DiagnosticStatus, 'vehicle/limits', LATCHED)
    (limits,) = viewer.newest('vehicle/limits')
    assert limits.name == 'car_2/vehicle limits'
    assert {pair.key: float(pair.value) for pair in limits.values} == LIMITS
