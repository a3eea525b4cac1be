"""The executor of the nodes does what rclpy's does: messages, timers, services, changes."""

import threading

import pytest
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException
from std_msgs.msg import Float32

from steering_net.executor import QuickExecutor
from support import wait_for


@pytest.fixture
def node():
    rclpy.init()
    node = rclpy.create_node('spun')
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


class Spinning:
    """A thread that spins a node, and what ended it."""

    def __init__(self, node):
        self.ended_by = None
        self._executor = QuickExecutor(node)
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
def spinning(node):
    running = Spinning(node)
    yield running
    rclpy.try_shutdown()
    running.wait()


def test_messages_timers_and_services_are_served_when_they_come_later(node, spinning):
    heard, ticks = [], []
    publisher = node.create_publisher(Float32, 'number', 10)
    node.create_subscription(Float32, 'number', lambda message: heard.append(message.data), 10)
    node.create_timer(0.02, lambda: ticks.append(1))
    wait_for(publisher.get_subscription_count)
    for number in range(5):
        publisher.publish(Float32(data=float(number)))
    wait_for(lambda: len(heard) == 5 and len(ticks) > 5)
    assert heard == [0.0, 1.0, 2.0, 3.0, 4.0]
    asking = rclpy.create_node('asking')
    client = asking.create_client(GetParameters, '/spun/get_parameters')
    assert client.wait_for_service(5.0)
    future = client.call_async(GetParameters.Request(names=['use_sim_time']))
    rclpy.spin_until_future_complete(asking, future, timeout_sec=5.0)
    asking.destroy_node()
    assert len(future.result().values) == 1


def test_what_was_destroyed_is_not_called_any_more(node, spinning):
    heard = []
    publisher = node.create_publisher(Float32, 'number', 10)
    for name in ('first', 'second'):
        subscription = node.create_subscription(
            Float32, 'number', lambda _, name=name: heard.append(name), 10
        )
    wait_for(lambda: publisher.get_subscription_count() == 2)
    node.destroy_subscription(subscription)
    wait_for(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(Float32())
    wait_for(lambda: heard)
    assert heard == ['first']


def test_an_error_in_a_callback_ends_the_spinning(node, spinning):
    node.create_timer(0.01, lambda: 1 / 0)
    spinning.wait()
    assert isinstance(spinning.ended_by, ZeroDivisionError)


def test_shutdown_ends_the_spinning(node, spinning):
    rclpy.shutdown()
    spinning.wait()
    assert isinstance(spinning.ended_by, ExternalShutdownException)
