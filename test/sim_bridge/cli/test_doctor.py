# SPDX-License-Identifier: Apache-2.0
"""The doctor on set-ups that are broken, each in one way."""

import argparse
import os
import socket
import subprocess
import sys
import time

import pytest
from geometry_msgs.msg import Twist
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float32

from helpers.network import own_port
from helpers.processes import run_verb
from helpers.ros import started_node
from helpers.waiting import wait_for
from sim_bridge.cli import doctor as verb
from sim_bridge.cli import doctor_checks
from sim_bridge.cli.doctor_checks import Level
from sim_bridge.cli.main import main
from sim_bridge.nodes.car_interface import Camera, CarInterface
from sim_bridge.nodes.driver_topics import JoyLayout
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.udacity import UdacityLink
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.topics import CMD_VEL
from sim_bridge.web.live_stream import LiveFeed, StreamLimit

pytestmark = pytest.mark.slow

GOOD = {
    'opencv-python-headless': '4.13.0.92',
    'numpy': '2.2.6',
    'cv-bridge': '1.13.0.post0',
    'python-engineio': '4.15.1',
    'python-socketio': '5.18.1',
    'eventlet': '0.41.3',
    'flask': '3.1.3',
    'ai-edge-litert': '2.3.0',
}


def first_line(*words, **environment):
    """First line that `sim-bridge doctor` prints, and its exit code."""
    result = run_verb('doctor', *words, env={**os.environ, **environment})
    assert 'Traceback' not in result.stderr
    return result.stdout.splitlines()[0], result.returncode


def broken(findings):
    return [finding for finding in findings if finding.level is Level.BROKEN]


def test_nothing_is_broken_here():
    line, code = first_line('--port', own_port())
    assert code == 0
    assert not line.startswith('BROKEN')


def test_busy_port_is_named_first_with_who_has_it():
    listen = (
        'import socket, sys; s = socket.create_server(("127.0.0.1", 0)); '
        'print(s.getsockname()[1], flush=True); sys.stdin.read()'
    )
    with subprocess.Popen(
        [sys.executable, '-c', listen], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        port = int(holder.stdout.readline())
        line, code = first_line('--port', port)
        pid = holder.pid
        holder.stdin.close()
    assert code == 1
    assert line.startswith(f'BROKEN  port: {port} is in use by pid {pid} (')
    assert 'python' in line
    assert '--port' in line


def test_port_of_our_own_bridge_is_no_problem(graph):
    finding = doctor_checks.check_port(graph.port)
    assert finding.level is Level.OK
    assert 'no simulator connected' in finding.found


class OneCar:
    """A bridge with one car and a simulator that has connected."""

    def __init__(self, node):
        self.sessions = SessionManager(AnswerTimeouts(), inspect_image)
        self.sessions.connected(0.0, 'a', UdacityLink(lambda *_: None), is_simulator=True)
        (self.session,) = self.sessions.sessions
        self.interface = CarInterface(
            node,
            '',
            self.session,
            Camera('camera', 1.0),
            LiveFeed(dict, StreamLimit(), clock=time.monotonic, sleep=time.sleep),
            joy=JoyLayout(),
            call_soon=lambda call: call(0.0),
            clock=time.monotonic,
        )
        self.interface.update_readiness()

    def finding(self, monkeypatch):
        """What the doctor says about the port of this bridge."""
        state = {'cars': [self.interface.status()]}
        monkeypatch.setattr(doctor_checks, 'fetch_state', lambda *_, **__: state)
        with socket.create_server(('127.0.0.1', 0)) as listener:
            return doctor_checks.check_port(listener.getsockname()[1])


def test_bridge_with_a_planner_and_without_a_network_is_healthy(ros_node, monkeypatch):
    car = OneCar(ros_node)
    ros_node.create_publisher(Twist, CMD_VEL, 1)
    wait_for(lambda: car.interface.update_readiness() or car.interface.is_ready)
    assert car.interface.status()['reason']
    assert car.finding(monkeypatch).level is Level.OK


def test_bridge_that_refuses_lock_step_is_healthy(ros_node, monkeypatch):
    car = OneCar(ros_node)
    car.session.lock_step_refused = True
    assert 'lock-step' in car.interface.status()['reason']
    assert car.finding(monkeypatch).level is Level.OK


def test_bridge_that_cannot_read_its_telemetry_is_broken(ros_node, monkeypatch):
    car = OneCar(ros_node)
    car.sessions.telemetry(0.0, 'a', {'x': 1.0}, 1)
    finding = car.finding(monkeypatch)
    assert (finding.level, finding.check) == (Level.BROKEN, 'simulator')
    assert finding.found.startswith('telemetry cannot be read: ')


def test_model_that_does_not_exist_is_no_model_to_convert(capsys):
    assert main(['doctor', '--model', 'nope.keras']) == 2
    assert capsys.readouterr().err == (
        'sim-bridge doctor: --model: there is no file nope.keras; name an existing network, or '
        '`default`\n'
    )


def test_broken_model_is_named_first(tmp_path):
    model = tmp_path / 'mine.keras'
    model.write_bytes(b'not a model')
    line, code = first_line('--port', own_port(), '--model', model)
    assert code == 1
    assert line.startswith('BROKEN  model: ')
    assert 'mine.keras' in line


def test_unknown_profile_is_bad_input(capsys):
    assert main(['doctor', '--profile', 'no_such']) == 2
    assert capsys.readouterr().err.startswith(
        "sim-bridge doctor: --profile: unknown profile 'no_such'; known: course, "
    )


@pytest.mark.parametrize(
    ('environment', 'told'),
    [
        ({'ROS_DOMAIN_ID': 'mine'}, "ROS_DOMAIN_ID is 'mine'"),
        ({'ROS_DOMAIN_ID': '300'}, "ROS_DOMAIN_ID is '300'"),
        ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}, "ROS_AUTOMATIC_DISCOVERY_RANGE is 'OFF'"),
    ],
)
def test_broken_discovery_is_named_first(environment, told):
    line, code = first_line('--port', own_port(), **environment)
    assert code == 1
    assert line.startswith('BROKEN  discovery: ')
    assert told in line
    assert 'export ' in line


