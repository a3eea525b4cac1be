"""The state of the bridge as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

COUNTERS = {
    'telemetry': 'Telemetry events received.',
    'answers': 'Commands sent in answer to telemetry.',
    'timeouts': 'Answers given without the commands of their frame.',
    'late_commands': 'Steering commands that came after their frame was answered.',
    'rejected_commands': 'Commands that were no finite number.',
    'collapsed': 'Telemetry given up because newer telemetry came.',
    'kicks': 'Commands sent to a simulator that had fallen silent.',
    'bad_packets': 'Telemetry that could not be read.',
}
GAUGES = {
    'ready': 'Whether all nodes are there, 0 or 1.',
    'simulators': 'Connected simulators.',
    'telemetry_hz': 'Telemetry events per second.',
    'speed_mps': 'Speed of the car, m/s.',
    'speed_limit_mps': 'Speed limit, m/s.',
    'recorded_rad': 'Steering of the wheels, rad, left positive.',
    'commanded_rad': 'Steering last commanded, rad, left positive.',
    'throttle': 'Throttle last commanded, -1 to 1.',
}


class _Bridge(Collector):
    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        status = self._status()
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f'sim_bridge_{name}', text, value=status[name])
        for name, text in GAUGES.items():
            if status.get(name) is not None:
                yield GaugeMetricFamily(f'sim_bridge_{name}', text, value=float(status[name]))
        latency = GaugeMetricFamily(
            'sim_bridge_latency_seconds',
            'Time from telemetry to answer over the newest thousand answers.',
            labels=['quantile'],
        )
        for quantile, field in (('0.5', 'p50'), ('0.99', 'p99'), ('1', 'max')):
            value_ms = status['latency_ms'][field]
            if value_ms is not None:
                latency.add_metric([quantile], 1e-3 * value_ms)
        yield latency


def exposition(status: Callable[[], Mapping[str, Any]]) -> Callable[[], bytes]:
    """What writes `status`, as /state.json shows it, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Bridge(status))
    return lambda: generate_latest(registry)
