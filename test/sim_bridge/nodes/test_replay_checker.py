# SPDX-License-Identifier: Apache-2.0
"""A frame that DDS refuses once is sent again."""

import pytest
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, JointState

from helpers.ros import spinning_node, started_rclpy
from sim_bridge import topics
from sim_bridge.nodes.conversions import time_message
from sim_bridge.nodes.replay_checker import CheckerNode
from steering_net.ros.qos import NEWEST

STAMP_NS = 5_000_000_001
STEERING_RAD = 0.25


@pytest.fixture
def steering():
    """A node that answers every frame with the same angle."""
    with spinning_node('steering', namespace='checked') as node:
        commands = node.create_publisher(JointState, topics.STEERING_COMMAND, NEWEST)

        def answer(frame):
            command = JointState(name=['steering'], position=[STEERING_RAD])
            command.header.stamp = frame.header.stamp
            commands.publish(command)

        node.create_subscription(CompressedImage, topics.COMPRESSED_FRAME, answer, NEWEST)
        yield


def test_frame_that_dds_refuses_once_is_sent_again(steering, monkeypatch):
    refusals = [RuntimeError('Failed to publish: cannot publish data')]
    publish = Publisher.publish

    def refusing(self, message):
        if refusals and isinstance(message, bytes):
            raise refusals.pop()
        publish(self, message)

    frame = CompressedImage()
    frame.header.stamp = time_message(STAMP_NS)
    with started_rclpy():
        checker = CheckerNode('checked')
        checker.wait_for_steering(lambda: True)
        monkeypatch.setattr(Publisher, 'publish', refusing)
        answered = checker.steering_rad(serialize_message(frame), STAMP_NS)
        checker.destroy_node()
    assert (answered, refusals) == (STEERING_RAD, [])
