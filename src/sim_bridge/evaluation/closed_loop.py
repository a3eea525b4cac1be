# SPDX-License-Identifier: Apache-2.0
"""Drives of a network on embedded tracks, without sockets, nodes or a clock, so they are fast.

Track, camera, JPEG and score are those of the embedded simulator. Every frame is answered before
the next one, so the result depends only on the track and the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_bridge.control.node_throttle import NodeThrottle
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import CLEAR, Weather
from sim_bridge.workers.attempt import WorkError
from steering_net.statistics import autonomy_percent, percentiles_ms
from steering_net.vehicle import within_lock

Steer = Callable[[bytes], float]
"""Function from a frame's JPEG bytes to a steering angle, rad, left positive."""


@dataclass(frozen=True)
class Drive:
    """Result of one drive: the fields of the report, and the path (N, 2), m.

    The path is where the car is after each frame.
    """

    report: dict[str, Any]
    path_m: npt.NDArray[np.float64]


def drive(
    track: TrackName,
    laps: int,
    speed_limit_mps: float,
    steer: Steer,
    longest_s: float,
    weather: Weather = CLEAR,
) -> Drive:
    """Drive `laps` laps of the track with this name, for at most `longest_s` simulated seconds.

    The throttle is that of the throttle node with its default parameters.
    """
    simulator = Simulator(SimulatorOptions(track=track, weather=weather))
    latencies_s: list[float] = []

    def timed(jpeg: bytes) -> float:
        requested_s = time.perf_counter()
        steering_rad = steer(jpeg)
        latencies_s.append(time.perf_counter() - requested_s)
        return steering_rad

    # Where the car is before each frame, and at the end.
    path: list[tuple[float, float]] = []
    started_s = time.perf_counter()
    for _ in driven(simulator, NodeThrottle(speed_limit_mps), timed, longest_s, laps):
        path.append((simulator.car.x_m, simulator.car.y_m))
    path.append((simulator.car.x_m, simulator.car.y_m))
    frames = len(path) - 1
    report = {
        'track': track,
        'weather': str(weather),
        **simulator.score.report(),
        'frames': frames,
        'answers': frames,
        'timeouts': 0,
        'late_commands': 0,
        'latency_ms': percentiles_ms(latencies_s),
        'telemetry_hz': round(frames / (time.perf_counter() - started_s), 1),
    }
    return Drive(report, np.array(path[1:]))


def driven(
    simulator: Simulator,
    throttle: NodeThrottle,
    steer: Steer,
    longest_s: float,
    laps: int | None = None,
) -> Iterator[float]:
    """Drive for `longest_s` simulated seconds or to the end of the laps, frame by frame.

    Yields the steering that `steer` returns for the JPEG of each frame, rad, before the car moves.
    The wheels turn no further than the lock, as behind the bridge.
    A speed limit that the caller sets then counts for this frame.
    """
    while simulator.time_s < longest_s and (laps is None or simulator.score.laps < laps):
        steering_rad = steer(simulator.jpeg())
        yield steering_rad
        speed_mps = abs(simulator.car.speed_mps)
        wheels_rad = within_lock(steering_rad)
        simulator.apply(wheels_rad, throttle(simulator.time_s, speed_mps, wheels_rad))
        simulator.advance()


def summarise(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one report of several drives; its field `tracks` holds the report of each drive.

    Counts, distances and durations are sums, root mean squares are weighted by duration, latency
    and rate are those of the worst drive. A drive with the field `error` counts as failed, and in
    nothing else. Raises WorkError if every drive failed.
    """
    tracks = reports
    reports = [report for report in tracks if 'error' not in report]
    if not reports:
        raise WorkError(f'no track could be driven: {tracks[0]["error"]}')
    duration_s = sum(report['duration_s'] for report in reports)
    total = {
        name: sum(report[name] for report in reports)
        for name in (
            'laps', 'distance_m', 'duration_s', 'lane_departures', 'interventions', 'frames',
            'answers', 'timeouts', 'late_commands',
        )
    }  # fmt: skip
    worst = {
        name: max(report[name] for report in reports)
        for name in ('max_cross_track_m', 'max_speed_mps')
    }
    mean_squares = {
        name: (sum(r[name] ** 2 * r['duration_s'] for r in reports) / duration_s) ** 0.5
        for name in ('rms_cross_track_m', 'steering_rms_rate_radps')
    }
    return {
        **total,
        **worst,
        **mean_squares,
        'autonomy_percent': autonomy_percent(total['interventions'], duration_s),
        'latency_ms': max((r['latency_ms'] for r in reports), key=lambda ms: ms['p99']),
        'telemetry_hz': min(r['telemetry_hz'] for r in reports),
        'failed_tracks': len(tracks) - len(reports),
        'tracks': tracks,
    }
