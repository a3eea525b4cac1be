# SPDX-License-Identifier: Apache-2.0
"""The emergency stop of a whole graph: service, verb and topic; on the level and on slopes."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
import rclpy
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

from helpers.graph import Graph, state_of
from helpers.network import own_domain_id, own_port
from helpers.processes import children_running, run_verb, spares_of, start_verb
from helpers.ros import answer_of, started_node
from helpers.waiting import wait_for
from sim_bridge.process import ManagedProcess
from steering_net.ros.qos import LATCHED

pytestmark = pytest.mark.real_time

HELD = 'held: emergency stop'
STANDING_MPS = 0.1


@pytest.fixture(scope='module')
def graph():
    with Graph() as started:
        yield started


@contextmanager
def simulated(graph, faults=''):
    """The embedded simulator as a process that the graph drives."""
    words = ['simulate', '--url', graph.url(), '--faults', faults]
    process = start_verb(*words, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10.0)


def ask(node, is_held):
    """Call the service; its reply and how long that took, s."""
    client = node.create_client(SetBool, 'hold')
    started = time.monotonic()
    return answer_of(node, client, SetBool.Request(data=is_held)), time.monotonic() - started


def speeds_of(graph, seconds):
    """Speeds of the car during so many seconds, m/s, with the time of each."""
    started, speeds = time.monotonic(), []
    while (at_s := time.monotonic() - started) < seconds:
        speeds.append((at_s, graph.state()['speed_mps']))
        time.sleep(0.01)
    return speeds


@pytest.mark.parametrize(
    'faults',
    ['grade:0.15', *(pytest.param(one, marks=pytest.mark.faults) for one in ('', 'grade:-0.08'))],
)
def test_held_car_stands_until_it_is_released(graph, faults):
    with simulated(graph, faults), started_node('person') as node:
        wait_for(lambda: graph.state()['speed_mps'] > 3.0, what='a driving car')
        before = graph.state()
        reply, reply_s = ask(node, True)
        assert (reply.success, reply.message) == (True, 'held')
        wait_for(lambda: graph.state()['state'] == HELD, 0.5, 'the hold')
        speeds = speeds_of(graph, 8.0)
        stood_s = next(at_s for at_s, speed in speeds if speed < STANDING_MPS)
        rest = [speed for at_s, speed in speeds if at_s > 4.0]
        held = graph.state()
        reply, _ = ask(node, False)
        released = time.monotonic()
        wait_for(lambda: graph.state()['state'] == 'driving', 2.0, 'driving')
        driving_s = time.monotonic() - released
        wait_for(lambda: graph.state()['speed_mps'] > 2.0, what='a driving car')
    figures = {'reply_s': reply_s, 'stood_s': stood_s, 'driving_s': driving_s, 'most': max(rest)}
    print('measured:', faults or 'level', figures)
    assert max(rest) < 0.3
    assert held['timeouts'] == before['timeouts'], 'a held frame counts as no timeout'
    sent, answered = (held[name] - before[name] for name in ('telemetry', 'answers'))
    assert sent > 50
    # One or two wait for their answers at either end.
    assert abs(sent - answered) <= 2, 'each telemetry is answered'
    assert not reply.message.startswith('held')


def test_simulator_that_connects_to_a_held_car_is_held(graph):
    heard = []
    with started_node('person') as node:
        node.create_subscription(Bool, 'hold/active', lambda it: heard.append(it.data), LATCHED)

        def hears(value):
            rclpy.spin_once(node, timeout_sec=0.1)
            return heard[-1:] == [value]

        wait_for(lambda: hears(False), what='the latched topic')
        assert run_verb('hold').stdout == '/hold: held\n'
        assert graph.state()['state'] == 'no simulator connected (held)'
        wait_for(lambda: hears(True), what='the topic')
        with simulated(graph):
            wait_for(lambda: graph.state()['state'] == HELD, what='the hold')
            assert max(speed for _, speed in speeds_of(graph, 2.0)) < STANDING_MPS
            released = run_verb('hold', '--release', '--car', 1)
            assert released.stdout.startswith('/hold: released'), released.stderr
            wait_for(lambda: graph.state()['speed_mps'] > 1.0, what='a driving car')
        wait_for(lambda: hears(False), what='the topic')


def test_hold_outlives_a_killed_bridge():
    port = own_port()
    words = ['guarded-bridge', '--ros-args', '-p', f'port:={port}', '-r', '__ns:=/other']
    process = start_verb(*words)
    try:
        wait_for(lambda: state_of(port), what='an answer')
        (spare,) = wait_for(lambda: spares_of(process.pid), what='the spare')
        for bridge in (children_running(process.pid, 'bridge')[0], spare):
            with started_node('person', namespace='/other') as node:
                ask(node, True)
            os.kill(bridge, signal.SIGKILL)
            wait_for(lambda: state_of(port, 0.5) is None, what='the end')
            assert wait_for(lambda: state_of(port, 0.5), what='an answer')['held']
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20.0)


def test_verb_holds_every_car_or_one(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(own_domain_id()))
    port = own_port()
    words = ['bridge', '--ros-args', '-p', 'cars:=3', '-p', f'port:={port}']
    bridge = ManagedProcess('bridge', words)
    try:
        wait_for(lambda: state_of(port), what='an answer')
        held = run_verb('hold')
        assert sorted(held.stdout.splitlines()) == [f'/car_{n}/hold: held' for n in (1, 2, 3)]
        assert run_verb('hold', '--release', '--car', 2).returncode == 0
        assert [car['held'] for car in state_of(port)['cars']] == [True, False, True]
    finally:
        bridge.ask_to_end()
        bridge.wait(10.0)


def test_verb_says_that_there_is_no_car():
    result = run_verb('hold', '--car', 32)
    assert result.returncode == 1
    assert 'no car 32 was found' in result.stderr
    assert run_verb('hold', '--car', 33).returncode == 2
