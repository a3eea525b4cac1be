# SPDX-License-Identifier: Apache-2.0
"""Dead reckoning: known paths, and the node that publishes them."""

import math
from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry, Path
from sensor_msgs.msg import JointState
from visualization_msgs.msg import Marker

from helpers.ros import started_node, started_rclpy
from helpers.waiting import wait_for
from sim_bridge.control.kinematics import base_link, base_link_twist, dead_reckoned, grown
from sim_bridge.nodes.conversions import time_message
from sim_bridge.nodes.odometry import OdometryNode
from sim_bridge.process import ManagedProcess
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from steering_net.bicycle_model import yaw_rate_radps
from steering_net.ros.qos import NEWEST
from steering_net.vehicle import PHYSICS_STEP_S, REAR_AXLE_M, WHEELBASE_M, Pose


def drive(steering_rad, seconds, dt_s=0.02, speed_mps=5.0, start=None):
    pose = start or Pose()
    for _ in range(round(seconds / dt_s)):
        pose = dead_reckoned(pose, speed_mps, yaw_rate_radps(speed_mps, steering_rad), dt_s)
    return pose


def test_straight_on_goes_as_far_as_the_speed_says():
    assert drive(0.0, 10.0) == Pose(pytest.approx(50.0), 0.0, 0.0)


@pytest.mark.parametrize('steering_rad', [-0.3, 0.05, 0.4])
def test_full_circle_comes_back_to_where_it_began(steering_rad):
    yaw_rate = yaw_rate_radps(5.0, steering_rad)
    round_s = math.tau / abs(yaw_rate)
    pose = Pose()
    for _ in range(200):
        pose = dead_reckoned(pose, 5.0, yaw_rate, round_s / 200)
    assert (pose.x_m, pose.y_m, pose.yaw_rad) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)


@pytest.mark.parametrize('dt_s', [0.01, 0.05, 0.2])
def test_arc_does_not_depend_on_the_step(dt_s):
    fine, coarse = drive(0.2, 4.0, 0.001), drive(0.2, 4.0, dt_s)
    assert (coarse.x_m, coarse.y_m) == pytest.approx((fine.x_m, fine.y_m), abs=1e-6)
    assert coarse.yaw_rad == pytest.approx(fine.yaw_rad, abs=1e-9)


def test_base_link_circles_around_the_turning_centre():
    radius = WHEELBASE_M / math.tan(0.3)
    pose = drive(0.3, 3.0)
    assert pose.y_m > 0.0, 'left is positive'
    assert math.hypot(pose.x_m, pose.y_m - radius) == pytest.approx(radius)


def test_car_that_reverses_comes_back():
    ahead = drive(0.2, 3.0)
    assert ahead.x_m > 5.0
    assert drive(0.2, 3.0, speed_mps=-5.0, start=ahead) == pytest.approx((0.0, 0.0, 0.0))


def test_base_link_lies_behind_the_origin():
    assert base_link(Pose(0.0, 0.0, math.pi / 2)) == pytest.approx(
        (0.0, -REAR_AXLE_M, math.pi / 2)
    )


def covariance_after(steering_rad, seconds):
    pose, covariance = Pose(), np.zeros((3, 3))
    for _ in range(round(seconds / 0.1)):
        after = drive(steering_rad, 0.1, 0.1, start=pose)
        covariance, pose = grown(covariance, pose, after), after
    return covariance


def test_covariance_grows_with_the_distance_and_is_one():
    near, far = covariance_after(0.05, 10.0), covariance_after(0.05, 40.0)
    for covariance in (near, far):
        assert covariance == pytest.approx(covariance.T)
        assert min(np.linalg.eigvalsh(covariance)) > -1e-9
    assert np.all(np.diag(far) > np.diag(near))
    lap = covariance_after(0.0, 227.5)
    assert math.degrees(math.sqrt(lap[2, 2])) == pytest.approx(10.0, abs=1.0)
    assert math.sqrt(lap[0, 0]) == pytest.approx(1.0, abs=0.1), 'the way itself is known well'
    assert math.sqrt(lap[1, 1]) > 50.0


