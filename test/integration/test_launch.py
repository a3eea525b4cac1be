# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real `ros2 launch`, where there is one."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from helpers.graph import wait_until_driven
from helpers.network import own_port
from helpers.processes import children_of, is_alive, is_spare, words_of
from helpers.ros import started_node
from helpers.waiting import wait_for
from sim_bridge.bridge_client import fetch_state
from sim_bridge.recording.bag import BagWriter, Offer
from sim_bridge.recording.sources import open_bag
from sim_bridge.topics import COMPRESSED_FRAME

ROS2 = shutil.which('ros2')
pytestmark = [
    pytest.mark.ros2_launch,
    pytest.mark.skipif(ROS2 is None, reason='no ROS 2 distribution here: there is no ros2 launch'),
]


@pytest.fixture
def launch():
    """Start `ros2 launch` of our or another file with arguments, in a process group of its own."""
    started = []

    def launch(*arguments, file='drive.launch.py'):
        words = [file] if isinstance(file, Path) else ['sim_bridge', file]
        process = subprocess.Popen(
            [ROS2, 'launch', *words, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
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
        'foxglove',
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
        ('speed_limit:=-5', 'launch argument speed_limit is -5.0; it must be 0..60 m/s'),
        ('cars:=33', 'launch argument cars is 33; it must be 1..32'),
        ('params_file:=/none.yaml', 'launch argument params_file: there is no file /none.yaml'),
        ('host:=192.0.2.1', '192.0.2.1 cannot be opened'),
    ],
)
def test_bad_argument_ends_the_launch_with_a_clear_line(launch, argument, told):
    process = launch(f'port:={own_port()}', argument)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told in output
    assert 'Traceback' not in output


@pytest.mark.skipif(shutil.which('rviz2') is not None, reason='RViz is installed')
def test_rviz_that_is_not_installed_is_named_before_anything_starts(launch):
    process = launch('rviz:=true')
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert 'launch argument rviz: the package rviz2 is not installed' in output
    assert 'process started' not in output


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
        wait_for(lambda: '_spare' in node.get_node_names(), what='a spare')
    bridge, spare = bridges(process.pid)
    os.kill(bridge, number)
    wait_for(lambda: not is_alive(bridge), what='the end of the bridge')
    assert spare in bridges(process.pid)
    wait_until_driven(port, 100, 10.0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert 'the bridge node ended with code -9; it is restarted' in output
    assert process.returncode == 0


def test_killed_it_leaves_no_process(launch):
    port = own_port()
    process = launch(f'port:={port}')
    wait_for(lambda: len(bridges(process.pid)) == 2, what='a spare')
    ours = [one for one in descendants(process.pid) if 'sim_bridge' in ' '.join(words_of(one))]
    assert len(ours) >= 6
    process.kill()
    wait_for(lambda: not any(map(is_alive, ours)), what='the end of the nodes')


@pytest.mark.parametrize('after_s', [0.2, 0.5, 1.0, 2.0])
def test_ctrl_c_while_it_starts_gives_no_traceback(launch, after_s):
    process = launch(f'port:={own_port()}')
    output = ''
    while 'throttle-3]: process started' not in output:
        output += process.stdout.readline()
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)
    output += process.communicate(timeout=30)[0]
    assert process.returncode == 0
    nodes = ('[bridge-', '[steering-', '[throttle-', '[simulator-')
    told = [line for line in output.splitlines() if line.startswith(nodes)]
    assert not [line for line in told if 'Traceback' in line or 'invalid' in line]


def test_terminated_it_leaves_no_process_and_a_whole_bag(launch, tmp_path):
    port, bag = own_port(), tmp_path / 'bag'
    process = launch(f'port:={port}', 'record:=true', f'bag:={bag}')
    wait_until_driven(port, 50)
    started = descendants(process.pid)
    process.terminate()
    process.communicate(timeout=30)
    wait_for(lambda: not any(map(is_alive, started)), what='the end of all processes')
    recorded = open_bag(bag)
    assert len(list(recorded)) > 50
    assert not recorded.trouble


def test_second_launch_on_a_port_fails_and_leaves_the_first_one_alone(launch):
    port = own_port()
    first = launch(f'port:={port}')
    wait_until_driven(port, 50)
    second = launch(f'port:={port}')
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f'port {port} on 127.0.0.1 is in use' in output
    assert fetch_state('127.0.0.1', port)['simulators'] == 1
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert first.returncode == 0


