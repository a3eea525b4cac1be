# SPDX-License-Identifier: Apache-2.0
"""The bridge node: held cars of the bridge before, names of hosts, the clock, the network."""

import http.client
import os

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.standby import BEAT_VARIABLE, HELD_VARIABLE


@pytest.fixture
def make():
    """Make a bridge with these parameters."""
    started = []

    def make(*values):
        words = [word for value in ('port:=0', *values) for word in ('-p', value)]
        ros = started_rclpy(*words, '--log-level', 'error')
        ros.__enter__()
        started.append((BridgeNode(), ros))
        return started[-1][0]

    yield make
    for node, ros in started:
        node.destroy_node()
        ros.__exit__(None, None, None)


def test_cars_that_the_bridge_before_held_are_held_and_the_guard_is_told(make, monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setenv(BEAT_VARIABLE, str(writer))
    monkeypatch.setenv(HELD_VARIABLE, '2,3')
    node = make('cars:=3')
    assert [car['held'] for car in node.status()['cars']] == [False, True, True]
    assert os.read(reader, 100).splitlines()[-1] == b'2,3'
    first = next(iter(node._sessions.sessions))
    node._server.call_soon(lambda now_s: first.set_held(now_s, True))
    wait_for(lambda: os.read(reader, 100).splitlines()[-1] == b'1,2,3', what='a heartbeat')
    node._server.stop(lambda: None)
    for descriptor in (reader, writer):
        os.close(descriptor)


@pytest.mark.parametrize(('cars', 'has_clock'), [(1, True), (2, False)])
def test_clock_is_that_of_a_single_car(make, cars, has_clock):
    node = make('use_sim_time:=true', f'cars:={cars}')
    assert (node._simulated_time is not None) == has_clock
    assert {one._stamps._in_simulated_time for one in node._sessions.sessions} == {has_clock}


@pytest.mark.parametrize(('host', 'status'), [('a.lan', 200), ('b.lan', 200), ('c.lan', 403)])
def test_each_allowed_host_may_name_the_bridge(make, host, status):
    node = make('allowed_hosts:=a.lan, b.lan')
    page = http.client.HTTPConnection('127.0.0.1', node._server.port, timeout=10.0)
    page.request('GET', '/state.json', headers={'Host': host})
    assert page.getresponse().status == status
    page.close()


def test_network_is_known_until_a_steering_node_names_another(make):
    node = make()
    assert node.status()['network'] == ''
    values = [KeyValue(key='model', value='a.keras'), KeyValue(key='refused', value='b: bad')]
    steering = DiagnosticStatus(hardware_id='steering', values=values)
    for message in (steering, DiagnosticStatus(hardware_id='sim_bridge')):
        node._on_diagnostics(DiagnosticArray(status=[message]))
    state = node.status()
    assert (state['network'], state['network_refused']) == ('a.keras', 'b: bad')
