# SPDX-License-Identifier: Apache-2.0
"""The recorder node: topics of its namespace, lost messages, errors of its writer."""

import threading

import pytest
import rclpy
from std_msgs.msg import Float32

from helpers.recordings import messages
from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes import bag_recorder
from sim_bridge.nodes.bag_recorder import RecorderNode
from sim_bridge.recording.frame_folder import FRAME_TOPICS, FrameFolder
from sim_bridge.recording.storage import BagError
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


class Noting(Failing):
    """A writer that notes its topics and messages, and writes none before `goes_on` is set."""

    def __init__(self, error=None):
        super().__init__(error)
        self.topics, self.written, self.goes_on = [], [], threading.Event()
        self.goes_on.set()

    def add_topic(self, name, _type, _offer):
        if 'brake' in name:
            raise BagError(f'{name} is not recorded: it is odd')
        self.topics.append(name)

    def write(self, topic, time_ns, cdr):
        self.goes_on.wait()
        self.written.append((topic, time_ns, cdr))

    def close(self):
        if self.error is not None:
            raise self.error


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


def test_topic_that_cannot_be_recorded_is_told_and_the_others_are_recorded(capfd):
    writer = Noting()
    with started_rclpy():
        node = RecorderNode(writer, (SPEED, 'brake'))
        other = rclpy.create_node('other')
        other.create_publisher(Float32, 'brake', 1)
        wait_for(lambda: node.count_publishers('/brake'), what='the publisher')
        for _ in range(2):
            node._subscribe_to_new()
        node.destroy_node()
        other.destroy_node()
    assert writer.topics == [f'/{SPEED}']
    assert capfd.readouterr().err.count('/brake is not recorded: it is odd') == 1


def test_topics_are_those_of_all_cars_in_the_own_namespace():
    writer = Noting()
    names = ('/ego/car_2/gear', '/ego/gear', '/other/gear', '/ego/car_2/horn')
    with started_rclpy():
        node = RecorderNode(writer, ('gear',), namespace='ego')
        other = rclpy.create_node('other')
        for name in (*names, f'/ego/car_2/{SPEED}', f'/other/{SPEED}'):
            other.create_publisher(Float32, name, 1)
        wait_for(lambda: all(map(node.count_publishers, names)), what='the publishers')
        node._subscribe_to_new()
        node.destroy_node()
        other.destroy_node()
    assert sorted(writer.topics) == ['/ego/car_2/gear', '/ego/gear']


def test_messages_that_a_slow_disk_loses_are_counted_by_topic(monkeypatch):
    monkeypatch.setattr(bag_recorder, '_QUEUE_AT_MOST', 2)
    writer = Noting()
    writer.goes_on.clear()
    with started_rclpy():
        node = RecorderNode(writer)
        fill(node, 1)
        wait_for(node._queue.empty, what='a message that is being written')
        fill(node, 5)
        node._count_lost('/horn', 4)
        writer.goes_on.set()
        node.destroy_node()
    assert node.dropped == {f'/{SPEED}': 3, '/horn': 4}
    assert writer.written == [(f'/{SPEED}', 0, b'')] * 3


def test_bag_that_cannot_be_completed_is_told():
    with started_rclpy():
        node = RecorderNode(Noting(OSError(28, 'No space left on device', 'f')))
        node.destroy_node()
    assert node.trouble == 'No space left on device'
