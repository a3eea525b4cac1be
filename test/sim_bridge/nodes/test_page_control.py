# SPDX-License-Identifier: Apache-2.0
"""Control from pages on a real bridge: wheel, hold, speed limit, networks and recordings."""

import http.client
import itertools
import json
import math
import os
import re
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Float32, String

from helpers.graph import state_of
from helpers.page_socket import RawWheel
from helpers.processes import freeze
from helpers.ros import started_rclpy
from helpers.talking_simulator import JPEG_HEADER, TalkingSimulator
from helpers.waiting import wait_for
from sim_bridge.control.motion_controller import REVERSE_AT_MOST_MPS, Motion, Pedals
from sim_bridge.errors import UsageError
from sim_bridge.limits import MAX_SPEED_LIMIT_MPS, NETWORK_SUFFIXES, USUAL_SPEED_LIMIT_MPS
from sim_bridge.nodes import page_networks, page_recorder, standby
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.page_control import PageCar, PageControl, command_of
from sim_bridge.nodes.page_recorder import PageRecorder
from sim_bridge.recording.sources import open_bag
from sim_bridge.session.arbiter import Driver
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.web.control import FieldError, RefusedError
from steering_net.model_io.network_files import SUFFIXES
from steering_net.ros.executor import executor_for
from steering_net.ros.qos import LATCHED
from steering_net.vehicle import MAX_STEERING_RAD

pytestmark = pytest.mark.real_time

LOOK_PERIOD_S = 0.01
LETS_GO_S = 0.3
"""Time within which a page that vanishes lets go of the car."""
_VALUES = {'allowed_hosts': '', 'cars': 1, 'networks': '', 'recordings': 'recordings'}


def test_throttle_of_a_page_is_a_share_of_the_speed_limit_or_the_brake():
    assert command_of(-0.5, 0.5, 6.0) == Motion(3.0, steering_rad=-0.5 * MAX_STEERING_RAD)
    assert command_of(1.0, 0.0, 6.0) == Pedals(MAX_STEERING_RAD, 0.0)
    assert command_of(0.0, -1.0, 6.0) == Motion(-REVERSE_AT_MOST_MPS, steering_rad=0.0)


@pytest.mark.parametrize(
    ('limit_mps', 'speed_mps'), [(None, 0.5 * USUAL_SPEED_LIMIT_MPS), (4.0, 2.0), (0.0, 0.0)]
)
def test_throttle_of_a_page_is_a_share_of_the_limit_in_force(ros_node, limit_mps, speed_mps):
    session = CarSession(AnswerTimeouts(), None)
    car = SimpleNamespace(prefix='', speed_limit_mps=limit_mps)
    page = PageCar(ros_node, car, session, None, lambda function: function(1.0))
    page.drive(0.25, 0.5)
    motion = Motion(speed_mps, steering_rad=0.25 * MAX_STEERING_RAD)
    assert session._arbiter.active == (Driver.PAGE, motion)
    page.let_go()
    assert session._arbiter.active is None


def test_networks_that_can_be_chosen_are_those_that_can_be_read():
    assert set(NETWORK_SUFFIXES) == set(SUFFIXES) - {'.json'}


def test_token_is_that_of_the_environment_or_stays_the_same(monkeypatch):
    monkeypatch.setenv(standby.TOKEN_VARIABLE, 'chosen')
    assert standby.control_token() == 'chosen'
    monkeypatch.delenv(standby.TOKEN_VARIABLE)
    made = standby.control_token()
    assert len(made) >= 20
    assert standby.control_token() == made


def test_empty_token_is_replaced_because_it_would_let_everyone_in(monkeypatch):
    monkeypatch.setenv(standby.TOKEN_VARIABLE, '')
    made = standby.control_token()
    assert len(made) >= 20
    assert standby.control_token() == made


@pytest.mark.parametrize('token', ['100%', 'a#b', 'a b', 'ä', '€', 'a\n'])
def test_token_that_an_address_cannot_hold_is_refused(ros_node, monkeypatch, token):
    monkeypatch.setenv(standby.TOKEN_VARIABLE, token)
    with pytest.raises(UsageError, match=r'^SIM_BRIDGE_CONTROL_TOKEN has other characters than'):
        PageControl(ros_node, _VALUES | {'host': '0.0.0.0'}, time.monotonic)


