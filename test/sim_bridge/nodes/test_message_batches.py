# SPDX-License-Identifier: Apache-2.0
"""Messages that wait until they are taken, and what an executor does meanwhile."""

import threading

import pytest
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float32

from helpers.waiting import wait_for
from sim_bridge.nodes import message_batches
from sim_bridge.nodes.message_batches import MessageBatches
from steering_net.ros.executor import PlainExecutor, QuickExecutor
from steering_net.ros.qos import EVERY


@pytest.fixture(params=[QuickExecutor, PlainExecutor])
def executor(request, ros_node):
    spun = request.param()
    spun.add_node(ros_node)
    thread = threading.Thread(target=spun.spin)
    thread.start()
    yield spun
    spun.end()
    thread.join()


def heard_by(batches, *topics):
    """Subscribe; return the list that gets topic, time and number of each message."""
    heard = []

    def keep(topic):
        return lambda time_ns, cdr: heard.append(
            (topic, time_ns, deserialize_message(cdr, Float32).data)
        )

    for topic in topics:
        batches.subscribe(Float32, topic, EVERY, keep(topic), lambda _messages: None)
    return heard


def publish(node, *topics):
    """Publish 0, 1, 2 on the topics in turn, once each has a subscription."""
    publishers = [node.create_publisher(Float32, topic, EVERY) for topic in topics]
    wait_for(lambda: all(one.get_subscription_count() for one in publishers))
    for number in range(3):
        for publisher in publishers:
            publisher.publish(Float32(data=float(number)))


def test_messages_wait_until_they_are_taken_and_keep_their_order_and_times(ros_node, executor):
    batches, later = MessageBatches(ros_node), []
    heard = heard_by(batches, 'a', 'b')
    ros_node.create_subscription(Float32, 'b', lambda message: later.append(message.data), EVERY)
    publish(ros_node, 'a', 'b')
    wait_for(lambda: len(later) == 3)
    assert heard == [], 'the executor took them'
    wait_for(lambda: batches.take() == 0 and len(heard) == 6)
    assert [(topic, number) for topic, _, number in heard] == [
        (topic, float(number)) for number in range(3) for topic in 'ab'
    ]
    times = [time_ns for _, time_ns, _ in heard]
    assert times == sorted(times)
    assert 0 < times[-1] - times[0] < ros_node.get_clock().now().nanoseconds - times[0]


def test_executor_takes_them_if_this_rclpy_does_not_hand_them_out(ros_node, executor, monkeypatch):
    def take_of_today(_subscription):
        raise TypeError('incompatible function arguments')

    monkeypatch.setattr(message_batches, 'take', take_of_today)
    batches = MessageBatches(ros_node)
    heard = heard_by(batches, 'a')
    assert batches.take() == 0
    assert batches.are_left_to_executor
    publish(ros_node, 'a')
    wait_for(lambda: [number for *_, number in heard] == [0.0, 1.0, 2.0])
