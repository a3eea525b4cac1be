"""drive.launch.py under the real `ros2 launch`, where there is one."""

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from support import free_port, wait_for

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
    names = 'simulator model speed_limit port record rviz annotate odometry'
    for name in names.split():
        assert f"'{name}':" in listing


def test_it_drives_and_ends_cleanly_on_ctrl_c(launch):
    port = free_port()
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
    [('backend:=nonsense', 'nonsense'), ('speed_limit:=-5', 'speed_limit must be in 0 .. 60')],
)
def test_bad_argument_ends_the_launch_with_a_clear_line(launch, argument, told):
    process = launch(f'port:={free_port()}', argument)
    output, _ = process.communicate(timeout=60)
    assert told in output
    assert 'Traceback' not in output
