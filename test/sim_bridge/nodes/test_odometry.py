# SPDX-License-Identifier: Apache-2.0
"""The odometry node: the pose, its covariance and the two paths, with their frames and stamps."""

import math

import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry, Path
from sensor_msgs.msg import JointState
from std_msgs.msg import UInt32
from visualization_msgs.msg import Marker

from helpers.ros import spin_until, started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes.conversions import stamp_ns, time_message
from sim_bridge.nodes.odometry import OdometryNode
from steering_net.ros.qos import NEWEST

PERIOD_NS = 100_000_000
SPEED_MPS = 10.0


class Car:
    """An odometry node in the namespace of a car, and a viewer of its topics."""

    def __init__(self):
        self.node = OdometryNode()
        self._viewer = rclpy.create_node('viewer', use_global_arguments=False)
        self._heard = {}
        for kind, topic in ((Odometry, 'odom'), (Path, 'path'), (Marker, 'predicted_path')):
            name = f'/car_2/{topic}'
            self._viewer.create_subscription(
                kind, name, lambda it, topic=topic: self._heard.update({topic: it}), NEWEST
            )
            wait_for(lambda name=name: self.node.count_subscribers(name), what='the viewer')
        self.now_ns = 0

    def moves(self, speed_mps, yaw_rate_radps=0.0, count=1):
        """Give the node so many twists, 0.1 s apart."""
        for _ in range(count):
            self.now_ns += PERIOD_NS
            twist = TwistStamped()
            twist.header.stamp = time_message(self.now_ns)
            twist.twist.linear.x, twist.twist.angular.z = speed_mps, yaw_rate_radps
            self.node._on_twist(twist)

    def newest(self, topic):
        """Return the newest message of a topic, which has the stamp of the newest twist."""

        def is_newest():
            heard = self._heard.get(topic)
            return heard is not None and stamp_ns(heard.header.stamp) == self.now_ns

        spin_until(self._viewer, is_newest, f'a message on {topic}')
        return self._heard[topic]

    def end(self):
        self.node.destroy_node()
        self._viewer.destroy_node()


@pytest.fixture
def car():
    words = ('-r', '__ns:=/car_2', '-p', 'path_step:=1.9', '-p', 'path_points:=10')
    with started_rclpy(*words, '--log-level', 'error'):
        car = Car()
        car.moves(0.0)
        yield car
        car.end()


def test_pose_is_that_of_the_rear_axle_on_its_circle(car):
    quarter = math.pi / 2
    car.moves(SPEED_MPS, quarter / 2.0, count=20)
    odometry = car.newest('odom')
    assert (odometry.header.frame_id, odometry.child_frame_id) == ('car_2/odom', 'car_2/base_link')
    pose, radius_m = odometry.pose.pose, SPEED_MPS * 2.0 / quarter
    assert (pose.position.x, pose.position.y) == pytest.approx((radius_m, radius_m))
    assert (pose.orientation.z, pose.orientation.w) == pytest.approx((math.sqrt(0.5),) * 2)
    assert odometry.twist.twist.linear.x == SPEED_MPS
    assert odometry.twist.twist.angular.z == quarter / 2.0
    transform = car.node._transform()
    assert transform.header == odometry.header
    assert transform.child_frame_id == odometry.child_frame_id
    assert transform.transform.translation.x == pose.position.x
    assert transform.transform.translation.y == pose.position.y
    assert transform.transform.rotation == pose.orientation


def test_covariance_grows_where_something_is_measured_and_is_huge_elsewhere(car):
    car.moves(SPEED_MPS, count=10)
    odometry = car.newest('odom')
    variances = odometry.pose.covariance[::7]
    x_m2, y_m2, yaw_rad2 = 10.0 * 0.03**2, variances[1], 10.0 * 0.005**2
    assert list(variances) == pytest.approx([x_m2, y_m2, 1e6, 1e6, 1e6, yaw_rad2])
    assert 0.0 < y_m2 < x_m2
    assert odometry.pose.covariance[11] == odometry.pose.covariance[31] > 0.0, 'y with yaw'
    assert list(odometry.twist.covariance[::7]) == pytest.approx([0.0025, 0, 0, 0, 0, 0.0025])


@pytest.mark.parametrize(
    ('speed_mps', 'yaw_rate_radps'),
    [(math.nan, 0.0), (0.0, math.nan), (-1e4, 0.0), (0.0, 1e4), (math.inf, 0.0)],
)
def test_twist_that_no_car_has_moves_nothing(car, speed_mps, yaw_rate_radps):
    car.moves(1.0)
    before = car.node._pose
    car.moves(speed_mps, yaw_rate_radps)
    assert car.node._pose == before
    car.moves(1.0)
    assert car.node._pose.x_m == pytest.approx(0.2)


def test_path_has_a_point_each_step_and_drops_the_oldest(car):
    car.moves(SPEED_MPS, count=40)
    car.node._publish_path()
    path = car.newest('path')
    assert path.header.frame_id == 'car_2/odom'
    xs_m = [one.pose.position.x for one in path.poses]
    assert xs_m == pytest.approx([22.0 + 2.0 * number for number in range(10)])
    assert path.poses[-1].header.frame_id == 'car_2/odom'
    assert stamp_ns(path.poses[-1].header.stamp) == car.now_ns
    assert path.poses[-1].pose.orientation.w == 1.0


def test_predicted_path_begins_at_the_rear_axle_and_bends_to_the_commanded_side(car):
    command = JointState(name=['steering'], position=[0.1])
    command.header.stamp = time_message(car.now_ns)
    car.node._on_command(JointState(name=['steering'], position=[math.nan]))
    car.node._on_command(command)
    line = car.newest('predicted_path')
    assert line.header.frame_id == 'car_2/base_link'
    assert (line.points[0].x, line.points[0].y) == pytest.approx((0.0, 0.0))
    assert line.points[-1].x > 15.0
    assert line.points[-1].y > 1.0, 'left is positive'
    assert line.pose.orientation.w == 1.0
    assert (line.type, line.ns) == (Marker.LINE_STRIP, 'predicted_path')
    assert line.scale.x > 0.0
    assert line.color.a == 1.0


def test_reset_starts_anew_and_a_new_bridge_does_not(car):
    car.moves(SPEED_MPS, 0.5, count=10)
    car.node._on_resets(UInt32(data=0))
    assert car.node._health()[1] == '10 m driven'
    car.node._on_resets(UInt32(data=2))
    assert car.node._pose == (0.0, 0.0, 0.0)
    assert not car.node._points
    assert not car.node._covariance.any()
    car.moves(SPEED_MPS, count=10)
    car.node._on_resets(UInt32(data=2))
    car.node._on_resets(UInt32(data=0))
    assert car.node._health()[1:] == (
        '10 m driven',
        {'driven_m': 10.0, 'path_points': 5, 'transforms': car.node._transforms is not None},
    )
    car.node._on_resets(UInt32(data=1))
    assert car.node._health()[1] == '0 m driven'