@pytest.mark.parametrize(
    ('values', 'shown'),
    [
        ({'host': '127.0.0.1'}, r'http://127\.0\.0\.1:4567/'),
        ({'host': '10.1.2.3'}, r'http://10\.1\.2\.3:4567/#token=chosen'),
        ({'host': '0.0.0.0'}, r'http://[a-z0-9.-]+:4567/#token=chosen'),
        ({'host': 'localhost', 'allowed_hosts': 'a.lan'}, r'http://localhost:4567/#token=chosen'),
    ],
)
def test_address_is_shown_with_a_token_where_others_reach_the_page(
    ros_node, monkeypatch, capsys, values, shown
):
    monkeypatch.setenv(standby.TOKEN_VARIABLE, 'chosen')
    PageControl(ros_node, _VALUES | values, time.monotonic).show_address(4567)
    line = capsys.readouterr().err
    assert re.fullmatch(f'to control the drive, open {shown}\n', line)


def test_duration_of_a_recording_that_failed_stays(tmp_path):
    seconds = itertools.count()
    cars = 0  # The recorder refuses this.
    recorder = PageRecorder(tmp_path, cars, lambda: float(next(seconds)))
    recorder.start('lap')
    failed = wait_for(lambda: (one := recorder.status())['state'] == 'failed' and one)
    assert recorder.status() == failed
    recorder.start('another')
    assert recorder.status()['result'] == ''
    recorder.close()


@pytest.mark.parametrize('name', ['../lap', 'a/b', '.hidden', '-x', 'x' * 65, 'a\n', 'ä'])
def test_name_of_a_recording_cannot_lead_elsewhere(tmp_path, name):
    recorder = PageRecorder(tmp_path, 1, time.monotonic)
    with pytest.raises(FieldError, match=r'^name is .*; it must be 1\.\.64 letters'):
        recorder.start(name)
    assert recorder.status() is None


def test_recording_has_the_cars_and_the_namespace_of_the_bridge(tmp_path):
    alone = PageRecorder(tmp_path, 1, time.monotonic)
    fleet = PageRecorder(tmp_path, 3, time.monotonic, '/ego')
    assert alone._options == ['--cars', '1']
    assert fleet._options == ['--cars', '3', '--namespace', '/ego']


def test_recording_that_cannot_start_says_why(tmp_path):
    recorder = PageRecorder(tmp_path, 1, time.monotonic)
    (tmp_path / 'lap').mkdir()
    with pytest.raises(RefusedError, match='lap already exists; choose another name'):
        recorder.start('lap')
    with pytest.raises(RefusedError, match='nothing is being recorded'):
        recorder.stop()
    (tmp_path / 'file').touch()
    with pytest.raises(RefusedError, match=r'file cannot be made: File exists'):
        PageRecorder(tmp_path / 'file', 1, time.monotonic).start('lap')


def test_recording_that_is_stopped_before_it_begins_says_so(tmp_path):
    recorder = PageRecorder(tmp_path, 1, time.monotonic)
    recorder.start('lap')
    recorder.stop()
    done = wait_for(lambda: (one := recorder.status())['state'] == 'done' and one)
    assert done['result'] == 'stopped before it began'
    assert not (tmp_path / 'lap').exists()


def test_recorder_that_ends_slowly_completes_its_bag(tmp_path, monkeypatch):
    monkeypatch.setattr(page_recorder, '_END_S', 0.2)
    recorder = PageRecorder(tmp_path, 1, time.monotonic)
    recorder.start('lap')
    wait_for(lambda: recorder.status()['state'] == 'recording')
    pid = recorder._process.pid
    freeze(pid)
    try:
        recorder.close()
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: recorder.status()['state'] == 'done')
    assert (tmp_path / 'lap' / 'metadata.yaml').is_file()


def test_network_that_no_node_answers_for_is_refused_and_its_request_forgotten(ros_node):
    name = 'steering/set_parameters_atomically'
    ros_node.create_service(SetParametersAtomically, name, lambda _, response: response)
    seconds = itertools.count()
    networks = page_networks.PageNetworks(
        ros_node, '', sleep=lambda _: None, clock=lambda: float(next(seconds))
    )
    wait_for(networks._steering.service_is_ready)
    with pytest.raises(RefusedError, match='the steering node does not answer'):
        networks.choose('default')
    assert not networks._steering._pending_requests


