# SPDX-License-Identifier: Apache-2.0
"""Several steering nodes share the cars of one bridge, and one of them dies."""

import os
import signal
import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from helpers.graph import Graph, ros_words
from helpers.ros import spinning_node
from helpers.talking_simulator import TalkingSimulator, ask_all
from helpers.waiting import wait_for
from sim_bridge.process import ManagedProcess
from sim_bridge.topics import STEERING_NODES
from steering_net.cars import prefixes
from steering_net.model_io.litert_converter import probe_frames
from steering_net.ros.qos import EVERY
from steering_net.vision.jpeg import encode_jpeg

JPEG = encode_jpeg(probe_frames()[0])
CARS = 4
STEERED_AGAIN_S = 1.0
SHARED = (f'cars:={CARS}', 'shared:=true')


@pytest.fixture
def graph(request):
    words = (f'cars:={CARS}',)
    is_timed = request.node.get_closest_marker('faults')
    # With these timeouts a busy machine is not late. A car that no node steers still times out.
    patient = () if is_timed else ('command_timeout:=0.5', 'stop_timeout:=2.0')
    with Graph(bridge=words + patient, steering=SHARED, throttle=words) as started:
        yield started


@pytest.fixture
def nodes():
    """By node, the cars that it says to steer, in its newest message."""
    told = {}

    def hear(message):
        steered = {one.key for one in message.values if one.value == 'steered'}
        told[message.name] = steered

    with spinning_node('listener') as listener:
        listener.create_subscription(DiagnosticStatus, STEERING_NODES, hear, EVERY)
        yield told


@pytest.fixture
def second(graph):
    """A second steering node, which shares the cars of the first."""
    node = ManagedProcess('second', ['steering', *ros_words(SHARED, 'second')])
    yield node
    node.ask_to_end()
    node.wait(10.0)


@pytest.fixture
def simulators(graph):
    started = [TalkingSimulator(graph.url()) for _ in range(CARS)]
    yield started
    for simulator in started:
        simulator.leave()


def shares(told):
    return sorted(map(len, told.values()))


def states(graph):
    return [car['state'] for car in graph.state()['cars']]


def drive(simulators):
    """Let every car send a frame, and wait for all answers."""
    ask_all(simulators, [JPEG] * CARS)


def test_newcomer_takes_half_of_the_cars_and_none_is_without_steering(
    graph, nodes, simulators, request
):
    drive(simulators)
    before = graph.state()
    request.getfixturevalue('second')

    def halves():
        drive(simulators)
        return shares(nodes) == [CARS // 2, CARS // 2]

    wait_for(halves, what='two equal shares')
    assert set.union(*nodes.values()) == set(prefixes(CARS))
    after = graph.state()
    assert after['ready']
    assert states(graph) == ['driving'] * CARS
    # A busy machine may answer some frames late. A car that no node steers misses every frame.
    assert after['timeouts'] - before['timeouts'] <= 3


def test_cars_of_a_dead_node_are_driven_by_the_other_one(graph, nodes, simulators, second):
    wait_for(lambda: shares(nodes) == [2, 2], what='two equal shares')
    drive(simulators)
    os.kill(second.pid, signal.SIGKILL)

    def is_whole():
        drive(simulators)
        return len(nodes['/steering']) == CARS and states(graph) == ['driving'] * CARS

    wait_for(is_whole, what='four driven cars')


@pytest.mark.faults
@pytest.mark.parametrize('fault', [signal.SIGKILL, signal.SIGSTOP])
def test_car_of_a_dead_node_is_steered_again(graph, nodes, simulators, second, fault):
    wait_for(lambda: shares(nodes) == [2, 2], what='two equal shares')
    car = next(number for number in range(CARS) if f'car_{number + 1}/' in nodes['/second'])
    simulator = simulators[car]
    for _ in range(20):
        simulator.ask(JPEG)
    os.kill(second.pid, fault)
    died_s = time.monotonic()
    simulator.pump_until(lambda: simulator.ask(JPEG) and states(graph)[car] != 'driving')
    missed_s = time.monotonic() - died_s
    simulator.pump_until(lambda: simulator.ask(JPEG) and states(graph)[car] == 'driving')
    steered_s = time.monotonic() - died_s
    if fault is signal.SIGSTOP:
        os.kill(second.pid, signal.SIGCONT)
        wait_for(lambda: drive(simulators) or shares(nodes) == [2, 2], what='equal shares again')
        wait_for(lambda: drive(simulators) or states(graph) == ['driving'] * CARS)
    print(f'{fault.name}: missed after {missed_s:.2f} s, steered again after {steered_s:.2f} s')
    assert steered_s < STEERED_AGAIN_S


def test_node_with_another_number_of_cars_is_ignored(graph, nodes, simulators):
    words = ros_words(('cars:=2', 'shared:=true'), 'odd')
    odd = ManagedProcess('odd', ['steering', *words])
    try:
        wait_for(lambda: shares(nodes) == [2, CARS], what='two nodes that ignore each other')
        wait_for(lambda: drive(simulators) or states(graph) == ['driving'] * CARS)
    finally:
        odd.ask_to_end()
        odd.wait(10.0)