def test_dead_reckoning_follows_the_true_car_around_a_track():
    simulator = Simulator(SimulatorOptions(hz=1 / PHYSICS_STEP_S))
    start = pose = base_link(simulator.car.pose)
    for _ in range(1500):
        steering_rad = pursuit_steering_rad(
            simulator.track, simulator.car.pose, simulator.place.s_m
        )
        simulator.apply(steering_rad, 0.3)
        simulator.advance()
        twist = base_link_twist(simulator.car.speed_mps, steering_rad)
        pose = dead_reckoned(pose, *twist, PHYSICS_STEP_S)
    true = base_link(simulator.car.pose)
    assert math.hypot(true.x_m - start.x_m, true.y_m - start.y_m) > 50.0
    assert (pose.x_m, pose.y_m) == pytest.approx((true.x_m, true.y_m), abs=1e-6)
    assert math.remainder(pose.yaw_rad - true.yaw_rad, math.tau) == pytest.approx(0.0, abs=1e-6)


def test_standing_car_knows_as_much_as_before():
    before = covariance_after(0.1, 5.0)
    assert grown(before, Pose(1.0, 2.0, 0.3), Pose(1.0, 2.0, 0.3)) == pytest.approx(before)


@pytest.mark.parametrize('dt_s', [0.0, -1.0, 0.5, 60.0, math.nan])
def test_pause_is_no_way_driven(dt_s):
    assert dead_reckoned(Pose(1.0, 2.0, 0.5), 5.0, 0.1, dt_s) == Pose(1.0, 2.0, 0.5)


@pytest.mark.parametrize(
    ('speed_mps', 'yaw_rate_radps'),
    [(math.nan, 0.0), (5.0, math.inf), (1e300, 1.0), (1e-300, 1e300), (5e-324, 1.0)],
)
def test_twist_that_no_car_has_leaves_the_pose_alone(speed_mps, yaw_rate_radps):
    with started_rclpy():
        node = OdometryNode()
        twist = TwistStamped()
        for seconds, speed, yaw_rate in ((0.0, 5.0, 0.1), (0.1, speed_mps, yaw_rate_radps)):
            twist.header.stamp = time_message(round(1e9 * (1.0 + seconds)))
            twist.twist.linear.x, twist.twist.angular.z = speed, yaw_rate
            node._on_twist(twist)
        assert node._pose == Pose()
        assert np.isfinite(node._covariance).all()
        node.destroy_node()


@contextmanager
def ending(process):
    """End a process when the context ends."""
    try:
        yield
    finally:
        process.ask_to_end()
        process.wait(10.0)


@pytest.mark.slow
@pytest.mark.parametrize('car', ['', 'car_2'])
def test_node_publishes_odometry_path_and_prediction(car):
    node_under_test = ManagedProcess('odometry', ['odometry', '--ros-args', '-r', f'__ns:=/{car}'])
    prefix = f'{car}/' if car else ''
    heard = {'odom': [], 'path': [], 'predicted_path': []}
    with ending(node_under_test), started_node('driver', namespace=car) as node:
        for topic, kind in (('odom', Odometry), ('path', Path), ('predicted_path', Marker)):
            node.create_subscription(kind, topic, heard[topic].append, NEWEST)
        twists = node.create_publisher(TwistStamped, 'vehicle/twist', NEWEST)
        commands = node.create_publisher(JointState, 'cmd/steering', NEWEST)
        twist, command = TwistStamped(), JointState(name=['steering'], position=[0.2])
        twist.twist.linear.x, twist.twist.angular.z = 5.0, yaw_rate_radps(5.0, 0.1)
        stamps = count(10**9, 20_000_000)

        def driven():
            twist.header.stamp = command.header.stamp = time_message(next(stamps))
            commands.publish(command)
            twists.publish(twist)
            for _ in heard:
                rclpy.spin_once(node, timeout_sec=0.0)
            return all(heard.values()) and heard['odom'][-1].pose.pose.position.x > 3.0

        wait_for(driven, what='three metres of odometry')
        odometry, path = heard['odom'][-1], heard['path'][-1]
    assert (odometry.header.frame_id, odometry.child_frame_id) == (
        f'{prefix}odom',
        f'{prefix}base_link',
    )
    assert odometry.pose.pose.position.y > 0.0
    assert odometry.pose.covariance[0] > 0.0
    assert odometry.pose.covariance[35] > 0.0
    assert odometry.twist.twist.linear.x == 5.0
    assert odometry.twist.twist.angular.z == pytest.approx(yaw_rate_radps(5.0, 0.1), abs=1e-4)
    assert all(one.header.stamp.sec < 1000 for some in heard.values() for one in some)
    assert path.header.frame_id == f'{prefix}odom'
    assert heard['predicted_path'][-1].header.frame_id == f'{prefix}base_link'
    assert heard['predicted_path'][-1].points[-1].y > 1.0
