# SPDX-License-Identifier: Apache-2.0
"""Open-loop evaluation: a network's steering for recorded frames against the recorded steering."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.data.driving_log import LogError, Series
from steering_net.data.frame_files import LeftOut
from steering_net.data.recording import Recording
from steering_net.errors import ImageError
from steering_net.inference.predictor import Predictor
from steering_net.statistics import correlation, percentiles_ms

# An output that varies less does not depend on the frame.
_CONSTANT_STD_RAD = 1e-4


@dataclass(frozen=True)
class OpenLoop:
    """The fields of the report, and the predicted steering (n,), rad, of the frames `indices`."""

    report: dict[str, Any]
    indices: NDArray[np.intp]
    predicted_rad: Series


def open_loop(
    predictor: Predictor, recording: Recording, clock: Callable[[], float] = time.perf_counter
) -> OpenLoop:
    """Predict the steering of every frame of a recording, and compare.

    The report has `frames`; `mae`, `rmse`, `output_std` in rad; `correlation` with the recorded
    steering and `correlation_smoothed` with the recording's target, the centred one-second mean of
    keyboard steering (0 if one of both series is constant); `constant_output`; `latency_ms` (p50,
    p99, max) of decoding, preprocessing and network. A frame that cannot be used is left out with
    a warning. Raises LogError if none is left. `clock`: time in s, for the latencies.
    """
    indices, predicted_rad, latencies_s = _predict(predictor, recording, clock)
    recorded_rad = recording.steering_rad[indices]
    target_rad = recording.target_rad[indices]
    error_rad = predicted_rad - recorded_rad
    report = {
        'frames': len(indices),
        'mae': float(np.mean(np.abs(error_rad))),
        'rmse': float(np.sqrt(np.mean(error_rad**2))),
        'correlation': correlation(predicted_rad, recorded_rad) or 0.0,
        'correlation_smoothed': correlation(predicted_rad, target_rad) or 0.0,
        'output_std': float(np.std(predicted_rad)),
        'constant_output': bool(np.std(predicted_rad) < _CONSTANT_STD_RAD),
        'latency_ms': percentiles_ms(latencies_s),
    }
    return OpenLoop(report, indices, predicted_rad)


def _predict(
    predictor: Predictor, recording: Recording, clock: Callable[[], float]
) -> tuple[NDArray[np.intp], Series, list[float]]:
    indices, predicted_rad, latencies_s = [], [], []
    left_out = LeftOut(recording.name)
    for index in tqdm(range(len(recording)), 'predicting', unit='frame', disable=None):
        try:
            data = recording.load(index)
            started_s = clock()
            steering_rad = predictor.predict(recording.decode(data))
        except ImageError as error:
            left_out.add(recording.frame_names[index], error)
            continue
        latencies_s.append(clock() - started_s)
        indices.append(index)
        predicted_rad.append(steering_rad)
    if not indices:
        raise LogError(f'no image of {recording.name} can be used{left_out.last_reason}')
    left_out.warn()
    return np.array(indices), np.array(predicted_rad), latencies_s
