# SPDX-License-Identifier: Apache-2.0
"""Functions and clients of services that other threads use while the executor spins."""

import threading
import time
from functools import partial

import pytest
import rclpy
from rcl_interfaces.srv import GetParameters

from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes.executor_calls import ExecutorCalls, Pace
from steering_net.ros.executor import PlainExecutor, QuickExecutor


def plain(node):
    executor = PlainExecutor()
    executor.add_node(node)
    return executor


@pytest.fixture(params=[QuickExecutor, plain])
def spun(request):
    """A node whose executor spins on a thread of its own."""
    with started_rclpy():
        node = rclpy.create_node('spun')
        calls = ExecutorCalls(node)
        executor = request.param(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        yield node, calls, thread
        executor.end()
        thread.join(10.0)
        assert not thread.is_alive()
        node.destroy_node()


def test_functions_run_in_their_sequence_on_the_thread_of_the_executor(spun):
    _, calls, thread = spun
    ran = []

    def run(number):
        ran.append((number, threading.current_thread()))

    for number in range(100):
        calls.call_soon(partial(run, number))
    wait_for(lambda: len(ran) == 100)
    assert ran == [(number, thread) for number in range(100)]
    assert calls.waiting == 0


def test_a_client_of_a_service_gets_its_reply_without_another_event(spun):
    node, calls, _ = spun
    clients = []
    calls.call_soon(
        lambda: clients.append(node.create_client(GetParameters, 'spun/get_parameters'))
    )
    (client,) = wait_for(lambda: clients)
    assert client.wait_for_service(10.0)
    future = client.call_async(GetParameters.Request(names=['use_sim_time']))
    wait_for(future.done)
    assert len(future.result().values) == 1


def test_pace_calls_on_the_thread_of_the_executor_while_it_is_needed(spun):
    _, calls, thread = spun
    threads, needed = [], threading.Event()
    pace = Pace(calls, 0.01, lambda: threads.append(threading.current_thread()), needed.is_set)
    time.sleep(0.1)
    assert threads == []
    needed.set()
    wait_for(lambda: len(threads) > 5)
    pace.end()
    wait_for(lambda: not calls.waiting)
    count = len(threads)
    time.sleep(0.1)
    assert len(threads) <= count + 1, 'one call may have been under way'
    assert set(threads) == {thread}


def test_pace_makes_no_calls_pile_up_while_the_executor_is_busy(ros_node):
    calls, asked = ExecutorCalls(ros_node), []
    pace = Pace(calls, 0.001, lambda: None, lambda: asked.append(True) or True)
    wait_for(lambda: len(asked) > 5)
    pace.end()
    assert calls.waiting == 1
