# SPDX-License-Identifier: Apache-2.0
"""The annotate node: which command and latency it draws on a frame."""

import time

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String

from helpers.ros import started_rclpy
from sim_bridge import topics
from sim_bridge.nodes.annotate import AnnotateNode
from sim_bridge.nodes.conversions import header
from sim_bridge.visualization import overlay
from steering_net.vision.frame_size import FRAME_SHAPE
from steering_net.vision.jpeg import JPEG_QUALITY, encode_jpeg

JPEG = encode_jpeg(np.zeros(FRAME_SHAPE, np.uint8), JPEG_QUALITY)


@pytest.fixture
def receive(monkeypatch):
    """A function that gives a message of a topic to a node; its list has the drawn readings."""
    drawn = []
    draw = overlay.draw

    def kept(rgb, reading):
        drawn.append(reading)
        return draw(rgb, reading)

    monkeypatch.setattr(overlay, 'draw', kept)
    with started_rclpy():
        seconds = iter(range(1, 100))
        node = AnnotateNode(clock=lambda: next(seconds))
        inputs = {one.topic_name: one.callback for one in node._subscribe()}

        def receive(topic, message):
            inputs[f'/{topic}'](message)

        receive.drawn = drawn
        yield receive
        node.destroy_node()


def frame(stamp_ns):
    return CompressedImage(header=header(stamp_ns, ''), data=JPEG)


def command(stamp_ns, steering_rad):
    return JointState(header=header(stamp_ns, ''), name=['steering'], position=[steering_rad])


def test_command_of_the_source_that_drives_is_drawn(receive):
    receive(topics.COMPRESSED_FRAME, frame(1))
    receive(topics.STEERING_COMMAND, command(1, 0.25))
    receive(topics.DRIVER, String(data='page'))
    receive(topics.COMPRESSED_FRAME, frame(2))
    receive(topics.STEERING_COMMAND, command(2, 0.5))
    receive(topics.PERSON_COMMAND, command(2, -0.25))
    receive(topics.DRIVER, String(data='network'))
    receive(topics.COMPRESSED_FRAME, frame(3))
    receive(topics.PERSON_COMMAND, command(3, -0.5))
    receive(topics.STEERING_COMMAND, command(3, 0.75))
    assert [reading.commanded_rad for reading in receive.drawn] == [0.25, -0.25, 0.75]


@pytest.mark.parametrize(('age_s', 'is_measured'), [(0.02, True), (3600.0, False), (-60.0, False)])
def test_latency_is_drawn_only_if_stamp_and_clock_agree(receive, age_s, is_measured):
    """The frames of a replay have old stamps; a clock that was set back is behind the stamps."""
    stamp_ns = time.time_ns() - round(1e9 * age_s)
    receive(topics.COMPRESSED_FRAME, frame(stamp_ns))
    receive(topics.STEERING_COMMAND, command(stamp_ns, 0.1))
    (reading,) = receive.drawn
    assert (reading.latency_ms is not None) is is_measured
