"""Judge a network on a recording: how near it comes to the driver, and how fast."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.dataset import (
    Log,
    LogError,
    Row,
    Series,
    find_image,
    read_log,
    smooth,
    smoothed_steering_rad,
)
from steering_net.predictor import Predictor
from steering_net.preprocess import ImageError, decode_jpeg

_LOG = logging.getLogger(__name__)
_LOG_NAMES = ('driving_log.csv', 'frames.csv')
_RECORDER_PERIOD_S = 0.1
# Far below what a steering wheel can do: such an output does not depend on the frame.
_CONSTANT_STD_RAD = 1e-4


def open_loop(predictor: Predictor, recording_dir: Path) -> dict[str, Any]:
    """Predict every frame of a folder that holds IMG/ and driving_log.csv or frames.csv.

    Returns `frames`; `mae`, `rmse`, `output_std` in rad; `correlation` with the recorded
    steering and `correlation_smoothed` with its centred one-second mean (0 where one of both
    never changes); `constant_output`; `latency_ms` (p50, p99, max) of decode, preprocess and
    network. Bad rows and images are left out with a warning; LogError if none is good.
    """
    log = _find_log(recording_dir)
    rows, predicted, latencies_ms = _predict(predictor, log)
    recorded = np.array([row.steering_rad for row in rows])
    error = predicted - recorded
    return {
        'frames': len(rows),
        'mae': float(np.mean(np.abs(error))),
        'rmse': float(np.sqrt(np.mean(error**2))),
        'correlation': _correlation(predicted, recorded),
        'correlation_smoothed': _correlation(predicted, _smoothed(rows)),
        'output_std': float(np.std(predicted)),
        'constant_output': bool(np.std(predicted) < _CONSTANT_STD_RAD),
        'latency_ms': {
            'p50': float(np.percentile(latencies_ms, 50)),
            'p99': float(np.percentile(latencies_ms, 99)),
            'max': float(np.max(latencies_ms)),
        },
    }


def _find_log(folder: Path) -> Log:
    for name in _LOG_NAMES:
        if (folder / name).is_file():
            log = read_log(folder / name)
            for bad in log.bad_rows:
                _LOG.warning('%s line %d left out: %s', log.path, bad.line, bad.reason)
            return log
    raise LogError(f'{folder} holds neither {" nor ".join(_LOG_NAMES)}')


def _predict(predictor: Predictor, log: Log) -> tuple[list[Row], Series, Series]:
    rows, predicted, latencies_ms = [], [], []
    for row in log.rows:
        try:
            data = find_image(row.center, log.path.parent).read_bytes()
            started = time.perf_counter()
            steering_rad = predictor.predict(decode_jpeg(data))
        except ImageError as error:
            _LOG.warning('frame left out: %s', error)
            continue
        latencies_ms.append((time.perf_counter() - started) * 1e3)
        rows.append(row)
        predicted.append(steering_rad)
    if not rows:
        raise LogError(f'no image of {log.path} can be used')
    return rows, np.array(predicted), np.array(latencies_ms)


def _smoothed(rows: Sequence[Row]) -> Series:
    if any(row.timestamp_s is not None for row in rows):
        return smoothed_steering_rad(rows)
    times_s = np.arange(len(rows), dtype=np.float64) * _RECORDER_PERIOD_S
    return smooth(times_s, np.array([row.steering_rad for row in rows]))


def _correlation(a: Series, b: Series) -> float:
    if min(np.std(a), np.std(b)) < 1e-12:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
