# SPDX-License-Identifier: Apache-2.0
"""Reset, pause and step of the embedded simulator, by the services of a whole graph."""

import json
import random
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
import rclpy
from nav_msgs.msg import Odometry
from std_srvs.srv import SetBool, Trigger

from helpers.graph import Graph
from helpers.processes import start_verb
from helpers.ros import started_node
from helpers.talking_simulator import JPEG_HEADER, TalkingSimulator
from helpers.waiting import PATIENCE_S, wait_for
from sim_bridge.process import ManagedProcess
from steering_net.ros.qos import NEWEST

pytestmark = pytest.mark.real_time


@pytest.fixture(scope='module')
def graph():
    with Graph() as started:
        yield started


@pytest.fixture
def node(graph):
    with started_node('person') as started:
        yield started


@contextmanager
def simulated(graph, report, *words):
    """The embedded simulator as a process that the graph drives; it writes a report at the end."""
    words = ['simulate', '--url', graph.url(), '--report', report, *words]
    process = start_verb(*words, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: graph.state()['speed_mps'] > 2.0, what='a driving car')
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10.0)


def pause(graph, node):
    """Pause the world; the state of its bridge then."""
    assert ask(node, 'pause', True)[0]
    wait_for(lambda: graph.state()['state'] == 'paused', 2.0)
    time.sleep(0.3)
    return graph.state()


def ask(node, service, is_on=None):
    """Call a service; its success and message."""
    kind = Trigger if is_on is None else SetBool
    client = node.create_client(kind, service)
    assert client.wait_for_service(PATIENCE_S)
    request = Trigger.Request() if is_on is None else SetBool.Request(data=is_on)
    reply = client.call_async(request)
    rclpy.spin_until_future_complete(node, reply, timeout_sec=PATIENCE_S)
    node.destroy_client(client)
    return reply.result().success, reply.result().message


def test_hundred_resets_in_mid_drive(graph, node, tmp_path):
    before, rng = graph.state(), random.Random(1)
    with simulated(graph, tmp_path / 'report.json'):
        for _ in range(100):
            assert ask(node, 'reset') == (True, 'reset sent to the simulator')
            time.sleep(rng.uniform(0.0, 0.1))
        wait_for(lambda: graph.state()['speed_mps'] > 3.0, what='a driving car')
        first = graph.state()
        time.sleep(1.0)
        state = graph.state()
    report = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    rate_hz = state['telemetry'] - first['telemetry']
    missing = [one['telemetry'] - one['answers'] - one['superseded'] for one in (before, state)]
    print('measured:', {'rate_hz': rate_hz, 'keepalives': state['keepalives'], 'missing': missing})
    assert report['tokens_lost'] == 0
    assert report['distance_m'] < 40.0, 'the score starts anew'
    assert missing[1] - missing[0] <= 1, 'the one that waits'
    assert state['keepalives'] == before['keepalives'], 'no token was lost'
    assert 20 < rate_hz < 66, 'and none was added'


def test_odometry_starts_anew(graph, node, tmp_path):
    xs = []
    process = ManagedProcess('odometry', ['odometry'])
    try:
        node.create_subscription(
            Odometry, 'odom', lambda it: xs.append(it.pose.pose.position.x), NEWEST
        )

        def newest():
            rclpy.spin_once(node, timeout_sec=0.1)
            return xs[-1] if xs else 0.0

        with simulated(graph, tmp_path / 'report.json'):
            wait_for(lambda: newest() > 5.0, what='five metres')
            ask(node, 'reset')
            wait_for(lambda: abs(newest()) < 1.0, 2.0, 'the start')
            wait_for(lambda: newest() > 2.0, what='two metres')
    finally:
        process.ask_to_end()
        process.wait(10.0)


@pytest.mark.parametrize('words', [(), ('--fast',)])
def test_paused_world_stands_still_and_goes_step_by_step(graph, node, tmp_path, words):
    with simulated(graph, tmp_path / 'report.json', *words):
        paused = pause(graph, node)
        time.sleep(1.5)
        assert graph.state()['telemetry'] == paused['telemetry']
        assert graph.state()['simulators'] == 1
        for number in range(1, 6):
            assert ask(node, 'step')[0]
            wait_for(lambda: graph.state()['answers'] == paused['answers'] + number, 2.0, 'a step')  # noqa: B023
        time.sleep(0.3)
        assert graph.state()['telemetry'] == paused['telemetry'] + 5
        assert ask(node, 'pause', False)[0]
        wait_for(lambda: graph.state()['state'] == 'driving', 2.0, 'driving')
        assert graph.state()['keepalives'] == paused['keepalives']
        assert graph.state()['timeouts'] == paused['timeouts']
        assert ask(node, 'step') == (False, 'the simulator is not paused')


@pytest.mark.parametrize('words', [(), ('--fast',)])
def test_paused_world_shows_that_it_was_reset(graph, node, tmp_path, words):
    with simulated(graph, tmp_path / 'report.json', *words):
        paused = pause(graph, node)
        assert paused['speed_mps'] > 1.0
        assert ask(node, 'reset')[0]
        wait_for(lambda: graph.state()['answers'] == paused['answers'] + 1, 2.0, 'the start')
        assert graph.state()['speed_mps'] == 0.0
        assert ask(node, 'step')[0]
        wait_for(lambda: graph.state()['answers'] == paused['answers'] + 2, 2.0, 'a step')
        time.sleep(0.3)
        state = graph.state()
        assert (state['state'], state['telemetry']) == ('paused', paused['telemetry'] + 2)
        assert state['keepalives'] == paused['keepalives']


def test_simulator_that_cannot_is_refused_with_the_reason(graph, node):
    assert ask(node, 'reset') == (False, 'no simulator is connected')
    simulator = TalkingSimulator(graph.url())
    simulator.open(JPEG_HEADER)
    wait_for(lambda: graph.state()['simulators'] == 1)
    success, message = ask(node, 'reset')
    simulator.pump(0.2)
    assert not success
    assert message.startswith('this simulator has no reset; the embedded one has it')
    assert simulator.client.lost == 0, 'nothing was sent'
    simulator.leave()
