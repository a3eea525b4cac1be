# SPDX-License-Identifier: Apache-2.0
"""The view of a running drive: which values it shows with which frame."""

import pytest
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float32

from helpers.ros import started_rclpy
from sim_bridge import topics
from sim_bridge.nodes.conversions import header
from sim_bridge.nodes.rerun_view import RerunViewNode


class Shown:
    """Keeps what a RerunLog would get."""

    def __init__(self):
        self.frames = []

    def add(self, stamp_ns, jpeg, reading):
        self.frames.append((stamp_ns, jpeg, reading.commanded_rad, reading.speed_mps))


def frame(stamp_ns):
    return CompressedImage(header=header(stamp_ns, ''), data=b'%d' % stamp_ns)


def command(stamp_ns, steering_rad):
    return JointState(header=header(stamp_ns, ''), name=['steering'], position=[steering_rad])


@pytest.mark.parametrize('prefix', ['', 'car_2/'])
def test_frame_is_shown_with_the_command_that_drove_and_the_values_before_the_next_frame(prefix):
    with started_rclpy():
        shown = Shown()
        view = RerunViewNode(shown, prefix)
        receive = {one.topic_name: one.callback for one in view.subscriptions}
        for topic, message in (
            (topics.SPEED, Float32(data=4.0)),
            (topics.STEERING_COMMAND, command(1, 0.25)),
            (topics.COMPRESSED_FRAME, frame(1)),
            (topics.STEERING_COMMAND, command(9, 0.75)),
            (topics.COMPRESSED_FRAME, frame(2)),
            (topics.COMPRESSED_FRAME, frame(3)),
            (topics.STEERING_COMMAND, command(3, 0.5)),
            (topics.COMPRESSED_FRAME, frame(4)),
            (topics.PERSON_COMMAND, command(3, -0.25)),
            (topics.SPEED, Float32(data=5.0)),
            (topics.PERSON_COMMAND, command(4, -0.5)),
            (topics.STEERING_COMMAND, command(4, 0.5)),
        ):
            receive[f'/{prefix}{topic}'](message)
        view.destroy_node()
    assert shown.frames == [
        (1, b'1', 0.25, 4.0),
        (2, b'2', None, 4.0),
        (3, b'3', -0.25, 4.0),
        (4, b'4', -0.5, 5.0),
    ]
