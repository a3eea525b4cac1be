# SPDX-License-Identifier: Apache-2.0
"""Status of all cars together: the figures of a fleet from those of its cars. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sim_bridge.session.response_scheduler import Counters, State


def together(cars: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of all cars: of a single car its own, of several cars sums and extremes.

    A figure that belongs to one car alone, such as its speed, is left out for several cars.
    """
    if len(cars) == 1:
        return {name: value for name, value in cars[0].items() if name != 'car'}
    driving = sum(car['state'] == State.DRIVING.value for car in cars)
    reason = '; '.join(f'car {car["car"]}: {car["trouble"]}' for car in cars if car['trouble'])
    return {
        'ready': all(car['ready'] for car in cars),
        'state': f'{driving} of {len(cars)} cars driving',
        'reason': reason,
        'trouble': reason,
        'telemetry_hz': round(sum(car['telemetry_hz'] for car in cars), 1),
        'latency_ms': {
            # The slowest car counts, because each car needs its own commands in time.
            figure: max((car['latency_ms'][figure] or 0.0 for car in cars), default=0.0) or None
            for figure in ('p50', 'p99', 'max')
        },
        **{counter.name: sum(car[counter.name] for car in cars) for counter in fields(Counters)},
    }
