# SPDX-License-Identifier: Apache-2.0
"""Messages between the nodes of one process do not pass through DDS unless others listen."""

import threading

import pytest
from rclpy.qos import QoSProfile
from std_msgs.msg import Float32

from helpers.ros import spinning_node
from helpers.waiting import wait_for
from steering_net.ros.direct_publisher import DirectPublisher
from steering_net.ros.executor import PlainExecutor, QuickExecutor

NEWEST = QoSProfile(depth=1)


class Listening:
    """A subscription, and what it heard. Its callback waits while `may_go_on` is clear."""

    def __init__(self, node):
        self.heard = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_called = threading.Event()
        self.subscription = node.create_subscription(Float32, 'number', self._on_number, NEWEST)

    def _on_number(self, message):
        self.is_called.set()
        self.may_go_on.wait(10.0)
        self.heard.append(message)


@pytest.fixture
def listening(ros_node):
    return Listening(ros_node)


@pytest.fixture
def publisher(ros_node):
    return ros_node.create_publisher(Float32, 'number', NEWEST, publisher_class=DirectPublisher)


@pytest.fixture
def spun(ros_node, listening, publisher):
    """The executor of the node, which spins in a thread."""
    wait_for(publisher.get_subscription_count)
    executor = QuickExecutor(ros_node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield executor
    listening.may_go_on.set()
    executor.end()
    thread.join()


@pytest.fixture
def outsider(spun, publisher):
    """A subscription outside of the executor, as another process would have one."""
    with spinning_node('outsider') as node:
        listening = Listening(node)
        wait_for(lambda: publisher.get_subscription_count() == 2)
        yield listening


def test_message_is_handed_over_as_it_is(spun, listening, publisher):
    message = Float32(data=1.5)
    publisher.publish(message)
    wait_for(lambda: listening.heard)
    assert listening.heard[0] is message


def test_callback_of_the_same_thread_is_called_at_once(spun, ros_node, listening, publisher):
    heard_inside = []

    def publish():
        publisher.publish(Float32(data=2.0))
        heard_inside.append(len(listening.heard))
        timer.cancel()

    timer = ros_node.create_timer(0.01, publish)
    wait_for(lambda: heard_inside)
    assert heard_inside == [1]


def test_slow_callback_gets_the_newest_message_only(spun, listening, publisher):
    listening.may_go_on.clear()
    publisher.publish(Float32(data=0.0))
    assert listening.is_called.wait(10.0)
    for number in (1.0, 2.0, 3.0):
        publisher.publish(Float32(data=number))
    listening.may_go_on.set()
    wait_for(lambda: len(listening.heard) == 2)
    assert [message.data for message in listening.heard] == [0.0, 3.0]


def test_waiting_message_can_be_taken_instead(spun, listening, publisher):
    listening.may_go_on.clear()
    publisher.publish(Float32(data=0.0))
    assert listening.is_called.wait(10.0)
    waiting = Float32(data=1.0)
    publisher.publish(waiting)
    assert spun.take(listening.subscription) is waiting
    assert spun.take(listening.subscription) is None
    listening.may_go_on.set()
    publisher.publish(Float32(data=2.0))
    wait_for(lambda: len(listening.heard) == 2)
    assert [message.data for message in listening.heard] == [0.0, 2.0]


def test_everybody_hears_it_once_while_somebody_else_listens(listening, outsider, publisher):
    message = Float32(data=4.0)
    publisher.publish(message)
    wait_for(lambda: listening.heard and outsider.heard)
    publisher.publish(Float32(data=5.0))
    wait_for(lambda: len(outsider.heard) == 2 and len(listening.heard) == 2)
    for one in (listening, outsider):
        assert [message.data for message in one.heard] == [4.0, 5.0]
        assert one.heard[0] is not message


def test_subscription_that_was_destroyed_is_not_called(spun, ros_node, listening, publisher):
    other = Listening(ros_node)
    wait_for(lambda: publisher.get_subscription_count() == 2)
    ros_node.destroy_subscription(listening.subscription)
    wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(Float32(data=6.0))
    wait_for(lambda: other.heard)
    assert listening.heard == []


def test_executor_of_rclpy_is_served_through_dds(ros_node, listening, publisher):
    executor = PlainExecutor()
    executor.add_node(ros_node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        wait_for(publisher.get_subscription_count)
        publisher.publish(Float32(data=7.0))
        wait_for(lambda: listening.heard)
    finally:
        executor.end()
        thread.join()
    assert listening.heard == [Float32(data=7.0)]
