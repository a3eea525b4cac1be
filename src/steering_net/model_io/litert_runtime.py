# SPDX-License-Identifier: Apache-2.0
"""LiteRT runtime: runs `.tflite` files, without TensorFlow if ai-edge-litert is installed."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError, one_line
from steering_net.model_io.reader import check_frame_shape
from steering_net.vision.preprocessing import Tensor


class LiteRtModel:
    """A LiteRT network from one frame, float32 of `input_shape` (h, w, c), to one number."""

    def __init__(self, content: Path | bytes, name: str, threads: int = 1) -> None:
        """Load a file, or the content of one. Errors name it `name`.

        Raises ModelError for a file that is no LiteRT network from one float frame to one number.
        """
        source: dict[str, Any] = (
            {'model_content': content}
            if isinstance(content, bytes)
            else {'model_path': str(content)}
        )
        try:
            with _without_native_chatter():
                self._interpreter = _load_interpreter(**source, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(f'{name} is not a LiteRT model: {one_line(error)}') from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        self.input_shape = _check_shapes(inputs, outputs, name)
        self._name = name
        # Views into the interpreter's memory: nothing is copied or allocated for them per frame.
        self._input_view = self._interpreter.tensor(inputs[0]['index'])
        self._output_view = self._interpreter.tensor(outputs[0]['index'])

    def input(self) -> Tensor:
        """Return the memory of the input, float32 (h, w, c), for the caller to fill.

        The caller must not keep it, because `run` fails while it is held.
        """
        frame: Tensor = self._input_view()[0]
        return frame

    def run(self) -> float:
        """Return the network's output for what `input` holds.

        Raises ModelError if an operator fails, which the loading of a file does not show.
        """
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ModelError(f'{self._name} cannot run: {one_line(error)}') from error
        return float(self._output_view().item(0))

    def predict(self, frame: Tensor) -> float:
        """Return the network's output for a frame, float32 (h, w, c)."""
        self.input()[:] = frame
        return self.run()


def _load_interpreter(**arguments: Any) -> Any:
    """Return a LiteRT interpreter, from TensorFlow if ai-edge-litert is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    return Interpreter(**arguments)


@contextlib.contextmanager
def _without_native_chatter() -> Iterator[None]:
    """Discard the message of LiteRT's native code on stderr, because no setting prevents it."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_shapes(inputs: Any, outputs: Any, name: str) -> tuple[int, int, int]:
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f'{name} has {len(inputs)} inputs and {len(outputs)} outputs, not one; of several '
            'outputs `sim-bridge import-model` makes one, from the Keras file'
        )
    if inputs[0]['dtype'] != np.float32 or outputs[0]['dtype'] != np.float32:
        from steering_net.model_io.importers.litert import QUANTISED_ENDS

        raise ModelError(f'{name} cannot drive: {QUANTISED_ENDS}')
    if np.prod(outputs[0]['shape']) != 1:
        raise ModelError(
            f'{name} has the output {tuple(outputs[0]["shape"].tolist())}; it must be one number: '
            '`sim-bridge import-model` makes a network of it that has one, unless its weights are '
            'quantised'
        )
    return check_frame_shape(tuple(int(n) for n in inputs[0]['shape']), name)
