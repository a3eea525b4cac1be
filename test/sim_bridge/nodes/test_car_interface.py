# SPDX-License-Identifier: Apache-2.0
"""What a bridge publishes of each of its cars: frames, values, diagnostics."""

import math
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float32

from helpers.ros import spin_until, started_rclpy
from helpers.talking_simulator import JPEG_HEADER
from helpers.waiting import wait_for
from sim_bridge.control.kinematics import base_link_twist
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.conversions import stamp_ns
from sim_bridge.protocol.types import Command, Telemetry
from sim_bridge.protocol.udacity import CULTURES, UdacityLink, encode_telemetry
from sim_bridge.session.arbiter import Driver
from sim_bridge.session.car_session import CarSession
from sim_bridge.session.status import State
from sim_bridge.web.live_stream import Moment
from steering_net.ros.qos import NEWEST

FRAME = Telemetry(steering_rad=0.2, throttle=0.5, speed_mps=3.0, jpeg=JPEG_HEADER)


class Fleet:
    """A bridge of two cars in a namespace, and a viewer of the second one's topics."""

    def __init__(self):
        self.node = BridgeNode()
        self.cars = list(self.node._cars.values())
        self.heard = {}
        self.viewer = rclpy.create_node('viewer', use_global_arguments=False)

    def hears(self, kind, topic):
        self.viewer.create_subscription(
            kind, topic, lambda it: self.heard.update({topic: it}), NEWEST
        )
        wait_for(lambda: self.node.count_subscribers(topic), what='the viewer')

    def newest(self, topic):
        spin_until(self.viewer, lambda: topic in self.heard, topic)
        return self.heard[topic]

    def drives(self, *frames):
        """Let one simulator after the other connect and send its frame."""

        def send(now_s):
            for key, frame in enumerate(frames):
                link = UdacityLink(lambda *_: None)
                self.node.connected(now_s, str(key), link, is_simulator=True)
                payload = encode_telemetry(frame, CULTURES['en-US'])
                self.node.telemetry(now_s, str(key), payload)

        self.node._server.call_soon(send)
        wait_for(lambda: self.cars[len(frames) - 1].newest_stamp_ns, what='the frames')


@pytest.fixture
def fleet():
    words = ('-r', '__ns:=/ego', '-p', 'cars:=2', '-p', 'port:=0', '-p', 'vertical_fov:=0.9')
    with started_rclpy(*words, '--log-level', 'error'):
        fleet = Fleet()
        yield fleet
        fleet.node.destroy_node()
        fleet.viewer.destroy_node()


def test_frame_has_the_values_frames_and_stamp_of_its_car(fleet):
    fleet.hears(TwistStamped, '/ego/car_2/vehicle/twist')
    fleet.hears(CameraInfo, '/ego/car_2/camera/camera_info')
    for name in ('speed', 'steering_angle', 'throttle'):
        fleet.hears(Float32, f'/ego/car_2/vehicle/{name}')
    fleet.drives(Telemetry(0.0, 0.0, 1.0, JPEG_HEADER), FRAME)
    twist = fleet.newest('/ego/car_2/vehicle/twist')
    info = fleet.newest('/ego/car_2/camera/camera_info')
    assert twist.header.frame_id == 'ego/car_2/base_link'
    assert info.header.frame_id == 'ego/car_2/camera_optical_frame'
    assert (info.width, info.height) == (320, 160)
    assert info.k[4] == pytest.approx(165.6, abs=0.1)
    stamps = {stamp_ns(one.header.stamp) for one in (twist, info)}
    assert stamps == {fleet.cars[1].newest_stamp_ns}
    assert abs(stamps.pop() - time.time_ns()) < 60_000_000_000
    speeds = (twist.twist.linear.x, twist.twist.angular.z)
    assert speeds == pytest.approx(base_link_twist(3.0, 0.2), abs=1e-4)
    values = [
        fleet.newest(f'/ego/car_2/vehicle/{name}').data
        for name in ('speed', 'steering_angle', 'throttle')
    ]
    assert values == pytest.approx([3.0, 0.2, 0.5], abs=1e-4)


def test_plots_of_the_page_have_the_values_of_the_frame_and_of_the_command(fleet):
    fleet.drives(FRAME)
    car, session = fleet.cars[0], fleet.node._sessions.sessions[0]
    wait_for(lambda: car._feed._moments, what='a point of the plots')
    session.last_command, session.latency_s = Command(0.125, -0.5), 0.02
    for limit_mps in (6.0, math.nan):
        car._on_speed_limit(Float32(data=limit_mps))
    assert car._moment(7.0, FRAME) == Moment(
        at_s=7.0,
        recorded_rad=0.2,
        commanded_rad=0.125,
        speed_mps=3.0,
        limit_mps=6.0,
        throttle=-0.5,
        latency_ms=20.0,
        driver='nobody',
    )


