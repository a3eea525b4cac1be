# SPDX-License-Identifier: Apache-2.0
"""The recorder node on messages that its writer cannot write."""

import pytest

from helpers.recordings import messages
from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes.bag_recorder import RecorderNode
from sim_bridge.recording.frame_folder import FRAME_TOPICS, FrameFolder
from sim_bridge.topics import SPEED, STEERING_COMMAND, TOPICS


class Failing:
    """A writer whose writing fails."""

    messages, unit = 0, 'messages'

    def __init__(self, error):
        self.error = error

    def add_topic(self, *_):
        pass

    def write(self, *_):
        raise self.error

    def close(self):
        pass


def fill(node, count=3):
    """Let the node write messages."""
    for _ in range(count):
        node._keep(f'/{SPEED}', 0, b'')


@pytest.mark.parametrize(
    ('error', 'told'),
    [(OSError(28, 'No space left on device', 'f'), 'No space left on device'),
     (ValueError('year 30000 is out of range\n'), 'year 30000 is out of range'),
     (KeyError(), 'KeyError')],
)  # fmt: skip
def test_error_of_the_writer_is_told_and_the_node_ends(error, told):
    with started_rclpy():
        node = RecorderNode(Failing(error))
        fill(node)
        wait_for(lambda: node.trouble)
        fill(node)
        wait_for(node._queue.empty)
        assert node._thread.is_alive()
        node.destroy_node()
    assert node.trouble == told


def test_node_that_cannot_be_made_ends_with_its_own_error():
    with pytest.raises(RuntimeError, match='must not contain repeated'), started_rclpy():
        RecorderNode(Failing(None), ('a//b',))


def test_topic_of_a_type_that_a_frame_folder_cannot_read_is_told(tmp_path):
    writer = FrameFolder(tmp_path)
    with started_rclpy():
        node = RecorderNode(writer, FRAME_TOPICS)
        topic, cdr = list(messages(0))[-1]
        assert topic == STEERING_COMMAND
        writer._types[f'/{topic}'] = TOPICS[SPEED].type
        node._keep(f'/{topic}', 0, cdr)
        wait_for(lambda: node.trouble)
        node.destroy_node()
    assert node.trouble.startswith(f'/{topic} holds std_msgs/msg/Float32; it must be sensor_msgs/')
