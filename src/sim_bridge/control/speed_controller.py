# SPDX-License-Identifier: Apache-2.0
"""Throttle from speed and speed limit. Pure: time steps are passed in.

There are two control laws. `proportional` is the law of the well-known drive.py, and settles below
the limit. `PiController` reaches the limit. A negative throttle means to brake; `StopController`
keeps it from driving the car backwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from steering_net.bicycle_model import curvature_1pm

LATERAL_LIMIT_MPS2 = 4.0
"""Default of the largest lateral acceleration, m/s^2."""

_LONGEST_STEP_S = 0.2
"""Longest time step. A pause of the simulator is not time in which the car accelerates."""


def proportional(speed_mps: float, limit_mps: float) -> float:
    """Return the throttle `1 - v / limit`, clamped to -1..1; -1 for a limit of 0."""
    if limit_mps <= 0.0:
        return -1.0
    return max(-1.0, min(1.0, 1.0 - speed_mps / limit_mps))


@dataclass(frozen=True)
class PiGains:
    """kp: throttle per m/s of error. ki: throttle per m of accumulated error. Neither negative."""

    kp: float = 0.5
    ki: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f'{name} is {value}, it must not be negative')


class PiController:
    """Proportional-integral control of the speed, with clamped integration against wind-up.

    The integral is kept while the output is saturated in the direction of the error (Astrom and
    Hagglund, PID Controllers, 2nd ed., section 3.5), so that the speed does not exceed the limit
    after a long acceleration.
    """

    def __init__(self, gains: PiGains) -> None:
        self.gains = gains
        self._integral = 0.0

    def throttle(self, speed_mps: float, limit_mps: float, dt_s: float) -> float:
        """Return the throttle -1..1 for a speed measured dt_s seconds after the one before."""
        error = limit_mps - speed_mps
        wanted = self.gains.kp * error + self.gains.ki * self._integral
        if -1.0 < wanted < 1.0 or wanted * error < 0.0:
            self._integral += error * dt_s
            wanted = self.gains.kp * error + self.gains.ki * self._integral
        return max(-1.0, min(1.0, wanted))


def curve_limit_mps(limit_mps: float, steering_rad: float, lateral_mps2: float) -> float:
    """Return the speed limit, lowered so that v^2 / R <= `lateral_mps2`; 0 means no such limit."""
    curvature = abs(curvature_1pm(steering_rad))
    if lateral_mps2 <= 0.0 or curvature < 1e-6:
        return limit_mps
    return min(limit_mps, math.sqrt(lateral_mps2 / curvature))


class SpeedController:
    """Controls the speed of one car.

    `limit_mps`, `lateral_limit_mps2` (0: no limit in curves) and `steering_rad`, the present angle
    of the wheels, may be set at any time.
    """

    def __init__(
        self,
        limit_mps: float,
        lateral_limit_mps2: float = 0.0,
        pi: PiController | None = None,
    ) -> None:
        """`pi`: controller to use; None for the proportional law."""
        self.limit_mps = limit_mps
        self.lateral_limit_mps2 = lateral_limit_mps2
        self.steering_rad = 0.0
        self._pi = pi
        self._last_s: float | None = None

    def set_gains(self, gains: PiGains | None) -> None:
        """Use a PiController with these gains, or the proportional law.

        A PiController that is in use keeps what it has accumulated.
        """
        if gains is None:
            self._pi = None
        elif self._pi is None:
            self._pi = PiController(gains)
        else:
            self._pi.gains = gains

    def forget(self) -> None:
        """Forget the speed error that was accumulated, because another source has driven."""
        self._last_s = None
        if self._pi is not None:
            self._pi = PiController(self._pi.gains)

    @property
    def uses_steering(self) -> bool:
        """Whether `steering_rad` has an effect."""
        return self.lateral_limit_mps2 > 0.0

    def throttle(self, speed_mps: float, now_s: float) -> float:
        """Return the throttle -1..1, negative to brake, for a speed measured now.

        A clock that was set back counts as no time.
        """
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        dt_s = max(0.0, min(passed_s, _LONGEST_STEP_S))
        self._last_s = now_s
        limit_mps = curve_limit_mps(self.limit_mps, self.steering_rad, self.lateral_limit_mps2)
        if self._pi is not None:
            return self._pi.throttle(speed_mps, limit_mps, dt_s)
        return proportional(speed_mps, limit_mps)