def test_empty_variables_are_those_that_are_not_set():
    empty = {'ROS_DOMAIN_ID': '', 'ROS_AUTOMATIC_DISCOVERY_RANGE': ''}
    assert doctor_checks.check_discovery(empty).found == 'domain 0, range SUBNET'


def first_line_beside(reliability):
    """What the doctor says while a reliable subscription meets a publisher that offers this."""
    with started_node('lonely') as node:
        node.create_publisher(
            Float32, 'vehicle/speed', QoSProfile(depth=1, reliability=reliability)
        )
        node.create_subscription(Float32, 'vehicle/speed', print, 1)
        wait_for(lambda: node.count_publishers('vehicle/speed'))
        wait_for(lambda: node.count_subscribers('vehicle/speed'))
        return first_line('--port', own_port())


def test_quality_of_service_that_does_not_fit_is_named_first():
    line, code = first_line_beside(ReliabilityPolicy.BEST_EFFORT)
    assert code == 1
    assert line.startswith('BROKEN  quality of service: /vehicle/speed from lonely to lonely')
    assert 'eliab' in line


def test_quality_of_service_that_fits_is_not_accused():
    assert first_line_beside(ReliabilityPolicy.RELIABLE)[1] == 0


@pytest.mark.parametrize(
    ('package', 'version', 'told'),
    [
        ('opencv-python-headless', '5.0.0.1', '5.0.0.1 breaks cv_bridge'),
        ('numpy', '2.4.1', "2.4.1 lacks what PyPI's cv-bridge calls"),
        ('python-engineio', '3.13.2', '3.13.2 is installed'),
        ('python-socketio', '4.6.1', '4.6.1 is installed'),
        ('python-socketio', None, 'nothing is installed'),
        ('eventlet', None, 'is not installed'),
    ],
)
def test_package_known_to_break_is_named_with_the_fix(package, version, told):
    versions = GOOD | {package: version}
    (finding,) = broken(doctor_checks.check_packages(versions.get))
    assert told in finding.found
    assert finding.remedy.startswith(('pip install', 'make venv'))