class Steering(Node):
    """A steering node of which only the parameters are there; it refuses `bad.keras`."""

    def __init__(self):
        super().__init__('steering')
        self.declare_parameter('model', 'default')
        self.declare_parameter('profile', 'nvidia')
        self.add_on_set_parameters_callback(self.check)

    def check(self, changed):
        is_bad = any('bad' in str(one.value) for one in changed)
        return SetParametersResult(successful=not is_bad, reason='it is broken' if is_bad else '')


class Drive:
    """A bridge with control in a namespace, a simulator without a world, and a listening node."""

    def __init__(self, folder):
        words = {'port': 0, 'control': 'true', 'recordings': folder / 'bags', 'networks': folder}
        arguments = [word for pair in words.items() for word in ('-p', '{}:={}'.format(*pair))]
        self.ros = started_rclpy('-r', '__ns:=/ego', *arguments)
        self.ros.__enter__()
        self.bridge, self.steering = BridgeNode(), Steering()
        self.limits, self.drivers = [], []
        self.steering.create_subscription(
            Float32, 'speed_limit', lambda it: self.limits.append(it.data), 10
        )
        self.steering.create_subscription(
            String, 'driver/active', lambda it: self.drivers.append(it.data), LATCHED
        )
        self.executor = executor_for(self.bridge, self.steering)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()
        self.port = self.bridge._server.port
        self.simulator = TalkingSimulator(f'ws://127.0.0.1:{self.port}')
        self.is_over = False
        self.frames = threading.Thread(target=self.send_frames)
        self.frames.start()

    def send_frames(self):
        while not self.is_over:
            if self.simulator.client.tokens:
                self.simulator.send(JPEG_HEADER, speed_mps=3.0)
            self.simulator.pump(0.02)

    def close(self):
        self.is_over = True
        self.frames.join()
        self.simulator.leave()
        self.executor.end()
        self.thread.join()
        for node in (self.bridge, self.steering):
            node.destroy_node()
        self.ros.__exit__(None, None, None)

    def state(self):
        return state_of(self.port)

    def does(self, action, **body):
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=5.0)
        connection.request(
            'POST', f'/control/{action}', json.dumps(body), {'Content-Type': 'application/json'}
        )
        reply = connection.getresponse()
        answer = reply.status, reply.read().decode().strip()
        connection.close()
        return answer

    def wheel(self):
        return RawWheel(self.port)


@pytest.fixture(scope='module')
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp('drive')
    for name in ('good.keras', 'bad.keras', 'notes.txt'):
        (folder / name).touch()
    started = Drive(folder)
    yield started
    started.close()


def measured_end_s(drive):
    """Time until another source than the page drives, s, and how much of it the machine paused."""
    started_s = looked_s = time.monotonic()
    paused_s = 0.0
    while drive.bridge._sessions.sessions[0].driver.value == 'page':
        assert looked_s - started_s < 5.0
        time.sleep(LOOK_PERIOD_S)
        before_s, looked_s = looked_s, time.monotonic()
        overslept_s = looked_s - before_s - LOOK_PERIOD_S
        paused_s += overslept_s if overslept_s > LOOK_PERIOD_S else 0.0
    return looked_s - started_s, paused_s


@pytest.mark.parametrize('way', ['falls silent', 'closes', 'lets go'])
def test_page_drives_and_lets_go_in_time_when_it_vanishes(drive, way):
    wheel = drive.wheel()
    states = []

    def is_driven_by_page():
        states.append(drive.state())
        return (states[-1]['driver'], states[-1]['state']) == ('page', 'driving')

    wheel.drive(0.5, 0.0, seconds=5.0, until=is_driven_by_page)
    state = states[-1]
    assert (state['driver'], state['state'], state['reason']) == ('page', 'driving', '')
    assert state['commanded_rad'] == pytest.approx(0.5 * MAX_STEERING_RAD, abs=1e-4)
    wheel.drive(0.5, 0.0)
    if way == 'closes':
        wheel.close()
    elif way == 'lets go':
        wheel.send({})
    took_s, paused_s = measured_end_s(drive)
    print(f'measured: a page that {way} lets go after {1e3 * took_s:.0f} ms')
    assert took_s - paused_s < LETS_GO_S
    if way == 'falls silent':
        assert took_s > 0.15, 'a short pause of the network is no silence'
    wheel.close()


