# SPDX-License-Identifier: Apache-2.0
"""The executor of the nodes does what rclpy's does: messages, timers, services, changes."""

import sys
import threading
import time
import types
from contextlib import suppress

import pytest
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.impl import implementation_singleton
from std_msgs.msg import Float32

from helpers.ros import answer_of
from helpers.waiting import PATIENCE_S, wait_for
from steering_net.ros import executor as executor_module
from steering_net.ros.executor import PlainExecutor, QuickExecutor, executor_for


class Spinning:
    """A thread that spins a node, and what ended it."""

    def __init__(self, ros_node):
        self.ended_by = None
        self._executor = QuickExecutor(ros_node)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self._executor.spin()
        except Exception as error:  # noqa: BLE001 whatever it is, the test looks at it
            self.ended_by = error

    def wait(self):
        self._thread.join(10.0)
        assert not self._thread.is_alive()


@pytest.fixture
def spinning(ros_node):
    running = Spinning(ros_node)
    yield running
    rclpy.try_shutdown()
    running.wait()


def test_messages_timers_and_services_are_served_when_they_come_later(ros_node, spinning):
    heard, ticks = [], []
    publisher = ros_node.create_publisher(Float32, 'number', 10)
    ros_node.create_subscription(Float32, 'number', lambda message: heard.append(message.data), 10)
    ros_node.create_timer(0.02, lambda: ticks.append(1))
    wait_for(publisher.get_subscription_count)
    for number in range(5):
        publisher.publish(Float32(data=float(number)))
    wait_for(lambda: len(heard) == 5 and len(ticks) > 5)
    assert heard == [0.0, 1.0, 2.0, 3.0, 4.0]
    asking = rclpy.create_node('asking')
    client = asking.create_client(GetParameters, f'/{ros_node.get_name()}/get_parameters')
    answer = answer_of(asking, client, GetParameters.Request(names=['use_sim_time']))
    asking.destroy_node()
    assert len(answer.values) == 1


def test_flood_on_one_topic_leaves_the_others_their_turn(ros_node, spinning):
    others = []
    flood = ros_node.create_publisher(Float32, 'flood', 100)
    other = ros_node.create_publisher(Float32, 'other', 10)

    def go_on(message):
        if not others:
            flood.publish(message)

    ros_node.create_subscription(Float32, 'flood', go_on, 100)
    ros_node.create_subscription(Float32, 'other', others.append, 10)
    wait_for(lambda: flood.get_subscription_count() and other.get_subscription_count())
    for _ in range(50):
        flood.publish(Float32())
    other.publish(Float32())
    wait_for(lambda: others, what='the other message')


def test_answer_of_a_service_is_served_where_nothing_else_wakes_the_node(ros_node, spinning):
    answering = rclpy.create_node('answering')
    plain = PlainExecutor()
    plain.add_node(answering)
    thread = threading.Thread(target=plain.spin)
    thread.start()
    try:
        client = ros_node.create_client(GetParameters, '/answering/get_parameters')
        assert client.wait_for_service(PATIENCE_S)
        future = client.call_async(GetParameters.Request(names=['use_sim_time']))
        wait_for(future.done, what='the answer')
        assert len(future.result().values) == 1
    finally:
        plain.end()
        thread.join()
        answering.destroy_node()


def test_reply_of_a_service_wakes_the_node(ros_node, spinning):
    ros_node.create_timer(5.0, lambda: None)
    client = ros_node.create_client(GetParameters, f'{ros_node.get_name()}/get_parameters')
    wait_for(client.service_is_ready)
    replies = []
    for number in range(3):
        client.call_async(GetParameters.Request()).add_done_callback(replies.append)
        wait_for(lambda number=number: len(replies) == number + 1, 3.0)


def test_guard_condition_that_rclpy_took_is_called_at_once(ros_node, monkeypatch):
    called = []
    guard = ros_node.create_guard_condition(lambda: called.append(1))
    ros_node.create_timer(0.5, lambda: None)
    spin_once = QuickExecutor.spin_once

    def spin_beside_a_trigger(self, timeout_sec):
        if not called:
            guard.trigger()
        spin_once(self, timeout_sec)
        triggered.append(len(called))

    triggered = []
    monkeypatch.setattr(QuickExecutor, 'spin_once', spin_beside_a_trigger)
    running = Spinning(ros_node)
    wait_for(lambda: called)
    rclpy.try_shutdown()
    running.wait()
    # The timer that woke the node comes first, then the guard condition; not at the next timer.
    assert triggered[:2] == [0, 1]


def test_what_was_destroyed_is_not_called_any_more(ros_node, spinning):
    heard = []
    publisher = ros_node.create_publisher(Float32, 'number', 10)
    for name in ('first', 'second'):
        subscription = ros_node.create_subscription(
            Float32, 'number', lambda _, name=name: heard.append(name), 10
        )
    wait_for(lambda: publisher.get_subscription_count() == 2)
    ros_node.destroy_subscription(subscription)
    wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(Float32())
    wait_for(lambda: heard)
    assert heard == ['first']


