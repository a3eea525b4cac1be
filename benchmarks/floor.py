# SPDX-License-Identifier: Apache-2.0
"""Floor of the latency: the time to decode a frame and run the network, without anything else."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from steering_net.inference.predictor import Predictor, default_model, load_predictor
from steering_net.vision.jpeg import decode_jpeg


class Floor:
    """Decode, preprocess and LiteRT in a plain loop, one frame after the other."""

    def __init__(self, frames: Sequence[bytes], *, as_it_drives: bool = False) -> None:
        """The network has weights of 32 bits, or, `as_it_drives`, those of its LiteRT file."""
        cv2.setNumThreads(1)
        self._frames = frames
        self._predictor = load_predictor() if as_it_drives else _with_32_bits()
        self._next = 0
        self.run(1.0)

    def run(self, seconds: float, hz: float | None = None) -> list[float]:
        """Return the time of each frame, s; with `hz` at most so many frames per second."""
        times_s = []
        until_s = time.perf_counter() + seconds
        while (started_s := time.perf_counter()) < until_s:
            self._predictor.predict(decode_jpeg(self._frames[self._next % len(self._frames)]))
            times_s.append(time.perf_counter() - started_s)
            self._next += 1
            if hz:
                time.sleep(max(0.0, 1.0 / hz - times_s[-1]))
        return times_s


def _with_32_bits() -> Predictor:
    """Return the shipped network, plainly converted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(default_model(), folder))
        shutil.copy(default_model().with_suffix('.json'), folder)
        return load_predictor(copy)
