# SPDX-License-Identifier: Apache-2.0
"""The foxglove node beside a graph, seen by an independent client of the protocol."""

import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import websocket
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from helpers.foxglove_client import FoxgloveClient
from helpers.graph import Graph
from helpers.network import own_port
from helpers.paths import SOURCE
from helpers.processes import run_verb
from helpers.ros import started_node
from helpers.talking_simulator import TalkingSimulator
from helpers.waiting import wait_for
from sim_bridge.cli.main import main
from sim_bridge.process import ManagedProcess
from sim_bridge.topics import TOPICS

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

FRAMES = '/camera/image_raw/compressed'
FRAME_PERIOD_S = 1 / 60
JPEG = Path(SOURCE, 'steering_net/probe_frames/track_2000.jpg').read_bytes()
STANDING = b'\0\1\0\0' + bytes(6 * 8)
"""A Twist of zeros in CDR."""
EMPTY = b'\x00\x01\x00\x00'
TRUE, FALSE = EMPTY + b'\x01', EMPTY + b'\x00'


def number(value):
    """CDR of a std_msgs/Float32."""
    return EMPTY + struct.pack('<f', value)


class Numbered:
    """A simulator whose frames end with their number, at 60 a second."""

    def __init__(self, url):
        self._simulator = TalkingSimulator(url)
        self._simulator.open(JPEG)
        self.sent = []

    def drive(self, frames):
        for frame in range(frames):
            started_s = time.monotonic()
            self.sent.append(JPEG + len(self.sent).to_bytes(4))
            self._simulator.ask(self.sent[-1])
            if frame + 1 < frames:
                time.sleep(max(0.0, FRAME_PERIOD_S - (time.monotonic() - started_s)))

    def leave(self):
        self._simulator.leave()


@dataclass
class Served:
    """What the tests share: all of it runs until the last one."""

    graph: Graph
    port: int
    simulator: Numbered
    node: Any


@pytest.fixture(scope='module')
def served():
    pytest.importorskip('foxglove', reason='needs foxglove-sdk')
    port = own_port()
    with Graph(steering=('shared:=true',)) as graph, started_node('counter') as node:
        words = ['foxglove', '--ros-args', '-p', f'port:={port}']
        nodes = [ManagedProcess('foxglove', words), ManagedProcess('odometry', ['odometry'])]
        simulator = Numbered(graph.url())
        try:
            wait_for(lambda: is_open(port), what='the start of the node')
            yield Served(graph, port, simulator, node)
        finally:
            simulator.leave()
            for process in nodes:
                process.ask_to_end()
            codes = [process.wait(10.0) for process in nodes]
        assert codes == [0, 0]


def is_open(port):
    try:
        FoxgloveClient(port).__exit__()
    except OSError:
        return False
    return True


@pytest.fixture
def viewer(served):
    with FoxgloveClient(served.port) as client:
        yield client


def test_every_topic_is_a_channel_whose_schema_decodes_its_messages(served, viewer):
    published = {
        f'/{name}': topic
        for name, topic in TOPICS.items()
        if {'bridge', 'steering', 'throttle'} & set(topic.publishers) and name[0] != '/'
    }
    wait_for(lambda: published.keys() <= viewer.channels.keys(), what='all channels')
    assert '/cmd_vel' in viewer.channels, 'a topic that only has a subscription'
    for topic in published:
        viewer.subscribe(topic)
    wait_for(lambda: viewer.messages['/vehicle/limits'], what='the subscriptions')

    def heard_of():
        served.simulator.drive(5)
        return [topic for topic in published if viewer.messages[topic]]

    wait_for(lambda: len(heard_of()) > 12, what='messages of most topics')
    for topic in heard_of():
        channel = viewer.channels[topic]
        assert (channel['encoding'], channel['schemaEncoding']) == ('cdr', 'ros2msg')
        assert channel['schemaName'] == published[topic].type
        types = get_typestore(Stores.EMPTY)
        types.register(get_types_from_msg(channel['schema'], channel['schemaName']))
        time_ns, cdr = viewer.messages[topic][-1]
        message = types.deserialize_cdr(cdr, channel['schemaName'])
        assert message.__msgtype__ == published[topic].type
        assert abs(time.time_ns() - time_ns) < 60e9


def newest_frame_came(served, viewer):
    return served.simulator.sent[-1] in viewer.message(FRAMES)


def watch_frames(served, viewer):
    """Subscribe to the frames, and drive until they come: the bridge must know of it too."""

    def one_comes():
        served.simulator.drive(1)
        time.sleep(0.1)
        return viewer.messages[FRAMES] and newest_frame_came(served, viewer)

    viewer.subscribe(FRAMES)
    wait_for(one_comes, what='a frame')


def test_frames_reach_the_viewer_unchanged(served, viewer):
    watch_frames(served, viewer)
    for _ in range(20):
        served.simulator.drive(1)
        wait_for(lambda: newest_frame_came(served, viewer), what='the newest frame')