def test_uncertainty_that_is_no_number_is_ignored(drive):
    """A page could not read NaN in JSON."""
    publisher = drive.steering.create_publisher(Float32, 'uncertainty', 1)

    def shows(value):
        publisher.publish(Float32(data=value))
        return drive.state()['uncertainty'] == value

    wait_for(lambda: shows(0.5))
    for _ in range(5):
        publisher.publish(Float32(data=math.nan))
        time.sleep(0.05)
        assert drive.state()['uncertainty'] == 0.5
    drive.steering.destroy_publisher(publisher)


def test_hold_speed_limit_and_reset_go_the_way_of_the_topics(drive):
    assert drive.does('hold', held=True) == (200, 'held')
    assert drive.state()['driver'] == 'hold'
    for mps, shown in ((-1, '-1'), (10**400, 'inf'), (-(10**400), '-inf'), (math.nan, 'nan')):
        told = f'mps is {shown}; it must be 0..{MAX_SPEED_LIMIT_MPS:g} m/s'
        assert drive.does('speed_limit', mps=mps) == (400, told)
    wheel = drive.wheel()
    wheel.drive(0.0, 1.0, seconds=0.3)
    assert drive.state()['driver'] == 'hold', 'the hold comes before a page'
    wheel.close()
    assert drive.does('hold', held=False)[0] == 200
    wait_for(lambda: drive.drivers[-2:] == ['hold', 'nobody'])
    assert drive.does('speed_limit', mps=4.5) == (200, 'the speed limit is 4.5 m/s')
    wait_for(lambda: drive.limits == [4.5])
    assert drive.does('speed_limit', mps=61) == (400, 'mps is 61; it must be 0..60 m/s')
    status, line = drive.does('reset')
    assert (status, line.partition(';')[0]) == (409, 'this simulator has no reset')


def test_network_is_chosen_by_name_and_a_refusal_says_why(drive):
    assert drive.does('network', name='good.keras') == (200, 'good.keras is being loaded')
    values = drive.steering.get_parameters(['model', 'profile'])
    assert values[0].value.endswith('/good.keras')
    assert values[1].value == '', 'the new network brings its own preprocessing'
    drive.steering.set_parameters([Parameter('profile', value='nvidia')])
    assert drive.does('network', name='bad.keras') == (409, 'it is broken')
    present = drive.steering.get_parameters(['model', 'profile'])
    assert (present[0].value, present[1].value) == (values[0].value, 'nvidia')
    for name in ('notes.txt', '../good.keras', '/etc/passwd', ''):
        status, line = drive.does('network', name=name)
        assert (status, line) == (
            400,
            f'name is {name!r}; it must be one of default, bad.keras, good.keras',
        )


def test_bag_of_a_page_has_the_source_of_every_command(drive):
    assert drive.does('recording', on=True, name='lap')[0] == 200
    assert drive.does('recording', on=True, name='other')[0] == 409
    # The test listens to what drives too.
    wait_for(lambda: drive.bridge.count_subscribers('driver/active') == 2, what='the recorder')
    wait_for(lambda: drive.bridge.count_subscribers('driver/command'), what='the recorder')
    recording = drive.state()['control']['recording']
    assert (recording['name'], recording['state']) == ('lap', 'recording')
    wheel = drive.wheel()
    wheel.drive(0.25, 0.0, seconds=1.5)
    wheel.close()
    assert drive.does('hold', held=True)[0] == 200
    time.sleep(0.3)
    assert drive.does('hold', held=False)[0] == 200
    assert drive.does('recording', on=False)[0] == 200
    done = wait_for(
        lambda: (one := drive.state()['control']['recording'])['state'] == 'done' and one
    )
    assert re.search(r'/lap: \d+ messages, ', done['result'])
    assert done['bytes'] > 1000
    bag = list(open_bag(drive.bridge._page_control._recorder._bag))
    drivers = [one.decoded().data for one in bag if one.is_of('driver/active')]
    # On a loaded machine the page may fall silent for a moment.
    assert list(dict.fromkeys(one for one in drivers if one != 'nobody')) == ['page', 'hold']
    commands = [one.decoded() for one in bag if one.is_of('driver/command')]
    assert len(commands) > 20
    assert commands[-1].position[0] == pytest.approx(0.25 * MAX_STEERING_RAD)
