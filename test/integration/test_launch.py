"""drive.launch.py under the real `ros2 launch`, where there is one."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from helpers.network import own_port
from helpers.processes import children_of, is_alive
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


def state(port):
    try:
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/state.json', timeout=2) as reply:
            return json.load(reply)
    except (urllib.error.URLError, OSError):
        return {}


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
    wait_for(lambda: state(port).get('answers', 0) > 100, 60.0, 'driving')
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
    """The bridge and its spare, in the order of their start."""
    return sorted(
        one
        for one in descendants(pid)
        if Path(f'/proc/{one}/cmdline').read_bytes().split(b'\0')[3:4] == [b'bridge']
    )


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP])
def test_bridge_that_dies_or_freezes_is_replaced_by_its_spare(launch, number):
    port = own_port()
    process = launch(f'port:={port}')
    wait_for(lambda: state(port).get('answers', 0) > 100, 60.0, 'driving')
    bridge, spare = wait_for(
        lambda: len(bridges(process.pid)) == 2 and bridges(process.pid), 30.0, 'a spare'
    )
    time.sleep(2.0)
    os.kill(bridge, number)
    wait_for(lambda: bridges(process.pid)[0] == spare, 10.0, 'the end of the bridge')
    wait_for(lambda: state(port).get('answers', 0) > 100, 10.0, 'driving')
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert 'the bridge node ended with code -9; it is restarted' in output
    assert process.returncode == 0


def test_killed_it_leaves_no_process(launch):
    port = own_port()
    process = launch(f'port:={port}')
    wait_for(lambda: len(bridges(process.pid)) == 2, 60.0, 'a spare')
    ours = [one for one in descendants(process.pid) if b'sim_bridge' in command(one)]
    assert len(ours) >= 6
    process.kill()
    wait_for(lambda: not any(map(is_alive, ours)), 10.0, 'the end of the nodes')


def command(pid):
    return Path(f'/proc/{pid}/cmdline').read_bytes()
