"""Several cars on one port: how their topics are named, and how their figures add up. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sim_bridge.session.response_scheduler import Counters, State

CARS_AT_MOST = 32


def prefixes(cars: int) -> tuple[str, ...]:
    """What each car's topics begin with: nothing for a single one, else `car_1/` and so on."""
    return ('',) if cars == 1 else tuple(f'car_{number}/' for number in range(1, cars + 1))


def frame_prefix(namespace: str) -> str:
    """What the names of transform frames begin with in a node's namespace: `car_1/` or nothing."""
    car = namespace.rpartition('/')[2]
    return f'{car}/' if re.fullmatch(r'car_[0-9]+', car) else ''


def without_car(topic: str) -> str:
    """A topic's full name without the part that says of which car it is."""
    return re.sub(r'/car_[0-9]+/', '/', topic, count=1)


def together(cars: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of all cars as one: those of a single car as they are, else sums and extremes.

    What belongs to one car alone, like its speed, is only in the figures of the single one.
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
            # Every car has a right to its own: the fleet is as fast as its slowest car.
            figure: max((car['latency_ms'][figure] or 0.0 for car in cars), default=0.0) or None
            for figure in ('p50', 'p99', 'max')
        },
        **{counter.name: sum(car[counter.name] for car in cars) for counter in fields(Counters)},
    }