@pytest.mark.parametrize(
    ('package', 'version'),
    [('python-engineio', '4.16.0'), ('python-socketio', '6.0.0'), ('eventlet', '0.42')],
)
def test_package_that_is_newer_than_the_tested_ones_is_a_warning(package, version):
    versions = GOOD | {package: version}
    findings = [f for f in doctor_checks.check_packages(versions.get) if f.level is Level.WARNING]
    assert [finding.check for finding in findings] == [package]


def test_packages_that_work_are_not_accused():
    assert not broken(doctor_checks.check_packages(GOOD.get))
    without_pypi_cv_bridge = GOOD | {'numpy': '2.4.0', 'cv-bridge': None}
    assert not broken(doctor_checks.check_packages(without_pypi_cv_bridge.get))


@pytest.mark.parametrize(
    ('version', 'level'), [((3, 10), 2), ((3, 11), 0), ((3, 13), 0), ((3, 14), 1), ((3, 15), 2)]
)
def test_python_outside_the_range_is_broken(version, level):
    assert doctor_checks.check_python(version).level == level


def test_shared_memory_that_is_not_there_is_told(tmp_path):
    finding = doctor_checks.check_shared_memory(tmp_path / 'gone')
    assert finding.level is Level.BROKEN
    assert 'cannot be written' in finding.found


def test_shared_memory_that_is_not_there_is_named_first(tmp_path, monkeypatch, capsys):
    gone = doctor_checks.check_shared_memory(tmp_path / 'gone')
    monkeypatch.setattr(doctor_checks, 'check_shared_memory', lambda: gone)
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    assert verb.run(parser.parse_args(['--port', str(own_port())])) == 1
    assert capsys.readouterr().out.startswith('BROKEN  shared memory: ')


def test_full_shared_memory_is_told(tmp_path, monkeypatch):
    class Full:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(doctor_checks.os, 'statvfs', lambda _: Full)
    finding = doctor_checks.check_shared_memory(tmp_path)
    assert finding.level is Level.BROKEN
    assert '0 MB left' in finding.found


def test_left_over_segments_are_told_and_used_ones_are_not(tmp_path):
    folder, process = tmp_path / 'shm', tmp_path / 'proc' / '12'
    folder.mkdir()
    process.mkdir(parents=True)
    for name in ('fastdds_00aa', 'fastdds_00aa_el', 'fastdds_00bb', 'fastdds_00bb_el', 'other'):
        (folder / name).touch()
    (process / 'maps').write_text('7f00 rw-s 0 00:18 5 /dev/shm/fastdds_00aa\n', encoding='utf-8')
    finding = doctor_checks.check_shared_memory(folder, tmp_path / 'proc')
    assert finding.level is Level.WARNING
    assert finding.found.startswith('2 files of ended processes')


def test_handshake_is_tried_with_the_real_dialect():
    assert doctor_checks.check_handshake().level is Level.OK


def test_dialect_that_is_not_answered_is_told(monkeypatch):
    monkeypatch.setattr(doctor_checks._Answering, 'telemetry', lambda *_: None)
    monkeypatch.setattr(doctor_checks, '_HANDSHAKE_S', 0.5)
    finding = doctor_checks.check_handshake()
    assert finding.level is Level.BROKEN
    assert 'not answered' in finding.found


def test_ephemeral_domain_is_a_warning():
    assert doctor_checks.check_discovery({'ROS_DOMAIN_ID': '150'}).level is Level.WARNING


def test_listener_on_ipv6_is_found():
    with socket.create_server(('::1', 0), family=socket.AF_INET6) as listener:
        finding = doctor_checks.check_port(listener.getsockname()[1])
    assert finding.level is Level.BROKEN
    assert f'pid {os.getpid()} ' in finding.found
