"""The odometry node: the driven path and the predicted path, for RViz and Foxglove.

The pose is dead reckoning from speed and steering. The transform odom -> base_link needs tf2_msgs,
which every ROS 2 distribution has and PyPI lacks.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PoseStamped, Quaternion, TransformStamped
from nav_msgs.msg import Odometry, Path
from rclpy.node import Node
from std_msgs.msg import Float32, Header
from visualization_msgs.msg import Marker

from sim_bridge import topics
from sim_bridge.control.kinematics import dead_reckoned
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import Health, publish_health
from sim_bridge.nodes.qos import NEWEST
from sim_bridge.nodes.runner import run
from sim_bridge.visualization.overlay import predicted_path
from steering_net.ros.parameters import Parameter, declare
from steering_net.vehicle import Pose, yaw_rate_radps

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


class OdometryNode(Node):
    """Publishes `odom` per speed, `predicted_path` per command, and `path` twice a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns monotonic seconds."""
        super().__init__('odometry')
        self._monotonic_s = clock
        values = declare(self, PARAMETERS)
        prefix = topics.frame_prefix(self.get_namespace())
        self._frame, self._child = prefix + topics.ODOM_FRAME, prefix + topics.BASE_FRAME
        self._step_m: float = values['path_step']
        self._pose = Pose()
        self._driven_m = 0.0
        self._steering_rad = 0.0
        self._last_s = clock()
        self._points: deque[PoseStamped] = deque(maxlen=values['path_points'])
        self._odometry = self.create_publisher(Odometry, topics.ODOMETRY, NEWEST)
        self._path = self.create_publisher(Path, topics.DRIVEN_PATH, NEWEST)
        self._predicted = self.create_publisher(Marker, topics.PREDICTED_PATH, NEWEST)
        self._transforms = (
            self.create_publisher(TFMessage, topics.TRANSFORMS, 100) if TFMessage else None
        )
        self.create_subscription(Float32, topics.SPEED, self._on_speed, NEWEST)
        self.create_subscription(Float32, topics.STEERING_ANGLE, self._on_angle, NEWEST)
        self.create_subscription(Float32, topics.STEERING_PLOT, self._on_command, NEWEST)
        self.create_timer(_PATH_PERIOD_S, self._publish_path)
        publish_health(self, conversions.ODOMETRY_STATUS, self._health)

    def _on_angle(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self._steering_rad = float(message.data)

    def _on_speed(self, message: Float32) -> None:
        now_s = self._monotonic_s()
        dt_s, self._last_s = now_s - self._last_s, now_s
        speed_mps = float(message.data)
        if math.isfinite(speed_mps):
            before = self._pose
            self._pose = dead_reckoned(before, speed_mps, self._steering_rad, dt_s)
            self._driven_m += math.hypot(self._pose.x_m - before.x_m, self._pose.y_m - before.y_m)
            self._publish_odometry(speed_mps)
            self._extend_path()

    def _publish_odometry(self, speed_mps: float) -> None:
        odometry = Odometry(header=self._header(self._frame), child_frame_id=self._child)
        odometry.pose.pose = self._pose_message().pose
        odometry.twist.twist.linear.x = speed_mps
        odometry.twist.twist.angular.z = yaw_rate_radps(speed_mps, self._steering_rad)
        self._odometry.publish(odometry)
        if self._transforms:
            self._transforms.publish(TFMessage(transforms=[self._transform()]))

    def _extend_path(self) -> None:
        here = self._pose_message()
        if self._points:
            last = self._points[-1].pose.position
            if math.hypot(last.x - self._pose.x_m, last.y - self._pose.y_m) < self._step_m:
                return
        self._points.append(here)

    def _publish_path(self) -> None:
        if self._path.get_subscription_count():
            self._path.publish(Path(header=self._header(self._frame), poses=list(self._points)))

    def _on_command(self, message: Float32) -> None:
        """Publish the predicted path, a line on the ground in front of the car."""
        if not (self._predicted.get_subscription_count() and math.isfinite(message.data)):
            return
        marker = Marker(
            header=self._header(self._child), ns=topics.PREDICTED_PATH, type=Marker.LINE_STRIP
        )
        marker.points = [
            Point(x=float(x), y=float(y), z=0.0) for x, y in predicted_path(message.data)
        ]
        marker.scale.x = 0.2
        marker.color.g, marker.color.b, marker.color.a = 0.75, 1.0, 1.0
        marker.pose.orientation.w = 1.0
        self._predicted.publish(marker)

    def _health(self) -> Health:
        values = {
            'driven_m': round(self._driven_m, 1),
            'path_points': len(self._points),
            'transforms': TFMessage is not None,
        }
        return DiagnosticStatus.OK, f'{self._driven_m:.0f} m driven', values

    def _header(self, frame: str) -> Header:
        return Header(stamp=self.get_clock().now().to_msg(), frame_id=frame)

    def _pose_message(self) -> PoseStamped:
        stamped = PoseStamped(header=self._header(self._frame))
        stamped.pose.position.x, stamped.pose.position.y = self._pose.x_m, self._pose.y_m
        stamped.pose.orientation = self._orientation()
        return stamped

    def _orientation(self) -> Quaternion:
        half = 0.5 * self._pose.yaw_rad
        return Quaternion(x=0.0, y=0.0, z=math.sin(half), w=math.cos(half))

    def _transform(self) -> TransformStamped:
        transform = TransformStamped(header=self._header(self._frame), child_frame_id=self._child)
        transform.transform.translation.x = self._pose.x_m
        transform.transform.translation.y = self._pose.y_m
        transform.transform.rotation = self._orientation()
        return transform


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run(OdometryNode, args=args)
