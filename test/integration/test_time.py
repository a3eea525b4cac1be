# SPDX-License-Identifier: Apache-2.0
"""The driven path has one length, at every pace of the drive and of a replay."""

import json
import math
import time
from contextlib import contextmanager

import pytest
import rclpy
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile

from helpers.graph import Graph
from helpers.ros import started_node
from helpers.waiting import wait_for
from sim_bridge.process import ManagedProcess

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

PART, LAP = ('--seconds', '6'), ('--laps', '1')
LIMIT = 'speed_limit:=13.4'
SIMULATED = 'use_sim_time:=true'


@contextmanager
def odometry(*words):
    """An odometry node, and the messages that it publishes so far."""
    process = ManagedProcess('odometry', ['odometry', '--ros-args', *words])
    heard = []
    try:
        with started_node('witness') as node:
            node.create_subscription(Odometry, 'odom', heard.append, QoSProfile(depth=1000))
            wait_for(lambda: node.count_publishers('odom'), what='the odometry node')
            yield node, heard
    finally:
        process.ask_to_end()
        process.wait(10.0)


def finish(node, process, heard):
    """Take all messages until a process has ended."""
    while drain(node, heard) or process.exit_code is None:
        pass
    assert process.exit_code == 0


def drain(node, heard):
    """Take the messages of a tenth of a second; whether there were any."""
    before, until_s = len(heard), time.monotonic() + 0.1
    while time.monotonic() < until_s:
        rclpy.spin_once(node, timeout_sec=0.02)
    return len(heard) > before


def length_m(heard):
    places = [one.pose.pose.position for one in heard]
    points = [(0.0, 0.0), *((place.x, place.y) for place in places)]
    return sum(map(math.dist, points, points[1:]))


def driven(report, words, *options, bag=None):
    """Path length of a drive, and the distance that the simulator measured, m."""
    parameters = (SIMULATED,) if words else ()
    throttle = (*parameters, LIMIT)
    with Graph(bridge=parameters, steering=parameters, throttle=throttle) as graph:
        recorder = bag and ManagedProcess('recorder', ['record', str(bag)])
        with odometry(*words) as (node, heard):
            wait_for(lambda: node.count_subscribers('vehicle/twist'))
            if bag:
                wait_for(lambda: graph.state()['cars'][0]['nodes']['recorder'] == 'ready')
            time.sleep(1.0)
            command = ['simulate', '--url', graph.url(), '--report', str(report), *options]
            finish(node, ManagedProcess('simulator', command), heard)
        if bag:
            recorder.ask_to_end()
            recorder.wait(10.0)
    return length_m(heard), json.loads(report.read_text(encoding='utf-8'))['distance_m']


def replayed(bag, rate):
    """Path length of a replay, m, without the path that was recorded."""
    with odometry('-p', SIMULATED) as (node, heard):
        words = ['replay', str(bag), '--clock', '--rate', str(rate), '--topics', 'vehicle/twist']
        replay = ManagedProcess('replay', words)
        finish(node, replay, heard)
    return length_m(heard)


@pytest.mark.faults
@pytest.mark.parametrize('end', [PART, LAP])
def test_path_is_as_long_at_every_pace(tmp_path, end):
    bag = tmp_path / 'bag'
    lengths_m = {}
    lengths_m['drive'], distance_m = driven(tmp_path / 'drive.json', (), *end, bag=bag)
    simulated = ('-p', SIMULATED)
    fast_m, fast_distance_m = driven(tmp_path / 'fast.json', simulated, '--fast', *end)
    for rate in (0.5, 1.0, 2.0):
        lengths_m[f'replay at rate {rate}'] = replayed(bag, rate)
    print('measured, m:', lengths_m, {'simulator': distance_m})
    print('measured, m: drive --fast', fast_m, {'simulator': fast_distance_m})
    assert distance_m > 15.0
    assert fast_m == pytest.approx(fast_distance_m, rel=0.01)
    for length in lengths_m.values():
        assert length == pytest.approx(distance_m, rel=0.01)
