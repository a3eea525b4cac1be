# SPDX-License-Identifier: Apache-2.0
"""Conversions between values and ROS messages, without OpenCV; see also `raw_image`."""

from __future__ import annotations

import array
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Quaternion, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from std_msgs.msg import Float32, Header

from sim_bridge.topics import steering_in
from steering_net.vehicle import Pose

BRIDGE_STATUS = 'sim_bridge: bridge'
THROTTLE_STATUS = 'sim_bridge: throttle'
ANNOTATE_STATUS = 'sim_bridge: annotate'
ODOMETRY_STATUS = 'sim_bridge: odometry'
FOXGLOVE_STATUS = 'sim_bridge: foxglove'

_STEERING = 'steering'
"""hardware_id of the diagnostics of a steering node."""

_UNMEASURED = 1e6
"""Variance of a value that is not measured, m^2 or rad^2."""
_NANOSECONDS = 1_000_000_000


def time_message(stamp_ns: int) -> Time:
    """Return a message from nanoseconds since the epoch of the node's clock."""
    seconds, nanoseconds = divmod(stamp_ns, _NANOSECONDS)
    return Time(sec=seconds, nanosec=nanoseconds)


def stamp_ns(stamp: Time) -> int:
    """Return the nanoseconds of a stamp; the inverse of `time_message`."""
    return int(stamp.sec) * _NANOSECONDS + int(stamp.nanosec)


def header(stamp: int, frame_id: str) -> Header:
    """Return the header of the messages of one telemetry; stamp in nanoseconds."""
    return Header(stamp=time_message(stamp), frame_id=frame_id)


def float_message(value: float) -> Float32:
    """Return a message with one number."""
    return Float32(data=value)


def twist(head: Header, speed_mps: float, yaw_rate_radps: float) -> TwistStamped:
    """Return a message with the speed ahead and the yaw rate, left positive."""
    message = TwistStamped(header=head)
    message.twist.linear.x = float(speed_mps)
    message.twist.angular.z = float(yaw_rate_radps)
    return message


def odometry(
    head: Header, child: str, pose: Pose, covariance: npt.NDArray[np.float64] | None = None
) -> Odometry:
    """Return a message with a pose on the ground; a covariance (3, 3) of x, y and yaw.

    Height, roll and pitch are not measured, which their variance says.
    """
    message = Odometry(header=head, child_frame_id=child)
    message.pose.pose.position.x, message.pose.pose.position.y = pose.x_m, pose.y_m
    message.pose.pose.orientation = orientation(pose.yaw_rad)
    if covariance is not None:
        full = np.diag([0.0, 0.0, _UNMEASURED, _UNMEASURED, _UNMEASURED, 0.0])
        full[np.ix_((0, 1, 5), (0, 1, 5))] = covariance
        message.pose.covariance = full.ravel()
    return message


def orientation(yaw_rad: float, pitch_up_rad: float = 0.0) -> Quaternion:
    """Return the orientation of a car by its heading and by how much its nose points up."""
    yaw, pitch = 0.5 * yaw_rad, -0.5 * pitch_up_rad
    return Quaternion(
        x=-math.sin(yaw) * math.sin(pitch),
        y=math.cos(yaw) * math.sin(pitch),
        z=math.sin(yaw) * math.cos(pitch),
        w=math.cos(yaw) * math.cos(pitch),
    )


def compressed_image(head: Header, jpeg: bytes) -> CompressedImage:
    """Return a message with a JPEG, its bytes unchanged.

    format: `rgb8; jpeg compressed bgr8`, as compressed_image_transport writes it: the encoding of
    the decoded image, then that of the JPEG.
    """
    return CompressedImage(
        header=head, format='rgb8; jpeg compressed bgr8', data=array.array('B', jpeg)
    )


def camera_info(head: Header, width: int, height: int, vertical_fov_rad: float) -> CameraInfo:
    """Return an ideal pinhole camera with square pixels: f = (height / 2) / tan(fov / 2), px."""
    focal = 0.5 * height / math.tan(0.5 * vertical_fov_rad)
    cx, cy = 0.5 * width, 0.5 * height
    return CameraInfo(
        header=head,
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def steering_of(message: JointState) -> float | None:
    """Return the position of the joint `steering`, rad, left positive; None if it is missing."""
    return steering_in(message.name, message.position)


def diagnostic(
    name: str, level: bytes, summary: str, values: Mapping[str, object]
) -> DiagnosticStatus:
    """Return a status with `values` in their order, nested ones as `outer.inner`.

    Truths are `true` and `false`, and a value that is not known is empty, as in YAML.
    """
    return DiagnosticStatus(
        name=name,
        hardware_id='sim_bridge',
        level=level,
        message=summary,
        values=[KeyValue(key=key, value=_text(value)) for key, value in _flat(values)],
    )


def diagnostics(stamp: Time, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """Return a message with the statuses of one moment."""
    return DiagnosticArray(header=Header(stamp=stamp), status=list(statuses))


def _text(value: object) -> str:
    if value is None:
        return ''
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield each value by itself, because plots of diagnostics cannot parse a text."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f'{key}.{inner}', figure) for inner, figure in value.items())
        else:
            yield key, value


def network_of(message: DiagnosticArray) -> dict[str, str]:
    """Return what the diagnostics of a steering node say about its network; {} of other nodes.

    network: its name. network_loading: the file that is being loaded, or ''. network_refused: the
    file that was refused last and why, or ''.
    """
    for status in message.status:
        values = {pair.key: str(pair.value) for pair in status.values}
        if status.hardware_id == _STEERING and 'model' in values:
            return {
                'network': values['model'],
                'network_loading': values.get('loading', ''),
                'network_refused': values.get('refused', ''),
            }
    return {}
