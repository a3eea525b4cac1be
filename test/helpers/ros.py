# SPDX-License-Identifier: Apache-2.0
"""Nodes of the tests themselves."""

import threading
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from helpers.waiting import PATIENCE_S, wait_for


@contextmanager
def started_rclpy(*words):
    """rclpy with these ROS arguments, ended whatever happens; one at a time in a process."""
    rclpy.init(args=['--ros-args', *words])
    try:
        yield
    finally:
        rclpy.try_shutdown()


@contextmanager
def started_node(name, **options):
    """A node in an rclpy that ends with it."""
    with started_rclpy():
        node = rclpy.create_node(name, **options)
        try:
            yield node
        finally:
            node.destroy_node()


@contextmanager
def spinning_node(name, **options):
    """A node in a context of its own that a thread spins, like a node of another process."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node(name, context=context, **options)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        context.try_shutdown()


def spin_until(node, condition, what):
    """Spin a node of this thread until `condition()` is true."""

    def spun():
        rclpy.spin_once(node, timeout_sec=0.02)
        return condition()

    wait_for(spun, what=what)


def answer_of(node, client, request, tries=3):
    """Call a service and return its answer.

    It is called again after a while, because a service drops an answer if DDS has not yet told it
    of the client's subscription.
    """
    assert client.wait_for_service(PATIENCE_S), f'there is no service {client.srv_name}'
    for _ in range(tries):
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=PATIENCE_S / tries)
        if future.done():
            return future.result()
    raise AssertionError(f'no answer of the service {client.srv_name}')
