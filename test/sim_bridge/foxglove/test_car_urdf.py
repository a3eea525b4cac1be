# SPDX-License-Identifier: Apache-2.0
"""The car's description as transforms, and these as CDR."""

import numpy as np
import pytest

from helpers.paths import ROOT
from sim_bridge.foxglove.urdf import car_urdf, joints_of
from sim_bridge.nodes.foxglove_car import transforms_cdr
from sim_bridge.recording.message_types import TYPES
from sim_bridge.topics import BASE_FRAME, CAMERA_FRAME, OPTICAL_FRAME

JOINTS = {joint.name: joint for joint in joints_of(car_urdf())}


def matrix(quaternion):
    """Rotation matrix of x, y, z, w."""
    x, y, z, w = quaternion
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def test_the_description_is_that_of_the_checkout():
    assert car_urdf() == (ROOT / 'urdf' / 'car.urdf').read_text(encoding='utf-8')


def test_the_optical_frame_looks_ahead_and_its_y_axis_down():
    rotation = matrix(JOINTS['camera_optical'].rest.rotation)
    assert rotation @ [0, 0, 1] == pytest.approx([1, 0, 0], abs=1e-6)
    assert rotation @ [0, 1, 0] == pytest.approx([0, 0, -1], abs=1e-6)
    assert JOINTS['camera_optical'].axis is None


def test_the_camera_looks_down_by_the_pitch_of_the_description():
    rest = JOINTS['camera'].rest
    ahead = matrix(rest.rotation) @ [1, 0, 0]
    assert np.arcsin(-ahead[2]) == pytest.approx(0.16057, abs=1e-4)
    assert rest.place_m == pytest.approx((2.6, 0.0, 1.264))
    assert (rest.parent, rest.child) == (BASE_FRAME, CAMERA_FRAME)


def test_roll_pitch_and_yaw_are_about_fixed_axes_in_this_order():
    urdf = """<robot name="r"><joint name="j" type="fixed"><parent link="a"/><child link="b"/>
      <origin rpy="0.5 -0.7 1.1"/></joint></robot>"""
    (joint,) = joints_of(urdf)
    (sr, sp, sy), (cr, cp, cy) = np.sin([0.5, -0.7, 1.1]), np.cos([0.5, -0.7, 1.1])
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    assert matrix(joint.rest.rotation) == pytest.approx(yaw @ pitch @ roll)


@pytest.mark.parametrize('angle_rad', [-0.4, 0.0, 0.3])
def test_a_steered_wheel_turns_to_the_left_for_a_positive_angle(angle_rad):
    turned = JOINTS['front_left_steering'].at(angle_rad)
    ahead = matrix(turned.rotation) @ [1, 0, 0]
    assert np.arctan2(ahead[1], ahead[0]) == pytest.approx(angle_rad)
    assert turned.place_m == JOINTS['front_left_steering'].rest.place_m


def test_transforms_are_decoded_as_they_were():
    rests = [joint.at(0.2) for joint in JOINTS.values()]
    cdr = transforms_cdr(1_500_000_002, rests)
    message = TYPES.deserialize_cdr(cdr, 'tf2_msgs/msg/TFMessage')
    assert len(message.transforms) == len(rests) > 6
    for sent, got in zip(rests, message.transforms, strict=True):
        stamp = got.header.stamp
        assert (stamp.sec, stamp.nanosec, got.header.frame_id) == (1, 500_000_002, sent.parent)
        assert got.child_frame_id == sent.child
        place, turned = got.transform.translation, got.transform.rotation
        assert (place.x, place.y, place.z) == sent.place_m
        assert (turned.x, turned.y, turned.z, turned.w) == sent.rotation
    assert OPTICAL_FRAME in {one.child for one in rests}
