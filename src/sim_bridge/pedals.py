"""Braking and pulling away with a car whose one pedal axis also is its reverse gear.

In the simulator a negative throttle brakes above a certain speed and drives backwards below it,
and a brake that was pressed at the moment the car fell below that speed stays pressed until the
next negative throttle. The reported speed has no sign. Pure.
"""

from __future__ import annotations

from sim_bridge.protocol import REVERSE_BELOW_MPS

CREEP_THROTTLE = -0.3
"""Reverse torque that takes the last walking speed off the car without driving it backwards."""

STANDSTILL_MPS = 0.25
"""Below this the car is let roll out: with an unsigned speed, more would risk reversing."""

RELEASE_THROTTLE = -0.01
"""One answer of this frees a brake that stayed pressed."""


class Pedals:
    """Chooses throttle values with the memory that the car's quirks need; one per car."""

    def __init__(self) -> None:
        self._standing = False
        self._brake_may_be_held = False

    def stop(self, speed_mps: float) -> float:
        """Throttle that brakes to a standstill and holds there, without reversing."""
        if speed_mps > REVERSE_BELOW_MPS:
            self._standing = False
            throttle = -1.0
        elif self._standing or speed_mps < STANDSTILL_MPS:
            self._standing = True
            throttle = 0.0
        else:
            throttle = CREEP_THROTTLE
        self._remember(speed_mps, throttle)
        return throttle

    def drive(self, speed_mps: float, throttle: float) -> float:
        """`throttle` itself, but for one answer that frees a held brake before pulling away."""
        self._standing = False
        held = self._brake_may_be_held and speed_mps < REVERSE_BELOW_MPS
        chosen = RELEASE_THROTTLE if held and throttle > 0.0 else throttle
        self._remember(speed_mps, chosen)
        return chosen

    def _remember(self, speed_mps: float, throttle: float) -> None:
        if speed_mps > REVERSE_BELOW_MPS:
            self._brake_may_be_held = throttle < 0.0
        elif throttle < 0.0:
            self._brake_may_be_held = False
