# SPDX-License-Identifier: Apache-2.0
"""Services of the bridge: every name once, with its type. Pure.

With several cars each name stands in the namespace of its car, as the topics do.
"""

from __future__ import annotations

from dataclasses import dataclass

HOLD = 'hold'
RESET = 'reset'
PAUSE = 'pause'
STEP = 'step'


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service of the bridge: its type `package/srv/Name` and its meaning."""

    type: str
    meaning: str


SERVICES = {
    HOLD: Service(
        type='std_srvs/srv/SetBool',
        meaning='Emergency stop: `true` brakes the car and keeps it standing, `false` releases.',
    ),
    RESET: Service(
        type='std_srvs/srv/Trigger',
        meaning='Puts the car of the embedded simulator back to the start.',
    ),
    PAUSE: Service(
        type='std_srvs/srv/SetBool',
        meaning='`true` lets the embedded simulator stand still, `false` lets it go on.',
    ),
    STEP: Service(
        type='std_srvs/srv/Trigger',
        meaning='Simulates one frame of the paused embedded simulator.',
    ),
}
"""Every service of a drive by its name, without the services that each ROS node has."""
