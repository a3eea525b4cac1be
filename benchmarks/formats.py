# SPDX-License-Identifier: Apache-2.0
"""Time and steering of a network with weights of 32, 16 and 8 bits, and without XNNPACK.

    python benchmarks/formats.py [--model FILE.keras] [--seconds 20]

The network with 32 bits drives the embedded lake and jungle. Each frame is shown to all variants
in turn, on one thread. Times are processor time; a difference is that to the steering with 32
bits.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from options import at_least

from sim_bridge.control.node_throttle import NodeThrottle
from sim_bridge.evaluation.closed_loop import driven
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from steering_net.inference.predictor import model_path
from steering_net.model_io.profiles import choose_profile
from steering_net.model_io.reader import read_network
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.jpeg import decode_jpeg
from steering_net.vision.preprocessing import Tensor
from steering_net.vision.view import View

TRACKS = ('lake', 'jungle')
LIMIT_MPS = 6.7


class Variant:
    """A LiteRT network, its processor times in ms, and its outputs."""

    def __init__(self, content: bytes, resolver: OpResolverType = OpResolverType.AUTO) -> None:
        self.size_kb = len(content) / 1e3
        self._interpreter = Interpreter(
            model_content=content, num_threads=1, experimental_op_resolver_type=resolver
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]['index']
        self._output = self._interpreter.get_output_details()[0]['index']
        self.times_ms: list[float] = []
        self.outputs: list[float] = []

    def __call__(self, frame: Tensor) -> float:
        """Return the output for a frame, float32 (h, w, c)."""
        self._interpreter.set_tensor(self._input, frame[None])
        started_s = time.thread_time()
        self._interpreter.invoke()
        self.times_ms.append(1e3 * (time.thread_time() - started_s))
        self.outputs.append(float(self._interpreter.get_tensor(self._output).item()))
        return self.outputs[-1]


def converter(model: Any) -> Callable[[list[Any], list[Any]], bytes]:
    """Return a function from optimisations and types of weights to a LiteRT file."""
    frame = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    single = keras.Model(frame, model(frame))

    def convert(optimizations: list[Any], types: list[Any]) -> bytes:
        lite = tf.lite.TFLiteConverter.from_keras_model(single)
        lite.optimizations, lite.target_spec.supported_types = optimizations, types
        with contextlib.redirect_stdout(io.StringIO()):
            return bytes(lite.convert())

    return convert


def main() -> None:
    """Drive, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--model', default='default', help='network, a .keras file')
    parser.add_argument(
        '--seconds', type=at_least(0.1), default=20.0, help='simulated time on each track'
    )
    options = parser.parse_args()
    path = model_path(options.model)
    network = read_network(path)
    convert, smaller = converter(network.model), [tf.lite.Optimize.DEFAULT]
    variants = {
        '32 bits': Variant(convert([], [])),
        '16 bits': Variant(convert(smaller, [tf.float16])),
        '8 bits': Variant(convert(smaller, [])),
        '32 bits, no XNNPACK': Variant(
            convert([], []), OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    }
    profile = choose_profile(None, network.origin.input_shape, path, network.origin).profile
    view, scale_rad = View(profile, AUTONOMOUS, network.origin.rows), profile.steering_scale_rad
    frame = np.empty(profile.output_shape(), np.float32)

    def steer(jpeg: bytes) -> float:
        view(decode_jpeg(jpeg), out=frame)
        outputs = [variant(frame) for variant in variants.values()]
        return scale_rad * outputs[0]

    for track in TRACKS:
        simulator = Simulator(SimulatorOptions(track=track))
        for _ in driven(simulator, NodeThrottle(LIMIT_MPS), steer, options.seconds):
            pass
    whole = variants['32 bits']
    print(
        f'{len(whole.outputs)} frames       kB   p50 ms  times as fast   difference, rad: p50  p99'
    )
    for name, variant in variants.items():
        median_ms = np.median(variant.times_ms)
        differences = np.abs(np.subtract(variant.outputs, whole.outputs) * scale_rad)
        p50, p99 = np.percentile(differences, (50, 99))
        print(
            f'{name:21}{variant.size_kb:6.0f}{median_ms:8.3f}'
            f'{np.median(whole.times_ms) / median_ms:10.2f}{p50:23.4f}{p99:9.4f}'
        )


if __name__ == '__main__':
    main()