def test_bag_of_two_cars_in_a_new_folder_has_their_first_frames_and_is_replayed(launch, tmp_path):
    port = own_port()
    bag = tmp_path / 'bag'
    bag.mkdir()
    process = launch(f'port:={port}', 'record:=true', 'cars:=2', f'bag:={bag}')
    wait_until_driven(port, 100)
    seen = [car['telemetry'] for car in fetch_state('127.0.0.1', port)['cars']]
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert 'deprecated' not in output
    frames = Counter(
        record.topic for record in open_bag(tmp_path / 'bag_2') if record.is_of(COMPRESSED_FRAME)
    )
    assert all(
        frames[f'/car_{number}/{COMPRESSED_FRAME}'] >= count
        for number, count in enumerate(seen, 1)
    )
    replay = launch(f'bag:={tmp_path / "bag_2"}', 'rate:=5', file='replay.launch.py')
    output, _ = replay.communicate(timeout=60)
    assert replay.returncode == 0
    assert 'messages published' in output
    assert 'holds no' not in output


def test_a_drive_in_a_namespace_is_recorded_and_replayed_there(launch, tmp_path):
    port, bag = own_port(), tmp_path / 'bag'
    process = launch(f'port:={port}', 'namespace:=ego', 'record:=true', f'bag:={bag}')
    wait_until_driven(port, 50)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    names = {record.topic for record in open_bag(bag)}
    assert f'/ego/{COMPRESSED_FRAME}' in names
    assert all(name.startswith(('/ego/', '/tf', '/diagnostics')) for name in names)
    replay = launch(f'bag:={bag}', 'rate:=5', file='replay.launch.py')
    output, _ = replay.communicate(timeout=60)
    assert replay.returncode == 0
    assert 'messages published' in output


def test_embedded_simulator_connects_to_the_port_of_the_parameters_file(launch, tmp_path):
    port, file = own_port(), tmp_path / 'mine.yaml'
    file.write_text(f'/**/bridge: {{ros__parameters: {{port: {port}}}}}')
    launch(f'params_file:={file}')
    wait_until_driven(port, 50)


def test_it_ends_with_the_last_of_its_simulators(launch):
    port = own_port()
    process = launch(f'port:={port}', 'cars:=2')
    wait_until_driven(port, 100)
    simulators = [one for one in descendants(process.pid) if '--laps' in words_of(one)]
    assert len(simulators) == 2
    os.kill(simulators[0], signal.SIGINT)
    wait_for(lambda: fetch_state('127.0.0.1', port)['simulators'] == 1, what='the end of one')
    answers = fetch_state('127.0.0.1', port)['answers']
    wait_until_driven(port, answers + 100)
    os.kill(simulators[1], signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_two_drives_in_one_launch_file_have_their_own_namespaces(launch, tmp_path):
    ports, file = (own_port(), own_port()), tmp_path / 'two.launch.xml'
    drive = '<include file="$(find-pkg-share sim_bridge)/launch/drive.launch.py">'
    drives = [
        f'{drive}<arg name="namespace" value="{name}"/><arg name="port" value="{port}"/></include>'
        for name, port in zip(('ego', 'other'), ports, strict=True)
    ]
    file.write_text(f'<launch>{"".join(drives)}</launch>')
    launch(file=file)
    for port in ports:
        wait_until_driven(port, 50)
    with started_node('witness') as node:
        wanted = {('bridge', '/ego'), ('bridge', '/other')}
        wait_for(
            lambda: wanted <= set(node.get_node_names_and_namespaces()), what='both namespaces'
        )


def test_replay_ends_if_its_network_cannot_be_loaded(launch, tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    writer.add_topic('/vehicle/speed', 'std_msgs/msg/Float32', Offer())
    writer.write('/vehicle/speed', 1, b'\0\1\0\0\0\0\0\0')
    writer.close()
    (tmp_path / 'net.keras').write_text('no network')
    replay = launch(
        f'bag:={tmp_path / "bag"}', f'model:={tmp_path / "net.keras"}', file='replay.launch.py'
    )
    output, _ = replay.communicate(timeout=60)
    assert replay.returncode == 1
    assert 'net.keras' in output
    assert 'Traceback' not in output
