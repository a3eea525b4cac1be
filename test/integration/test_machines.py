# SPDX-License-Identifier: Apache-2.0
"""The nodes on two machines: two network namespaces with a cable between them, and plain DDS."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

IP = shutil.which('ip') or shutil.which('ip', path='/usr/sbin:/sbin')
SECONDS = 5
ACROSS = {
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
    # Two namespaces are one machine to DDS, which would go round the cable by shared memory.
    'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4',
}


def ip(*words):
    return subprocess.run([IP, *words], capture_output=True, text=True, check=False, timeout=10)


class Machine:
    """A network namespace with an address on the cable, and the processes that run in it."""

    def __init__(self, name, end, address):
        self.name = name
        self.processes = []
        for words in (
            ('link', 'set', end, 'netns', name),
            ('-n', name, 'address', 'add', f'{address}/24', 'dev', end),
            ('-n', name, 'link', 'set', end, 'up'),
            ('-n', name, 'link', 'set', 'lo', 'up'),
            ('-n', name, 'route', 'add', '224.0.0.0/4', 'dev', end),
        ):
            result = ip(*words)
            if result.returncode:
                pytest.skip(f'no cable between network namespaces here: {result.stderr.strip()}')

    def command(self, *words):
        program = [sys.executable, '-m', 'sim_bridge.cli', *map(str, words)]
        return [IP, 'netns', 'exec', self.name, *program]

    def start(self, *words):
        self.processes.append(subprocess.Popen(self.command(*words), env=os.environ | ACROSS))

    def end(self):
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            process.wait(10)


@pytest.fixture
def machines():
    if IP is None:
        pytest.skip('needs ip: apt-get install iproute2')
    names, ends = [f'sb{side}{os.getpid()}' for side in 'ab'], [f'v{s}{os.getpid()}' for s in 'ab']
    started = []
    try:
        for name in names:
            made = ip('netns', 'add', name)
            if made.returncode:
                pytest.skip(f'network namespaces are not allowed here: {made.stderr.strip()}')
        cable = ip('link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1])
        if cable.returncode:
            pytest.skip(f'no virtual cable here: {cable.stderr.strip()}')
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            started.append(Machine(name, end, f'10.83.0.{number}'))
        yield started
    finally:
        for machine in started:
            machine.end()
        ip('link', 'delete', ends[0])
        for name in names:
            ip('netns', 'delete', name)


def test_network_on_another_machine_drives(machines, tmp_path):
    here, there = machines
    report = tmp_path / 'report.json'
    here.start('bridge')
    here.start('throttle')
    there.start('steering')
    words = ('simulate', '--when-ready', '--seconds', SECONDS, '--report', report)
    result = subprocess.run(
        here.command(*words), capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    told = json.loads(report.read_text(encoding='utf-8'))
    assert told['answers'] > 4 * SECONDS
    assert told['lane_departures'] == 0
    # A car gets no throttle as long as nobody steers it.
    assert told['distance_m'] > SECONDS
