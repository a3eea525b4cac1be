# SPDX-License-Identifier: Apache-2.0
"""The checker node: each frame gets its own answer, also one that DDS refuses once."""

import pytest
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, JointState

from helpers.ros import spinning_node, started_rclpy
from sim_bridge import topics
from sim_bridge.nodes import replay_checker
from sim_bridge.nodes.conversions import time_message
from sim_bridge.nodes.replay_checker import CheckerNode, NoAnswerError
from steering_net.ros.qos import NEWEST

STAMP_NS = 5_000_000_001
STEERING_RAD = 0.25


@pytest.fixture
def steering():
    """A node that answers a frame with an angle by its nanoseconds, but none without a stamp."""
    with spinning_node('steering', namespace='checked') as node:
        commands = node.create_publisher(JointState, topics.STEERING_COMMAND, NEWEST)

        def answer(frame):
            stamp = frame.header.stamp
            command = JointState(name=['steering'], position=[STEERING_RAD * stamp.nanosec])
            command.header.stamp = stamp
            if stamp.sec:
                commands.publish(command)

        node.create_subscription(CompressedImage, topics.COMPRESSED_FRAME, answer, NEWEST)
        yield


def frame_cdr(stamp_ns):
    frame = CompressedImage()
    frame.header.stamp = time_message(stamp_ns)
    return serialize_message(frame)


def test_each_frame_gets_its_own_answer_or_none(steering, monkeypatch):
    with started_rclpy():
        checker = CheckerNode('checked')
        checker.wait_for_steering(lambda: True)
        stamps = [STAMP_NS, STAMP_NS + 1, STAMP_NS + 2]
        answers = [checker.steering_rad(frame_cdr(stamp), stamp) for stamp in stamps]
        monkeypatch.setattr(replay_checker, '_ANSWER_S', 0.01)
        answers.append(checker.steering_rad(frame_cdr(4), 4))
        checker.destroy_node()
    assert answers == [STEERING_RAD, 2 * STEERING_RAD, 3 * STEERING_RAD, None]


def test_steering_node_that_is_missing_is_told():
    with started_rclpy():
        checker = CheckerNode('checked')
        with pytest.raises(NoAnswerError, match='the steering node did not start'):
            checker.wait_for_steering(lambda: False)
        checker.destroy_node()


def test_frame_that_dds_refuses_once_is_sent_again(steering, monkeypatch):
    refusals = [RuntimeError('Failed to publish: cannot publish data')]
    publish = Publisher.publish

    def refusing(self, message):
        if refusals and isinstance(message, bytes):
            raise refusals.pop()
        publish(self, message)

    with started_rclpy():
        checker = CheckerNode('checked')
        checker.wait_for_steering(lambda: True)
        monkeypatch.setattr(Publisher, 'publish', refusing)
        answered = checker.steering_rad(frame_cdr(STAMP_NS), STAMP_NS)
        checker.destroy_node()
    assert (answered, refusals) == (STEERING_RAD, [])
