# SPDX-License-Identifier: Apache-2.0
"""The three nodes in one process drive as three processes do, and end as cleanly."""

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import CompressedImage, JointState

from helpers.graph import Graph
from helpers.network import own_port
from helpers.processes import run_verb
from helpers.talking_simulator import TalkingSimulator
from helpers.tracks import TEST_SEEDS
from helpers.waiting import wait_for
from sim_bridge.nodes.conversions import steering_of
from sim_bridge.process import ManagedProcess
from sim_bridge.simulator.samples import samples
from sim_bridge.topics import COMPRESSED_FRAME, STEERING_COMMAND
from steering_net.inference.predictor import load_predictor
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg

pytestmark = pytest.mark.real_time


def spin(node):
    """Serve what waits for a node."""
    rclpy.spin_once(node, timeout_sec=0.1)


class Together(Graph):
    """The graph as one process."""

    def start(self, name):
        if name == 'bridge':
            words = ['--ros-args', '-p', f'bridge:port:={self.port}']
            self.nodes[name] = ManagedProcess(
                name, ['together', *words, '-p', 'throttle:speed_limit:=10.0']
            )


def test_nodes_in_one_process_drive_and_end_with_a_halted_car():
    jpegs = [encode_jpeg(one.rgb) for one in samples(TEST_SEEDS[0], 5, np.random.default_rng(1))]
    predictor = load_predictor(camera='autonomous')
    with Together() as graph:
        simulator = TalkingSimulator(graph.url())
        simulator.open(jpegs[0])
        orders = [simulator.ask(jpeg) for jpeg in jpegs]
        state = graph.state()
        graph.nodes['bridge'].ask_to_end()
        simulator.pump_until(lambda: not simulator.client.connected)
        assert simulator.client.commands[-1] == (0.0, 0.0)
        assert graph.nodes['bridge'].wait(10.0) == 0
    expected = [predictor.predict(decode_jpeg(jpeg)) for jpeg in jpegs]
    assert [order.steering_rad for order in orders] == pytest.approx(expected, abs=1e-3)
    assert orders[0].throttle == pytest.approx(0.5, abs=1e-3)
    assert state['timeouts'] == 0


def test_listener_that_comes_and_goes_hears_every_frame_and_command(ros_node):
    jpegs = [encode_jpeg(one.rgb) for one in samples(TEST_SEEDS[0], 5, np.random.default_rng(1))]
    with Together() as graph:
        simulator = TalkingSimulator(graph.url())
        simulator.open(jpegs[0])
        before = [simulator.ask(jpeg).steering_rad for jpeg in jpegs]
        frames, commands = [], []
        heard = [
            ros_node.create_subscription(
                CompressedImage, COMPRESSED_FRAME, lambda one: frames.append(bytes(one.data)), 10
            ),
            ros_node.create_subscription(
                JointState, STEERING_COMMAND, lambda one: commands.append(steering_of(one)), 10
            ),
        ]
        wait_for(lambda: all(ros_node.count_publishers(one.topic_name) for one in heard))
        wait_for(lambda: (frames and commands) or not simulator.ask(jpegs[0]) or spin(ros_node))
        during = [simulator.ask(jpeg).steering_rad for jpeg in jpegs]
        last = pytest.approx(during[-1], abs=1e-6)
        wait_for(lambda: spin(ros_node) or (frames[-1], commands[-1]) == (jpegs[-1], last))
        for one in heard:
            ros_node.destroy_subscription(one)
        after = [simulator.ask(jpeg).steering_rad for jpeg in jpegs]
        assert graph.state()['timeouts'] == 0
    assert frames[-5:] == jpegs
    assert commands[-5:] == pytest.approx(during, abs=1e-6)
    assert before == during == after


def test_a_model_that_cannot_be_used_ends_it_with_one_line(tmp_path):
    model = tmp_path / 'bad.tflite'
    model.write_bytes(b'no model')
    result = run_verb('drive', '--one-process', '--model', model, '--port', own_port())
    assert result.returncode == 2
    assert 'bad.tflite' in result.stderr
    assert 'Traceback' not in result.stderr
