# SPDX-License-Identifier: Apache-2.0
"""The state of the bridge and its cars in the format of Prometheus; a label names the car."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

COUNTERS = {
    'telemetry': 'Telemetry events received.',
    'answers': 'Answers to telemetry: commands, and `manual`.',
    'timeouts': 'Answers given without the commands of their frame.',
    'late_commands': 'Steering commands that came after their frame was answered.',
    'rejected_commands': 'Commands that are not finite.',
    'superseded': 'Telemetry without an answer, because newer telemetry or a reset came first.',
    'keepalives': 'Commands sent to a simulator that had fallen silent.',
    'bad_packets': 'Telemetry that could not be read.',
    'takeovers': 'Times that a person took over from the network, since the last reset.',
}
GAUGES = {
    'telemetry_hz': 'Telemetry events per second.',
    'speed_mps': 'Speed of the car, m/s.',
    'speed_limit_mps': 'Speed limit, m/s.',
    'commanded_rad': 'Newest steering command, rad, left positive.',
    'throttle': 'Newest throttle command, -1 to 1.',
    'uncertainty': 'How unsure the network is, 0 to 1; 0.5 is the threshold.',
    'held': 'Whether the car is held, 0 or 1.',
}
OF_THE_BRIDGE = {
    'ready': 'Whether all nodes are ready, 0 or 1.',
    'simulators': 'Connected simulators.',
}
QUANTILES = (('0.5', 'p50'), ('0.99', 'p99'), ('1', 'max'))

_Family = CounterMetricFamily | GaugeMetricFamily


class _Bridge(Collector):
    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def collect(self) -> Iterator[_Family]:
        status = self._status()
        cars = status['cars']
        for name, text in OF_THE_BRIDGE.items():
            yield GaugeMetricFamily(f'sim_bridge_{name}', text, value=float(status[name]))
        for name, text in COUNTERS.items():
            yield _filled(CounterMetricFamily(f'sim_bridge_{name}', text, labels=['car']), cars)
        for name, text in GAUGES.items():
            gauge = _filled(GaugeMetricFamily(f'sim_bridge_{name}', text, labels=['car']), cars)
            if gauge.samples:
                yield gauge
        yield _latency(cars)


def _filled(family: _Family, cars: Sequence[Mapping[str, Any]]) -> _Family:
    """Add a sample per car, except for values that are unknown."""
    field = family.name.removeprefix('sim_bridge_')
    for car in cars:
        if car[field] is not None:
            family.add_metric([str(car['car'])], float(car[field]))
    return family


def _latency(cars: Sequence[Mapping[str, Any]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        'sim_bridge_latency_seconds',
        'Time from telemetry to answer over the newest thousand answers.',
        labels=['car', 'quantile'],
    )
    for car in cars:
        for quantile, field in QUANTILES:
            value_ms = car['latency_ms'][field]
            if value_ms is not None:
                family.add_metric([str(car['car']), quantile], 1e-3 * value_ms)
    return family


def exposition(status: Callable[[], Mapping[str, Any]]) -> Callable[[], bytes]:
    """Return a function that writes `status`, the content of /state.json, for Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Bridge(status))
    return lambda: generate_latest(registry)