def test_frame_that_only_a_viewer_needs_whole_fails_no_call_of_the_server(fleet, logged):
    fleet.hears(Image, '/ego/car_1/camera/image_raw')
    fleet.drives(FRAME, FRAME)
    assert logged.messages == []


def test_each_page_shows_the_values_of_its_own_car(fleet):
    fleet.drives(Telemetry(0.0, 0.0, 1.0, JPEG_HEADER), FRAME)
    status = [fleet.node.status_of(number) for number in range(2)]
    assert [one['speed_mps'] for one in status] == pytest.approx([1.0, 3.0], abs=1e-3)
    assert [one['car'] for one in status] == [1, 2]
    assert {one['state'] for one in status} == {'waiting for the nodes'}
    assert [one['simulators'] for one in status] == [2, 2]


def test_status_names_what_a_car_lacks(fleet, monkeypatch):
    car, session = fleet.cars[0], fleet.node._sessions.sessions[0]

    def told():
        status = car.status()
        return status['ready'], status['reason'], status['trouble']

    nodes = 'no node publishes cmd/steering, no node publishes cmd/throttle'
    assert told() == (False, nodes, nodes)
    assert session.driver is Driver.NOBODY
    monkeypatch.setattr(CarSession, 'reset_ignored', True)
    _, reason, trouble = told()
    assert reason.startswith(f'{nodes}, the simulator has not carried out the newest reset')
    assert trouble == nodes
    monkeypatch.setattr(CarSession, 'reset_ignored', False)
    session.driver = Driver.JOYSTICK
    assert told() == (True, '', '')
    session.driver, car._has_planner = Driver.NOBODY, True
    assert told() == (True, nodes, '')
    session.last_error = 'image is no JPEG'
    monkeypatch.setattr(CarSession, 'state', State.UNREADABLE)
    assert told() == (True, nodes, 'telemetry cannot be read: image is no JPEG')


def test_figures_of_a_car_are_those_of_the_last_seconds(fleet):
    car, now_s = fleet.cars[0], [100.0]
    car._clock = lambda: now_s[0]
    car._on_uncertainty(Float32(data=0.25))
    for number in range(5):
        now_s[0] = 100.0 + 0.05 * number
        car.publish(now_s[0], FRAME, number)
    status = car.status()
    assert (status['telemetry_hz'], status['uncertainty']) == (20.0, 0.25)
    now_s[0] += 10.0
    status = car.status()
    assert (status['telemetry_hz'], status['uncertainty']) == (0.0, None)


def test_level_of_diagnostics_is_that_of_the_state(fleet, monkeypatch):
    levels, told = {}, []
    monkeypatch.setattr(fleet.node._diagnostics, 'publish', told.extend)
    for state in (None, *State):
        monkeypatch.setattr(CarSession, 'state', state)
        fleet.node._publish_diagnostics()
        first, second = told
        assert (first.level, first.message) == (second.level, fleet.cars[0].status()['state'])
        levels[state] = first.level
        told.clear()
    assert levels == {
        None: DiagnosticStatus.WARN,
        State.WAITING: DiagnosticStatus.OK,
        State.ABSENT: DiagnosticStatus.ERROR,
        State.DRIVING: DiagnosticStatus.OK,
        State.HELD: DiagnosticStatus.WARN,
        State.DEGRADED: DiagnosticStatus.WARN,
        State.STOPPED: DiagnosticStatus.ERROR,
        State.PAUSED: DiagnosticStatus.OK,
        State.MANUAL: DiagnosticStatus.OK,
        State.UNREADABLE: DiagnosticStatus.ERROR,
    }


def test_diagnostics_of_a_car_are_on_its_own_topic(fleet):
    fleet.hears(DiagnosticArray, '/ego/car_2/diagnostics')
    fleet.node._publish_diagnostics()
    (status,) = fleet.newest('/ego/car_2/diagnostics').status
    assert status.name == 'car_2/sim_bridge: bridge'
    values = {pair.key: pair.value for pair in status.values}
    assert (values['held'], values['speed_limit_mps']) == ('false', '')
    assert values['latency_ms.p50'] == ''
    assert values['nodes.steering'] == 'missing'
