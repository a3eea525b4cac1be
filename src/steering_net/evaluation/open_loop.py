"""Judge a network on a recording: how near it comes to the driver, and how fast."""

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.data.driving_log import LogError, Series
from steering_net.data.recording import Recording
from steering_net.errors import ImageError
from steering_net.inference.predictor import Predictor
from steering_net.statistics import correlation, percentiles_ms

_LOG = logging.getLogger(__name__)
# Far below what a steering wheel can do: such an output does not depend on the frame.
_CONSTANT_STD_RAD = 1e-4


@dataclass(frozen=True)
class OpenLoop:
    """The report's fields, and the answers (n,) in rad to the frames `indices` (n,)."""

    report: dict[str, Any]
    indices: NDArray[np.intp]
    predicted_rad: Series


def open_loop(predictor: Predictor, recording: Recording) -> OpenLoop:
    """Predict every frame of a recording.

    The report has `frames`; `mae`, `rmse`, `output_std` in rad; `correlation` with the recorded
    steering and `correlation_smoothed` with the recording's target, the centred one-second mean of
    keyed steering (0 where one of both never changes); `constant_output`; `latency_ms` (p50, p99,
    max) of decode, preprocess and network. Frames that cannot be used are left out with a
    warning; LogError if none is left.
    """
    indices, predicted_rad, latencies_s = _predict(predictor, recording)
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
    predictor: Predictor, recording: Recording
) -> tuple[NDArray[np.intp], Series, list[float]]:
    indices, predicted_rad, latencies_s = [], [], []
    reason = ''
    for index in tqdm(range(len(recording)), 'predicting', unit='frame', disable=None):
        try:
            data = recording.load(index)
            started = time.perf_counter()
            steering_rad = predictor.predict(recording.decode(data))
        except ImageError as error:
            _LOG.warning('frame left out: %s', error)
            reason = str(error)
            continue
        latencies_s.append(time.perf_counter() - started)
        indices.append(index)
        predicted_rad.append(steering_rad)
    if not indices:
        raise LogError(f'no image of {recording.name} can be used: {reason}')
    return np.array(indices), np.array(predicted_rad), latencies_s
