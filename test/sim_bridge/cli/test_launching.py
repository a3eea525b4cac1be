# SPDX-License-Identifier: Apache-2.0
"""What the launch files share, without launch."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.paths import ROOT
from helpers.processes import is_alive, words_of
from helpers.waiting import wait_for
from sim_bridge.cli.launching import (
    ENDS_WITH_LAUNCH,
    bridge_address,
    check_arguments,
    count_cars,
    interrupt_blocking_prefix,
    new_folder,
    present,
    topics_in_bag,
)
from sim_bridge.errors import UsageError
from sim_bridge.recording.bag import BagWriter, Offer

GOOD = {
    'cars': '2',
    'port': '4567',
    'laps': '0',
    'track': 'hills:3',
    'speed_limit': '6.7',
    'params_file': str(ROOT / 'config' / 'drive.yaml'),
    'model': 'default',
    'profile': 'course',
    'camera': 'as-trained',
    'record': 'true',
    'rviz': 'False',
    'rate': '0.5',
    'threshold': '0',
    'host': 'any text',
}


def test_good_arguments_pass():
    check_arguments(GOOD)


def test_what_has_its_default_in_the_parameters_file_may_be_empty():
    check_arguments(dict.fromkeys(('port', 'speed_limit', 'model', 'profile', 'camera'), ''))


@pytest.mark.parametrize(
    ('name', 'value', 'told'),
    [
        ('cars', '0', 'is 0; it must be 1..32'),
        ('cars', '33', 'is 33; it must be 1..32'),
        ('cars', 'abc', "is 'abc'; it must be a whole number"),
        ('cars', '', "is ''; it must be a whole number"),
        ('port', '70000', 'is 70000; it must be 1..65535'),
        ('laps', 'x', "is 'x'; it must be a whole number"),
        ('laps', '-1', 'is -1; it must be 0 or greater'),
        ('speed_limit', 'abc', "is 'abc'; it must be a number"),
        ('speed_limit', '-5', 'is -5.0; it must be 0..60 m/s'),
        ('speed_limit', 'nan', 'is nan; it must be 0..60 m/s'),
        ('params_file', '/none.yaml', 'there is no file /none.yaml'),
        ('params_file', str(ROOT), 'there is no file'),
        ('model', '/none.keras', 'there is no file /none.keras'),
        ('track', 'moon', 'it must be one of'),
        ('weather', 'hail:2', 'it must be'),
        ('namespace', 'a b', "is 'a b'; it must be a name of ROS 2"),
        ('profile', 'none', 'unknown profile'),
        ('camera', 'none', 'it must be training'),
        ('record', 'maybe', "is 'maybe'; it must be true or false"),
        ('rate', '0', 'is 0; it must be greater than 0'),
        ('rate', 'nan', 'is nan; it must be greater than 0'),
        ('threshold', '-1', 'is -1.0; it must be 0 rad or greater'),
    ],
)
def test_bad_argument_is_named_in_one_line(name, value, told):
    with pytest.raises(UsageError) as caught:
        check_arguments(GOOD | {name: value})
    line = str(caught.value)
    assert line.startswith(f'launch argument {name}')
    assert told in line
    assert '\n' not in line


def declared_arguments(name):
    """Names of the arguments that a launch file declares."""
    text = (ROOT / 'launch' / name).read_text(encoding='utf-8')
    return set(re.findall(r"DeclareLaunchArgument\(\s*'(\w+)'", text))


def test_every_number_and_file_that_drive_takes_is_checked():
    free = {'simulator', 'host', 'backend', 'bag', 'monitor'}
    for name in declared_arguments('drive.launch.py') - free:
        with pytest.raises(UsageError, match=name):
            check_arguments({name: '\0'})


def test_folder_that_exists_is_not_used_again(tmp_path):
    bag = tmp_path / 'bag'
    assert new_folder(bag) == bag
    bag.mkdir()
    assert new_folder(bag) == tmp_path / 'bag_2'
    (tmp_path / 'bag_2').mkdir()
    assert new_folder(bag) == tmp_path / 'bag_3'


def write_bag(path, *topics):
    writer = BagWriter(path)
    for topic in topics:
        writer.add_topic(topic, 'std_msgs/msg/Float32', Offer())
        writer.write(topic, 1, b'\0\1\0\0\0\0\0\0')
    writer.close()


@pytest.mark.parametrize(
    ('topics', 'cars'),
    [
        (['/vehicle/speed', '/tf_static'], {'': 1}),
        (['/car_1/vehicle/speed', '/car_3/vehicle/speed', '/other/odom'], {'': 3}),
        (['/ego/vehicle/speed', '/lab/car_2/vehicle/speed'], {'/ego': 1, '/lab': 2}),
        (['/map'], {'': 1}),
    ],
)
def test_cars_of_a_bag_are_counted_by_their_topics(tmp_path, topics, cars):
    write_bag(tmp_path / 'bag', *topics)
    assert count_cars(topics_in_bag(tmp_path / 'bag')) == cars


def test_bag_that_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match=r'launch argument bag: .*none'):
        topics_in_bag(tmp_path / 'none')


def test_only_topics_that_the_bag_has_are_played():
    topics = {'/car_1/vehicle/speed', '/car_2/vehicle/speed', '/tf'}
    assert present(['vehicle/speed', 'tf_static'], topics) == ['vehicle/speed']
    assert present(['vehicle/twist', 'tf_static'], topics) == ['vehicle/twist', 'tf_static']


def test_program_of_ours_starts_with_interrupts_blocked():
    if not interrupt_blocking_prefix():
        pytest.skip('env of this machine cannot block signals')
    look = 'import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))'
    command = [*interrupt_blocking_prefix().split(), sys.executable, '-c', look]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 'SIGINT' in told


def test_foreign_program_ends_with_the_process_that_started_it():
    """The starter prints the process id of its child and is then killed, as launch might be."""
    child = f"['{ENDS_WITH_LAUNCH.replace(' ', chr(39) + ', ' + chr(39))}', 'sleep', '60']"
    text = f'import subprocess; print(subprocess.Popen({child}).pid, flush=True); input()'
    starter = subprocess.Popen(
        [sys.executable, '-c', text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(starter.stdout.readline())
    wait_for(lambda: words_of(pid)[:1] == ['sleep'], what='the start of the child')
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    wait_for(lambda: not is_alive(pid), what='the end of the child')


@pytest.mark.parametrize('path', ['.', '/'])
def test_folder_of_a_bag_has_a_name(path):
    with pytest.raises(UsageError, match=r'launch argument bag is [./]; it must be'):
        new_folder(Path(path))


@pytest.mark.parametrize(
    ('text', 'at_root', 'in_ego', 'in_lab'),
    [
        ('/**/bridge: {ros__parameters: {port: 5}}', '5', '5', '5'),
        ('/**: {ros__parameters: {port: 5}}', '5', '5', '5'),
        ('bridge: {ros__parameters: {port: 5}}', '5', '', ''),
        ('/*/bridge: {ros__parameters: {port: 5}}', '', '5', ''),
        ('/ego/**: {ros__parameters: {port: 5}}', '', '5', '5'),
        ('ego: {bridge: {ros__parameters: {port: 5}}}', '', '5', ''),
        ('/steering: {ros__parameters: {port: 5}}', '', '', ''),
        (
            '/bridge: {ros__parameters: {port: 5}}\n/**: {ros__parameters: {port: 6}}',
            '6',
            '6',
            '6',
        ),
        ('/bridge: {ros__parameters: {host: 10.0.0.1}}', '', '', ''),
        ('', '', '', ''),
        ('[1, 2]', '', '', ''),
        ('(: {ros__parameters: 5}', '', '', ''),
    ],
)
def test_port_of_the_bridge_is_that_of_the_parameters_file(text, at_root, in_ego, in_lab):
    content = yaml.safe_load(text)
    ports = [bridge_address(content, namespace)[1] for namespace in ('', '/ego', '/ego/lab')]
    assert ports == [at_root, in_ego, in_lab]


def test_the_shipped_parameters_file_has_the_address_of_the_bridge():
    content = yaml.safe_load((ROOT / 'config' / 'drive.yaml').read_bytes())
    assert bridge_address(content, '/ego') == ('127.0.0.1', '4567')
