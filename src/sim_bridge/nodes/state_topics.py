# SPDX-License-Identifier: Apache-2.0
"""The state of a car in standard messages: joints, limits, and the truth of the simulator."""

from __future__ import annotations

import math
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float32, Header, UInt32

from sim_bridge import topics
from sim_bridge.control.kinematics import base_link
from sim_bridge.control.motion_controller import REVERSE_AT_MOST_MPS
from sim_bridge.nodes import conversions
from sim_bridge.protocol.types import Telemetry, Truth
from sim_bridge.session.car_session import CarSession
from steering_net.ros.qos import EVERY, LATCHED, NEWEST
from steering_net.vehicle import (
    BRAKE_GRIP_MPS2,
    DRIVE_MPS2,
    FRONT_WHEEL_M,
    MASS_KG,
    MAX_STEERING_RAD,
    REAR_AXLE_M,
    REAR_WHEEL_M,
    TOP_SPEED_MPS,
    TRACK_M,
    WHEELBASE_M,
    Pose,
)

STEERING_JOINTS = ('front_left_steering', 'front_right_steering')
"""Joints of the URDF. The simulator turns both front wheels alike."""
WHEELS_M = {
    'front_left_wheel': FRONT_WHEEL_M,
    'front_right_wheel': FRONT_WHEEL_M,
    'rear_left_wheel': REAR_WHEEL_M,
    'rear_right_wheel': REAR_WHEEL_M,
}
"""Joints of the URDF, and the radius of each wheel."""
LIMITS = {
    'max_steering_rad': MAX_STEERING_RAD,
    'max_speed_mps': TOP_SPEED_MPS,
    'max_reverse_speed_mps': REVERSE_AT_MOST_MPS,
    'max_acceleration_mps2': DRIVE_MPS2,
    'max_deceleration_mps2': BRAKE_GRIP_MPS2,
    'wheelbase_m': WHEELBASE_M,
    'track_m': TRACK_M,
    'front_wheel_radius_m': FRONT_WHEEL_M,
    'rear_wheel_radius_m': REAR_WHEEL_M,
    'mass_kg': MASS_KG,
}
_LONGEST_STEP_S = 0.2


class StateTopics:
    """Publishers of one car, whose topics begin with `prefix`.

    All but the limits, which are latched, publish only while they have a subscription. `publish`
    is called on the server's thread.
    """

    def __init__(
        self, node: Node, prefix: str, session: CarSession, *, map_frame: str, base_frame: str
    ) -> None:
        self._node, self._prefix, self._session = node, prefix, session
        self._map_frame = map_frame
        self._base_frame = base_frame
        self._rolled_m = 0.0
        self._stamp_ns = 0
        self._joints = self._publisher(JointState, topics.JOINT_STATES)
        self._odometry = self._publisher(Odometry, topics.TRUE_ODOMETRY, EVERY)
        self._values = {
            self._publisher(Float32, topics.TRUE_CROSS_TRACK): 'cross_track_m',
            self._publisher(UInt32, topics.TRUE_LAPS): 'laps',
            self._publisher(Float32, topics.TRUE_LAP_TIME): 'lap_time_s',
            self._publisher(Bool, topics.TRUE_OFF_ROAD): 'off_road',
        }
        limits = self._publisher(DiagnosticStatus, topics.VEHICLE_LIMITS, LATCHED)
        limits.publish(
            conversions.diagnostic(
                f'{prefix}vehicle limits', DiagnosticStatus.OK, 'SI units', LIMITS
            )
        )

    def _publisher(self, kind: type, topic: str, quality: QoSProfile = NEWEST) -> Any:
        return self._node.create_publisher(kind, self._prefix + topic, quality)

    def publish(self, frame: Telemetry, stamp_ns: int) -> None:
        """Publish the state at a frame, with its stamp."""
        if self._joints.get_subscription_count():
            self._publish_joints(frame.steering_rad, stamp_ns)
        if frame.truth is not None and self._has_truth_subscription():
            truth = Truth.parse(frame.truth)
            if truth is not None:
                self._publish_truth(truth, stamp_ns)

    def _has_truth_subscription(self) -> bool:
        publishers = (self._odometry, *self._values)
        return any(publisher.get_subscription_count() for publisher in publishers)

    def _publish_joints(self, steering_rad: float, stamp_ns: int) -> None:
        speed_mps = self._session.signed_speed_mps
        dt_s = 1e-9 * (stamp_ns - self._stamp_ns)
        self._stamp_ns = stamp_ns
        self._rolled_m += speed_mps * min(dt_s, _LONGEST_STEP_S)
        turned = {name: self._rolled_m / radius for name, radius in WHEELS_M.items()}
        angles = [math.remainder(angle, math.tau) for angle in turned.values()]
        rates = [speed_mps / radius for radius in WHEELS_M.values()]
        self._joints.publish(
            JointState(
                header=conversions.header(stamp_ns, ''),
                name=[*STEERING_JOINTS, *WHEELS_M],
                position=[steering_rad, steering_rad, *angles],
                velocity=[0.0, 0.0, *rates],
            )
        )

    def _publish_truth(self, truth: Truth, stamp_ns: int) -> None:
        for publisher, field in self._values.items():
            if publisher.get_subscription_count():
                publisher.publish(publisher.msg_type(data=getattr(truth, field)))
        if self._odometry.get_subscription_count():
            head = conversions.header(stamp_ns, self._map_frame)
            self._odometry.publish(true_odometry(truth, head, self._base_frame))


def true_odometry(truth: Truth, head: Header, child: str) -> Odometry:
    """Return the true pose of base_link in the frame of the track, and its speeds in its own."""
    pose = base_link(Pose(truth.x_m, truth.y_m, truth.yaw_rad))
    message = conversions.odometry(head, child, pose)
    rise_m = REAR_AXLE_M * math.sin(truth.pitch_up_rad)
    message.pose.pose.position.z = truth.z_m - rise_m
    message.pose.pose.orientation = conversions.orientation(truth.yaw_rad, truth.pitch_up_rad)
    swing_mps = REAR_AXLE_M * truth.yaw_rate_radps  # Of the origin, to whose speed it belongs.
    axle_mps = math.sqrt(max(0.0, truth.speed_mps**2 - swing_mps**2))
    message.twist.twist.linear.x = math.copysign(axle_mps, truth.speed_mps)
    message.twist.twist.angular.z = float(truth.yaw_rate_radps)
    return message