@pytest.mark.faults
def test_no_frame_is_lost_at_60_hz_in_ten_seconds(served, viewer):
    watch_frames(served, viewer)
    viewer.messages[FRAMES].clear()
    before = len(served.simulator.sent)
    served.simulator.drive(600)
    wait_for(lambda: newest_frame_came(served, viewer), what='the newest frame')
    got = [cdr for _, cdr in viewer.messages[FRAMES]]
    for sent, cdr in zip(served.simulator.sent[before:], got, strict=True):
        assert sent in cdr


@pytest.mark.faults
def test_viewers_that_come_and_go_leave_the_node_unharmed(served, viewer):
    wait_for(lambda: viewer.channels.keys() > {FRAMES, '/odom'}, what='the channels')
    channels, failures = sorted(viewer.channels), []
    until_s = time.monotonic() + 10.0

    def come_and_go():
        visits = 0
        while time.monotonic() < until_s:
            with FoxgloveClient(served.port) as guest:
                for topic in channels[visits % 3 :: 3]:
                    guest.subscribe(topic)
                guest.publish(guest.advertise('/speed_limit', 'std_msgs/Float32'), number(6.7))
                guest.get_parameters()
            visits += 1

    def run():
        try:
            come_and_go()
        except Exception as error:  # noqa: BLE001 the test looks at it
            failures.append(error)

    guests = [threading.Thread(target=run) for _ in range(6)]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join()
    assert failures == []
    watch_frames(served, viewer)
    wait_for(lambda: served.node.count_subscribers('/odom') == 0, what='the end of all guests')


def subscribe(served, viewer, topic):
    """Subscribe to a topic, and wait until the node has done so too."""
    before = served.node.count_subscribers(topic)
    subscription = viewer.subscribe(topic)
    wait_for(lambda: served.node.count_subscribers(topic) > before, what='the subscription')
    return subscription


def test_a_topic_is_subscribed_to_only_while_a_viewer_wants_it(served, viewer):
    topic = '/camera/image_raw'
    wait_for(lambda: topic in viewer.channels, what='the channel')
    assert served.node.count_subscribers(topic) == 0
    subscription = subscribe(served, viewer, topic)
    viewer.unsubscribe(subscription)
    wait_for(lambda: served.node.count_subscribers(topic) == 0, what='the end')
    with FoxgloveClient(served.port) as another:
        subscribe(served, another, topic)
    wait_for(lambda: served.node.count_subscribers(topic) == 0, what='the end of a gone viewer')


def test_every_viewer_gets_the_last_message_of_a_latched_topic(served, viewer):
    viewer.subscribe('/hold/active')
    assert viewer.message('/hold/active').startswith(FALSE)
    with FoxgloveClient(served.port) as another:
        another.subscribe('/hold/active')
        assert another.message('/hold/active').startswith(FALSE)


def test_car_and_transforms_are_there_without_robot_state_publisher(served, viewer):
    for topic in ('/robot_description', '/tf_static', '/tf'):
        viewer.subscribe(topic)
    assert b'<robot name="car">' in viewer.message('/robot_description')
    assert b'camera_optical_frame' in viewer.message('/tf_static')
    for topic in ('/robot_description', '/tf_static'):
        wait_for(lambda topic=topic: len(viewer.messages[topic]) > 2, what=f'repeated {topic}')
        assert len({cdr for _, cdr in viewer.messages[topic]}) == 1
    wait_for(lambda: served.node.count_subscribers('/odom'), what='the subscription to odom')
    served.simulator.drive(5)
    frames = {b'front_left_knuckle', b'odom\0'}
    wait_for(
        lambda: all(any(frame in cdr for _, cdr in viewer.messages['/tf']) for frame in frames),
        10.0,
        'pose and joints',
    )


def test_hold_and_release_by_service(served, viewer):
    viewer.subscribe('/hold/active')
    assert b'held' in viewer.call('/hold', TRUE)
    wait_for(lambda: viewer.message('/hold/active').startswith(TRUE), what='the hold')
    assert served.graph.state()['held']
    assert b'released' in viewer.call('/hold', FALSE)
    assert not served.graph.state()['held']
    assert {'/reset', '/pause', '/step'} < viewer.services.keys()
    assert viewer.call('/step', EMPTY)[4:5] == b'\0', 'this simulator cannot step'
    with pytest.raises(RuntimeError, match='deserialize'):
        viewer.call('/hold', b'\0')


def test_speed_limit_is_published_back(served, viewer):
    channel = viewer.advertise('/speed_limit', 'std_msgs/msg/Float32')
    viewer.subscribe('/speed_limit/active')
    wait_for(lambda: served.node.count_publishers('/speed_limit'), what='the publisher')
    viewer.publish(channel, number(3.5))
    wait_for(lambda: viewer.message('/speed_limit/active') == number(3.5), what='the limit')
    assert viewer.get_parameters('/throttle.speed_limit') == {'/throttle.speed_limit': 3.5}


