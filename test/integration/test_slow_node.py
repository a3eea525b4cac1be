# SPDX-License-Identifier: Apache-2.0
"""Lock-step over real sockets and DDS: a slow steering node and the embedded simulator."""

import signal
import subprocess
import time

import pytest
import rclpy
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float32

from helpers.graph import state_of
from helpers.network import own_port
from helpers.processes import start_verb
from helpers.ros import started_node
from helpers.waiting import wait_for
from sim_bridge.process import ManagedProcess
from steering_net.ros.qos import NEWEST

SLOW_S = 1.5


class SlowNodes:
    """Steering and throttle of a car, of which some commands take SLOW_S."""

    def __init__(self, node):
        self.frames = 0
        self.steering = node.create_publisher(JointState, 'cmd/steering', NEWEST)
        self.throttle = node.create_publisher(Float32, 'cmd/throttle', NEWEST)
        node.create_subscription(CompressedImage, 'camera/image_raw/compressed', self.on_frame, 1)

    def on_frame(self, message):
        self.frames += 1
        if self.frames in (15, 30):
            time.sleep(SLOW_S)
        self.throttle.publish(Float32(data=0.3))
        command = JointState(header=message.header, name=['steering'], position=[0.0])
        self.steering.publish(command)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('options', 'is_refused'),
    [(['--fast'], False), pytest.param([], True, marks=pytest.mark.faults)],
)
def test_lock_step_waits_for_slow_commands_if_the_simulator_waits(options, is_refused):
    port = own_port()
    words = ['-p', f'port:={port}', '-p', 'command_timeout:=0.0']
    bridge = ManagedProcess('bridge', ['bridge', '--ros-args', *words])
    try:
        wait_for(lambda: state_of(port), what='an answer')
        with started_node('nodes') as node:
            nodes = SlowNodes(node)
            wait_for(lambda: state_of(port)['ready'], what='readiness')
            words = ['simulate', '--url', f'ws://127.0.0.1:{port}', *options]
            simulator = start_verb(*words, stdout=subprocess.DEVNULL)
            try:
                wait_for(lambda: rclpy.spin_once(node, timeout_sec=1.0) or nodes.frames > 40)
                state = state_of(port)
            finally:
                simulator.send_signal(signal.SIGINT)
                simulator.wait(10.0)
    finally:
        bridge.ask_to_end()
        bridge.wait(10.0)
    if is_refused:
        assert state['reason'].startswith('command_timeout is 0 (lock-step), but the world')
        assert state['timeouts'] >= 2
    else:
        assert (state['timeouts'], state['late_commands'], state['reason']) == (0, 0, '')
