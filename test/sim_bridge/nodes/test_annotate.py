# SPDX-License-Identifier: Apache-2.0
"""The annotate node: which frames it draws, with which command and values, and how often."""

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String

from helpers.ros import spin_until, started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes.annotate import AnnotateNode
from sim_bridge.nodes.conversions import compressed_image, header, stamp_ns, time_message
from sim_bridge.visualization import overlay
from steering_net.ros.qos import NEWEST
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg

JPEG = encode_jpeg(np.full((160, 320, 3), 90, np.uint8))
STEERING_RAD = 0.125
LATE_NS = 40_000_000


class Annotated:
    """An annotate node, whose time stands still, and what it has drawn."""

    def __init__(self, monkeypatch):
        self.now_s = 100.0
        self.node = AnnotateNode(lambda: self.now_s)
        self.readings, self.heard = [], []
        draw = overlay.draw
        monkeypatch.setattr(
            overlay,
            'draw',
            lambda rgb, reading: self.readings.append(reading) or draw(rgb, reading),
        )
        self.viewer = rclpy.create_node('viewer')
        self.viewer.create_subscription(
            CompressedImage, 'camera/image_annotated/compressed', self.heard.append, NEWEST
        )

    def takes(self, frame_ns, command_ns, jpeg=JPEG):
        """Give the node a frame and a command of the network with these stamps."""
        self.node._on_frame(compressed_image(header(frame_ns, 'lens'), jpeg))
        self.commanded(command_ns, STEERING_RAD)

    def commanded(self, stamp_ns, steering_rad, *, is_by_person=False):
        """Give the node a command of the network or of a person."""
        command = JointState(name=['steering'], position=[steering_rad])
        command.header.stamp = time_message(stamp_ns)
        self.node._on_command(is_by_person, command)


@pytest.fixture
def annotated(monkeypatch):
    with started_rclpy('-p', 'rate:=10.0', '--log-level', 'error'):
        annotated = Annotated(monkeypatch)
        yield annotated
        annotated.node.destroy_node()
        annotated.viewer.destroy_node()


def test_frame_is_drawn_with_its_own_command_and_no_other(annotated):
    sent_ns = annotated.node.get_clock().now().nanoseconds - LATE_NS
    annotated.takes(sent_ns, sent_ns + 1)
    assert annotated.readings == []
    wait_for(lambda: annotated.node._publisher.get_subscription_count(), what='the viewer')
    annotated.node._values['speed_mps'] = 4.0
    annotated.takes(sent_ns, sent_ns)
    (reading,) = annotated.readings
    assert (reading.commanded_rad, reading.speed_mps) == (STEERING_RAD, 4.0)
    assert 40.0 <= reading.latency_ms < 40_000.0
    spin_until(annotated.viewer, lambda: annotated.heard, 'the drawing')
    (drawing,) = annotated.heard
    assert (stamp_ns(drawing.header.stamp), drawing.header.frame_id) == (sent_ns, 'lens')
    assert decode_jpeg(bytes(drawing.data)).shape == (320, 640, 3)


def test_command_of_the_source_that_drives_is_drawn(annotated):
    for number, driver in enumerate(('network', 'page', 'network')):
        annotated.now_s += 1.0
        annotated.node._on_driver(String(data=driver))
        annotated.node._on_frame(compressed_image(header(number, 'lens'), JPEG))
        annotated.commanded(number, 0.25)
        annotated.commanded(number, -0.25, is_by_person=True)
    assert [reading.commanded_rad for reading in annotated.readings] == [0.25, -0.25, 0.25]


@pytest.mark.parametrize(('age_s', 'is_measured'), [(0.02, True), (3600.0, False), (-60.0, False)])
def test_latency_is_drawn_only_if_stamp_and_clock_agree(annotated, age_s, is_measured):
    """The frames of a replay have old stamps; a clock that was set back is behind the stamps."""
    sent_ns = annotated.node.get_clock().now().nanoseconds - round(1e9 * age_s)
    annotated.takes(sent_ns, sent_ns)
    (reading,) = annotated.readings
    assert (reading.latency_ms is not None) is is_measured


def test_no_more_frames_are_drawn_than_the_rate_allows(annotated):
    for annotated.now_s in (100.0, 100.06, 100.11, 100.15, 100.23):
        annotated.takes(1, 1)
    assert len(annotated.readings) == 3


def test_frame_that_cannot_be_read_is_told_and_the_next_one_is_drawn(annotated):
    annotated.takes(1, 1)
    assert annotated.node._health()[0] == DiagnosticStatus.OK
    annotated.now_s += 1.0
    annotated.takes(2, 2, b'no JPEG at all')
    annotated.now_s += 1.0
    annotated.takes(3, 3)
    level, summary, values = annotated.node._health()
    assert (level, summary) == (DiagnosticStatus.WARN, 'no subscription')
    assert values == {'drawings': 2, 'bad_frames': 1}