def test_bytes_that_are_no_message_reach_no_node(served, viewer):
    channel = viewer.advertise('/speed_limit', 'std_msgs/Float32')
    for cdr in (b'', b'\0', EMPTY, EMPTY + b'\0\0'):
        viewer.publish(channel, cdr)
    wait_for(lambda: len(viewer.statuses) == 4, what='four warnings')
    assert all('/speed_limit: a message cannot be decoded' in told for told in viewer.statuses)
    assert served.graph.nodes['throttle'].exit_code is None


@pytest.mark.parametrize(
    ('topic', 'kind', 'encoding', 'told'),
    [
        ('/cmd/steering', 'sensor_msgs/msg/JointState', 'cdr', 'must be one of speed_limit, '),
        ('/cmd_vel', 'std_msgs/msg/Float32', 'cdr', 'it must be geometry_msgs/msg/Twist'),
        ('/cmd_vel', 'geometry_msgs/msg/Twist', 'json', 'its encoding is json; it must be cdr'),
    ],
)
def test_what_viewers_may_not_publish_is_refused_and_told(viewer, topic, kind, encoding, told):
    viewer.advertise(topic, kind, encoding)
    wait_for(lambda: viewer.statuses, what='a warning')
    assert viewer.statuses[0].startswith(f'{topic} is not published: ')
    assert told in viewer.statuses[0]


def test_clicks_that_every_3d_panel_announces_are_refused_without_a_word(viewer):
    for topic in ('/clicked_point', '/initialpose', '/move_base_simple/goal'):
        viewer.advertise(topic, 'geometry_msgs/msg/PoseStamped')
    viewer.advertise('/cmd/steering', 'sensor_msgs/msg/JointState')
    wait_for(lambda: viewer.statuses, what='the warning of the last one')
    assert len(viewer.statuses) == 1
    assert viewer.statuses[0].startswith('/cmd/steering')


def test_a_viewer_is_a_planner_from_its_first_command_to_the_end_of_its_connection(served):
    with FoxgloveClient(served.port) as viewer:
        channel = viewer.advertise('/cmd_vel', 'geometry_msgs/Twist')
        viewer.advertise('/speed_limit', 'std_msgs/Float32')
        wait_for(lambda: served.node.count_publishers('/speed_limit'), what='the next publisher')
        assert not served.node.count_publishers('/cmd_vel')
        viewer.publish(channel, STANDING)
        wait_for(lambda: served.node.count_publishers('/cmd_vel'), what='the publisher')
    wait_for(lambda: not served.node.count_publishers('/cmd_vel'), what='its end')


def test_parameters_are_read_set_and_refused_with_the_reason(viewer):
    def known():
        return '/throttle.kp' in viewer.get_parameters()

    wait_for(known, what='the parameters of the throttle node')
    assert {'/bridge.port', '/steering.model', '/odometry.path_step'} < viewer.parameters.keys()
    # A whole number, as JavaScript sends it, sets a parameter of floating point.
    assert viewer.set_parameter('/throttle.kp', 1) == 1.0
    assert viewer.set_parameter('/throttle.kp', 0.5) == 0.5
    for name, value, told in (
        ('/throttle.speed_limit', 999.0, 'out of range'),
        ('/throttle.law', 'nonsense', 'must be one of'),
        ('/throttle.kp', 'nonsense', 'could not convert'),
        ('/bridge.port', 1, 'read-only'),
        ('/bridge.nothing', 1, 'there is no such parameter'),
    ):
        viewer.statuses.clear()
        assert viewer.set_parameter(name, value) != value
        wait_for(lambda: viewer.statuses, what='a warning')
        assert viewer.statuses[0].startswith(f'{name} was not set: ')
        assert told in viewer.statuses[0]


def test_pages_of_foxglove_may_connect_and_those_of_other_sites_not(served):
    with FoxgloveClient(served.port, origin='https://app.foxglove.dev') as viewer:
        wait_for(lambda: viewer.info, what='the greeting')
    for headers in (
        {'origin': 'http://evil.example'},
        {'origin': 'http://a.lan', 'host': 'a.lan'},
    ):
        with pytest.raises(websocket.WebSocketBadStatusException, match='403'):
            FoxgloveClient(served.port, **headers)


def test_a_port_in_use_ends_the_node_with_one_line(served):
    result = run_verb('foxglove', '--ros-args', '-p', f'port:={served.port}')
    assert result.returncode == 2
    assert result.stderr == (
        f'sim_bridge: Foxglove: port {served.port} on 127.0.0.1 is in use: end the other program '
        'or choose another port\n'
    )


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--foxglove', '0'], '--foxglove is 0; it must be 1..65535'),
        (['--foxglove', '4567'], '--foxglove 4567 is the --port of the bridge; choose another'),
        (['--foxglove'], 'install it with: pip install foxglove-sdk'),
    ],
)
def test_drive_refuses_what_cannot_be_served(monkeypatch, words, told, capsys):
    monkeypatch.setitem(sys.modules, 'foxglove', None)
    assert main(['drive', *words]) == 2
    text = capsys.readouterr().err
    assert text.startswith('sim-bridge drive: ')
    assert told in text
    assert text.count('\n') == 1
