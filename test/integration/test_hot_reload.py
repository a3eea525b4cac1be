# SPDX-License-Identifier: Apache-2.0
"""Another network takes over while the car drives; what cannot drive changes nothing."""

import time
from contextlib import ExitStack

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from helpers.graph import Graph
from helpers.lazy import keras
from helpers.ros import started_node
from helpers.talking_simulator import TalkingSimulator
from helpers.waiting import wait_for
from steering_net.inference.predictor import KerasPredictor, load_predictor
from steering_net.model_io.litert_converter import probe_frames
from steering_net.ros.qos import NEWEST
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg

pytestmark = pytest.mark.real_time

FRAMES = [encode_jpeg(frame) for frame in probe_frames()]
PERIOD_S = 1 / 30


def mean_network():
    """A network whose answer is that of no other: the mean brightness."""
    frame = keras.Input((66, 200, 3))
    mean = keras.layers.GlobalAveragePooling2D()(frame)
    dense = keras.layers.Dense(1)
    model = keras.Model(frame, dense(mean))
    dense.set_weights([np.full((3, 1), 0.2, np.float32), np.full(1, 0.1, np.float32)])
    return model


class Drive:
    """A car that drives at 30 frames/s, and a person who sets parameters meanwhile."""

    def __init__(self, graph):
        self.graph = graph
        self.simulator = TalkingSimulator(graph.url())
        self.simulator.open(FRAMES[0])
        self.steered = []
        self._ending = ExitStack()
        self.person = self._ending.enter_context(started_node('person'))
        self.client = AsyncParameterClient(self.person, 'steering')
        self.values = {}
        self.person.create_subscription(DiagnosticArray, 'diagnostics', self._keep, NEWEST)
        wait_for(self.client.services_are_ready)

    def _keep(self, message):
        (status,) = message.status
        if status.hardware_id == 'steering':
            self.values = {pair.key: pair.value for pair in status.values}

    def frame(self):
        """One frame, and its answer, at the pace of a simulator."""
        due_s = time.monotonic() + PERIOD_S
        number = len(self.steered) % len(FRAMES)
        self.steered.append((number, self.simulator.ask(FRAMES[number]).steering_rad))
        while (left_s := due_s - time.monotonic()) > 0:
            rclpy.spin_once(self.person, timeout_sec=left_s)

    def until(self, condition, what):
        def driven():
            self.frame()
            return condition()

        return wait_for(driven, what=what)

    def set(self, **values):
        """Set parameters at once while driving on: (accepted, reason)."""
        parameters = [Parameter(name, value=value) for name, value in values.items()]
        future = self.client.set_parameters_atomically(parameters)
        self.until(future.done, 'the answer of the node')
        return future.result().result.successful, future.result().result.reason

    def get(self, name):
        future = self.client.get_parameters([name])
        self.until(future.done, 'the answer of the node')
        return future.result().values[0].string_value

    def close(self):
        self.simulator.leave()
        self._ending.close()


@pytest.fixture
def drive(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    with Graph() as graph:
        driven = Drive(graph)
        yield driven
        driven.close()


def test_network_is_exchanged_between_two_frames_and_only_for_one_that_drives(drive, tmp_path):
    old = load_predictor(camera='autonomous')
    path, broken = tmp_path / 'mean.keras', tmp_path / 'broken.tflite'
    mean_network().save(path)
    broken.write_bytes(b'1234TFL3 and nothing more')
    drive.until(lambda: len(drive.steered) >= 50, 'frames before the exchange')
    assert drive.set(model='/nowhere/net.keras') == (
        False,
        'there is no model file /nowhere/net.keras',
    )
    assert drive.set(profile='coarse')[1].startswith("unknown profile 'coarse'")

    assert drive.set(model=str(broken))[0]
    drive.until(lambda: drive.values.get('refused'), 'the refusal')
    assert 'broken.tflite is not a LiteRT model' in drive.values['refused']
    assert drive.get('model') == 'default'
    assert drive.values['model'] == 'pilotnet.keras'

    before = len(drive.steered)
    assert drive.set(model=str(path)) == (True, '')
    drive.until(lambda: drive.values['model'] == 'mean.keras', 'the new network')
    assert (drive.values['refused'], drive.get('model')) == ('', str(path))
    told = len(drive.steered)
    drive.until(lambda: len(drive.steered) >= told + 10, 'frames steered by the new network')

    expected = [
        [predictor.predict(decode_jpeg(jpeg)) for jpeg in FRAMES]
        for predictor in (old, KerasPredictor(path, camera='autonomous'))
    ]
    angles = [angle for _, angle in drive.steered]
    by_old, by_new = (
        np.isclose(angles, [of_frame[n] for n, _ in drive.steered], atol=1e-3)
        for of_frame in expected
    )
    # A frame that a busy machine answered too late has the steering of one before it.
    late = ~(by_old | by_new)
    assert all(np.isclose(expected, angle, atol=1e-3).any() for angle in np.array(angles)[late])
    switch = int(by_new.argmax())
    assert switch > before
    assert not by_new[:switch].any()
    assert not by_old[switch:].any()
    assert by_new[switch:].sum() >= 5
    # As few are late while the network is exchanged as before it.
    assert late[before:].mean() <= late[:before].mean() + 0.1
