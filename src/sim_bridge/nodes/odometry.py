# SPDX-License-Identifier: Apache-2.0
"""The odometry node: the driven path and the predicted path, for RViz and Foxglove.

The pose is dead reckoning from `vehicle/twist`, over the stamps of its messages, so that it does
not depend on the pace of a replay. All messages have the stamp of their frame. base_link is the
middle of the rear axle, on the ground. The transform odom -> base_link needs tf2_msgs, which every
ROS 2 distribution has and PyPI lacks.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PoseStamped, TransformStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry, Path
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, UInt32
from visualization_msgs.msg import Marker

from sim_bridge import topics
from sim_bridge.control.kinematics import dead_reckoned, grown
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import Health, publish_health
from sim_bridge.nodes.runner import run_viewer
from sim_bridge.visualization.overlay import predicted_path
from steering_net.ros.parameters import Parameter, declare
from steering_net.ros.qos import EVERY, LATCHED, NEWEST
from steering_net.ros.timers import steady_timer
from steering_net.vehicle import REAR_AXLE_M, Pose

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

PARAMETERS = (
    Parameter('path_step', 0.5, 'Distance between two points of the path, m.', 0.05, 10.0),
    Parameter(
        'path_points',
        4000,
        'Largest number of points of the path; older points are dropped.',
        10,
        100_000,
    ),
)

_PATH_PERIOD_S = 0.5
_NO_CAR = 1e3
"""Speed, m/s, and yaw rate, rad/s, that no car has: such a twist is ignored, as NaN is."""
_TWIST_VARIANCE = 0.05**2
"""Variance of speed, (m/s)^2, and yaw rate, (rad/s)^2."""


class OdometryNode(Node):
    """Publishes `odom` per twist, `predicted_path` per command, and `path` twice a second.

    Each of them only while it has a subscription.
    """

    def __init__(self) -> None:
        super().__init__('odometry')
        values = declare(self, PARAMETERS)
        prefix = topics.frame_prefix(self.get_namespace())
        self._frame, self._child = prefix + topics.ODOM_FRAME, prefix + topics.BASE_FRAME
        self._step_m: float = values['path_step']
        self._pose = Pose()
        self._covariance = _certain()
        self._driven_m = 0.0
        self._resets = 0
        self._stamp_ns = 0
        self._points: deque[PoseStamped] = deque(maxlen=values['path_points'])
        self._odometry = self.create_publisher(Odometry, topics.ODOMETRY, NEWEST)
        self._path = self.create_publisher(Path, topics.DRIVEN_PATH, NEWEST)
        self._predicted = self.create_publisher(Marker, topics.PREDICTED_PATH, NEWEST)
        self._transforms = (
            self.create_publisher(TFMessage, topics.TRANSFORMS, 100) if TFMessage else None
        )
        self.create_subscription(TwistStamped, topics.TWIST, self._on_twist, EVERY)
        self.create_subscription(JointState, topics.STEERING_COMMAND, self._on_command, NEWEST)
        self.create_subscription(UInt32, topics.RESETS, self._on_resets, LATCHED)
        steady_timer(self, _PATH_PERIOD_S, self._publish_path)
        publish_health(self, conversions.ODOMETRY_STATUS, self._health)

    def _on_resets(self, message: UInt32) -> None:
        """Start anew after a reset. A new bridge counts from 0 again, which is no reset."""
        if message.data > self._resets:
            self._pose = Pose()
            self._covariance = _certain()
            self._driven_m = 0.0
            self._points.clear()
        self._resets = message.data

    def _on_twist(self, message: TwistStamped) -> None:
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        dt_s, self._stamp_ns = 1e-9 * (stamp_ns - self._stamp_ns), stamp_ns
        speed_mps, yaw_rate_radps = message.twist.linear.x, message.twist.angular.z
        if abs(speed_mps) < _NO_CAR and abs(yaw_rate_radps) < _NO_CAR:
            before = self._pose
            self._pose = dead_reckoned(before, speed_mps, yaw_rate_radps, dt_s)
            self._covariance = grown(self._covariance, before, self._pose)
            self._driven_m += math.hypot(self._pose.x_m - before.x_m, self._pose.y_m - before.y_m)
            self._publish_odometry(message.twist)
            self._extend_path()

    def _publish_odometry(self, twist: Twist) -> None:
        if self._odometry.get_subscription_count():
            odometry = conversions.odometry(
                self._header(self._frame), self._child, self._pose, self._covariance
            )
            odometry.twist.twist = twist
            odometry.twist.covariance[0] = odometry.twist.covariance[35] = _TWIST_VARIANCE
            self._odometry.publish(odometry)
        if self._transforms:
            self._transforms.publish(TFMessage(transforms=[self._transform()]))

    def _extend_path(self) -> None:
        if self._points:
            last = self._points[-1].pose.position
            if math.hypot(last.x - self._pose.x_m, last.y - self._pose.y_m) < self._step_m:
                return
        self._points.append(self._pose_message())

    def _publish_path(self) -> None:
        if self._path.get_subscription_count():
            self._path.publish(Path(header=self._header(self._frame), poses=list(self._points)))

    def _on_command(self, message: JointState) -> None:
        """Publish the predicted path, a line on the ground in front of the car."""
        steering_rad = conversions.steering_of(message)
        if steering_rad is None or not math.isfinite(steering_rad):
            return
        if not self._predicted.get_subscription_count():
            return
        head = Header(stamp=message.header.stamp, frame_id=self._child)
        marker = Marker(header=head, ns=topics.PREDICTED_PATH, type=Marker.LINE_STRIP)
        marker.points = [
            Point(x=float(x) + REAR_AXLE_M, y=float(y), z=0.0)
            for x, y in predicted_path(steering_rad)
        ]
        marker.scale.x = 0.2
        marker.color.g, marker.color.b, marker.color.a = 0.75, 1.0, 1.0
        self._predicted.publish(marker)

    def _health(self) -> Health:
        values = {
            'driven_m': round(self._driven_m, 1),
            'path_points': len(self._points),
            'transforms': TFMessage is not None,
        }
        return DiagnosticStatus.OK, f'{self._driven_m:.0f} m driven', values

    def _header(self, frame: str) -> Header:
        return conversions.header(self._stamp_ns, frame)

    def _pose_message(self) -> PoseStamped:
        stamped = PoseStamped(header=self._header(self._frame))
        stamped.pose.position.x, stamped.pose.position.y = self._pose.x_m, self._pose.y_m
        stamped.pose.orientation = conversions.orientation(self._pose.yaw_rad)
        return stamped

    def _transform(self) -> TransformStamped:
        transform = TransformStamped(header=self._header(self._frame), child_frame_id=self._child)
        transform.transform.translation.x = self._pose.x_m
        transform.transform.translation.y = self._pose.y_m
        transform.transform.rotation = conversions.orientation(self._pose.yaw_rad)
        return transform


def _certain() -> npt.NDArray[np.float64]:
    """Return the covariance (3, 3) of x, y and yaw at the start."""
    return np.zeros((3, 3))


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run_viewer(OdometryNode, args)
