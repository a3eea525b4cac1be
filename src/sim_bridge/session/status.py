# SPDX-License-Identifier: Apache-2.0
"""Status of a car and of all cars together: state, counters, figures of a fleet. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any


class State(Enum):
    """State of a car, as diagnostics name it."""

    WAITING = 'waiting for telemetry'
    ABSENT = 'waiting for the nodes'
    DRIVING = 'driving'
    HELD = 'held: emergency stop'
    DEGRADED = 'late commands: rolling with zero throttle'
    STOPPED = 'stopped: no fresh command'
    PAUSED = 'paused'
    MANUAL = 'driven by hand'
    UNREADABLE = 'telemetry cannot be read'


@dataclass
class Counters:
    """Numbers of events so far. One set may serve several schedulers after each other.

    takeovers: times that driving passed from the network to a person, since the last reset of the
    simulator, as the score of the embedded simulator counts. See `takeovers.py`.
    """

    telemetry: int = 0
    answers: int = 0
    timeouts: int = 0
    late_commands: int = 0
    rejected_commands: int = 0
    superseded: int = 0
    keepalives: int = 0
    bad_packets: int = 0
    takeovers: int = 0


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
