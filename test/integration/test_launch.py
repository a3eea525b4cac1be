# SPDX-License-Identifier: Apache-2.0
"""drive.launch.py under the real `ros2 launch`, where there is one."""

import os
import shutil
import signal
import subprocess

import pytest

from helpers.graph import wait_until_driven
from helpers.network import own_port
from helpers.processes import children_of, is_alive, is_spare, words_of
from helpers.ros import started_node
from helpers.waiting import wait_for

ROS2 = shutil.which('ros2')
pytestmark = [
    pytest.mark.ros2_launch,
    pytest.mark.skipif(ROS2 is None, reason='no ROS 2 distribution here: there is no ros2 launch'),
]


@pytest.fixture
def launch():
    """Start `ros2 launch sim_bridge drive.launch.py` with these arguments."""
    started = []

    def launch(*arguments):
        process = subprocess.Popen(
            [ROS2, 'launch', 'sim_bridge', 'drive.launch.py', *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield launch
    for process in started:
        if process.poll() is None:
            process.kill()


def test_arguments_are_described():
    listing = subprocess.run(
        [ROS2, 'launch', 'sim_bridge', 'drive.launch.py', '--show-args'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in (
        'simulator',
        'model',
        'speed_limit',
        'port',
        'record',
        'rviz',
        'annotate',
        'odometry',
    ):
        assert f"'{name}':" in listing


def test_it_drives_and_ends_cleanly_on_ctrl_c(launch):
    port = own_port()
    process = launch(f'port:={port}', 'speed_limit:=10')
    wait_until_driven(port, 100)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    for node in ('bridge', 'steering', 'throttle', 'simulator'):
        assert f'[INFO] [{node}-' in output
        assert f'process has died [pid {node}' not in output
    assert output.count('process has finished cleanly') >= 4


@pytest.mark.parametrize(
    ('argument', 'told'),
    [
        ('backend:=nonsense', 'nonsense'),
        ('speed_limit:=-5', 'speed_limit must be in 0 .. 60'),
        ('host:=192.0.2.1', '192.0.2.1 cannot be opened'),
    ],
)
def test_bad_argument_ends_the_launch_with_a_clear_line(launch, argument, told):
    process = launch(f'port:={own_port()}', argument)
    output, _ = process.communicate(timeout=60)
    assert told in output
    assert 'Traceback' not in output


def descendants(pid):
    """Process ids of the children of a process, and of theirs."""
    children = children_of(pid)
    return children + [one for child in children for one in descendants(child)]


def bridges(pid):
    """The bridge and its spare, which was started later."""
    found = [one for one in descendants(pid) if words_of(one)[3:4] == ['bridge']]
    return sorted(found, key=is_spare)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
def test_bridge_that_dies_or_freezes_is_replaced_by_its_spare(launch, number):
    port = own_port()
    process = launch(f'port:={port}')
    wait_until_driven(port, 100)
    with started_node('witness') as node:
        wait_for(lambda: '_spare' in node.get_node_names(), 30.0, 'a spare')
    bridge, spare = bridges(process.pid)
    os.kill(bridge, number)
    wait_for(lambda: not is_alive(bridge), 10.0, 'the end of the bridge')
    assert spare in bridges(process.pid)
    wait_until_driven(port, 100, 10.0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert 'the bridge node ended with code -9; it is restarted' in output
    assert process.returncode == 0


def test_killed_it_leaves_no_process(launch):
    port = own_port()
    process = launch(f'port:={port}')
    wait_for(lambda: len(bridges(process.pid)) == 2, 60.0, 'a spare')
    ours = [one for one in descendants(process.pid) if 'sim_bridge' in ' '.join(words_of(one))]
    assert len(ours) >= 6
    process.kill()
    wait_for(lambda: not any(map(is_alive, ours)), 10.0, 'the end of the nodes')