def test_an_error_in_a_callback_ends_the_spinning(ros_node, spinning):
    ros_node.create_timer(0.01, lambda: 1 / 0)
    spinning.wait()
    assert isinstance(spinning.ended_by, ZeroDivisionError)


def test_shutdown_ends_the_spinning(ros_node, spinning):
    rclpy.shutdown()
    spinning.wait()
    assert isinstance(spinning.ended_by, ExternalShutdownException)


def serve(executor):
    """Spin in a thread until ROS is shut down."""

    def spin():
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    return thread


@pytest.fixture
def other_rclpy(monkeypatch):
    """An rclpy whose private parts are not as they were: `other_rclpy(name, replacement)`."""

    def change(name, replacement):
        class Other:
            def __getattr__(self, attribute):
                return getattr(implementation_singleton.rclpy_implementation, attribute)

        other = Other()
        setattr(other, name, replacement)
        real = implementation_singleton
        stand_in = types.SimpleNamespace(rclpy_implementation=other)
        monkeypatch.setitem(sys.modules, real.__name__, stand_in)

    return change


def wait_set_of_today(*_):
    raise TypeError('incompatible constructor arguments')


class DeafWaitSet:
    """Takes everything and never tells that anything is ready."""

    def __init__(self, *_):
        pass

    def __getattr__(self, _name):
        return lambda *_: []


@pytest.mark.parametrize('wait_set', [wait_set_of_today, DeafWaitSet])
def test_rclpy_that_is_another_inside_serves_with_its_own_executor(
    ros_node, other_rclpy, capfd, wait_set
):
    heard = []
    publisher = ros_node.create_publisher(Float32, 'number', 10)
    ros_node.create_subscription(Float32, 'number', lambda message: heard.append(message.data), 10)
    other_rclpy('WaitSet', wait_set)
    executor = executor_for(ros_node)
    assert type(executor) is PlainExecutor
    told = capfd.readouterr().err
    assert told.count('this rclpy lacks private parts that the quick executor needs') == 1
    thread = serve(executor)
    wait_for(publisher.get_subscription_count)
    publisher.publish(Float32(data=3.0))
    wait_for(lambda: heard == [3.0])
    executor.end()
    thread.join(10.0)
    assert not thread.is_alive()


def test_message_that_is_taken_otherwise_ends_the_quick_way(ros_node, monkeypatch):
    ros_node.create_subscription(Float32, 'number', print, 10)

    def take_of_today(_subscription):
        raise TypeError('incompatible function arguments')

    monkeypatch.setattr(executor_module, 'take', take_of_today)
    assert type(executor_for(ros_node)) is PlainExecutor


def test_trial_is_quick_and_delivers_the_message_that_it_took(ros_node):
    heard = []
    publisher = ros_node.create_publisher(Float32, 'number', 10)
    ros_node.create_subscription(Float32, 'number', lambda message: heard.append(message.data), 10)
    wait_for(publisher.get_subscription_count)
    publisher.publish(Float32(data=7.0))
    time.sleep(0.3)
    started = time.perf_counter()
    executor = executor_for(ros_node)
    assert time.perf_counter() - started < 0.02
    assert type(executor) is QuickExecutor
    assert heard == [7.0]


def test_what_the_quick_way_does_not_serve_is_served_by_rclpy(ros_node, spinning):
    """Raw messages, callbacks that take a MessageInfo, coroutines."""
    heard = {}

    async def later(message):
        heard['coroutine'] = message.data

    publisher = ros_node.create_publisher(Float32, 'number', 10)
    for callback, raw in (
        (lambda message: heard.update(plain=message.data), False),
        (lambda message: heard.update(raw=type(message)), True),
        (lambda message, info: heard.update(info=info['source_timestamp'] > 0), False),
        (later, False),
    ):
        ros_node.create_subscription(Float32, 'number', callback, 10, raw=raw)
    wait_for(lambda: publisher.get_subscription_count() == 4)
    publisher.publish(Float32(data=2.0))
    wait_for(lambda: len(heard) == 4, what=f'all four, not only {heard}')
    assert heard == {'plain': 2.0, 'raw': bytes, 'info': True, 'coroutine': 2.0}


def test_handed_message_that_another_callback_took_is_not_delivered_again(ros_node):
    heard, executor = [], QuickExecutor(ros_node)
    second = ros_node.create_subscription(Float32, 'second', heard.append, 1)
    first = ros_node.create_subscription(
        Float32, 'first', lambda _: heard.append(executor.take(second)), 1
    )
    for number, subscription in enumerate((first, second)):
        executor.hand(subscription, Float32(data=float(number)))
    executor._call_with_handed()
    assert heard == [Float32(data=1.0)]
    executor.shutdown()


def test_entity_that_is_destroyed_meanwhile_is_left_out(ros_node):
    executor = QuickExecutor(ros_node)
    gone, there = (ros_node.create_subscription(Float32, name, print, 1) for name in 'ab')
    gone.handle.destroy_when_not_in_use()
    assert executor._hold([gone, there]) == [there]
    executor._kept.close()
    executor.shutdown()
