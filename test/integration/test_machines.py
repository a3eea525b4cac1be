# SPDX-License-Identifier: Apache-2.0
"""The nodes on several machines: network namespaces with cables between them, and plain DDS."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager

import pytest

from helpers.cable import ACROSS, CableError, machines
from helpers.graph import state_of
from helpers.processes import PROGRAM

SECONDS = 5
CARS = 2
PORT = 4567


@pytest.fixture
def three_machines():
    try:
        with machines(3) as connected:
            yield connected
    except CableError as error:
        pytest.skip(f'no machines connected by cables here: {error}')


@contextmanager
def running(*commands):
    """Run `(machine, verb, words...)`, and end them in the end; yields the processes."""
    started = [
        subprocess.Popen(machine.command(*PROGRAM, *words), env=os.environ | ACROSS)
        for machine, *words in commands
    ]
    try:
        yield started
    finally:
        for process in started:
            process.send_signal(signal.SIGINT)
        for process in started:
            process.wait(10)


def simulation(machine, report):
    words = ('simulate', '--when-ready', '--status', '--seconds', SECONDS, '--report', report)
    command = machine.command(*PROGRAM, *words)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_answers(simulator, count):
    for line in simulator.stdout:
        if json.loads(line).get('answers', 0) >= count:
            return
    raise AssertionError('the simulator ended')


def check_drive(simulator, report):
    """Wait for the end of a simulation in which the network drove; return the distance, m."""
    _, stderr = simulator.communicate(timeout=60)
    assert simulator.returncode == 0, stderr
    told = json.loads(report.read_text(encoding='utf-8'))
    assert told['answers'] > 4 * SECONDS
    assert told['lane_departures'] == 0
    # A car gets no throttle as long as nobody steers it.
    assert told['distance_m'] > SECONDS
    return told['distance_m']


def test_network_on_another_machine_drives(three_machines, tmp_path):
    here, there, _ = three_machines
    with running((here, 'bridge'), (here, 'throttle'), (there, 'steering')):
        check_drive(simulation(here, tmp_path / 'report.json'), tmp_path / 'report.json')


def test_networks_of_two_machines_share_the_cars_until_one_is_unplugged(three_machines, tmp_path):
    here, *there = three_machines
    ros = ('--ros-args', '-p', f'cars:={CARS}')
    shared = (*ros, '-p', 'shared:=true')
    networks = [
        (machine, 'steering', *shared, '-r', f'__node:=steering_{number}')
        for number, machine in enumerate(there)
    ]
    reports = [tmp_path / f'{number}.json' for number in range(CARS)]
    with running((here, 'bridge', *ros), (here, 'throttle', *ros), *networks):
        simulators = [simulation(here, report) for report in reports]
        for simulator in simulators:
            wait_for_answers(simulator, 60)
        with here.entered():
            late = state_of(PORT)['late_commands']
        assert late < 10, 'two nodes steer the same car'
        there[0].unplug()
        distances_m = [
            check_drive(simulator, report)
            for simulator, report in zip(simulators, reports, strict=True)
        ]
    assert min(distances_m) > 0.7 * max(distances_m), 'the car of the unplugged one stood still'
