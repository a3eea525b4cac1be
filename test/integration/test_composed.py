# SPDX-License-Identifier: Apache-2.0
"""The three nodes in one process drive as three processes do, and end as cleanly."""

import numpy as np
import pytest

from helpers.graph import Graph
from helpers.network import own_port
from helpers.processes import run_verb
from helpers.talking_simulator import TalkingSimulator
from sim_bridge.process import ManagedProcess
from sim_bridge.simulator.camera import encode_jpeg
from sim_bridge.simulator.expert import TEST_SEEDS, samples
from steering_net.inference.predictor import load_predictor
from steering_net.vision.preprocessing import decode_jpeg

pytestmark = pytest.mark.real_time


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


def test_a_model_that_cannot_be_used_ends_it_with_one_line(tmp_path):
    model = tmp_path / 'bad.tflite'
    model.write_bytes(b'no model')
    result = run_verb('drive', '--one-process', '--model', model, '--port', own_port())
    assert result.returncode == 2
    assert 'bad.tflite' in result.stderr
    assert 'Traceback' not in result.stderr
