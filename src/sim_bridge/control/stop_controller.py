# SPDX-License-Identifier: Apache-2.0
"""Throttle for a car with one axis for accelerator, brake and reverse gear: stop and hold. Pure.

In the simulator a negative throttle brakes only while the car drives forward faster than
`REVERSE_BELOW_MPS`. Otherwise it pulls backwards, even if the car already rolls backwards. A brake
stays pressed until the next negative throttle if it is pressed when the car falls below that speed
and released in the same physics step. The reported speed has no sign.

So below that speed the accelerator and the reverse gear slow the car down and hold it; a
controller of the signed speed chooses between them. On slopes too steep for the reverse gear the
brake keeps the car at that speed. It is left pressed if the frame rate is high enough to hit the
right step.
"""

from __future__ import annotations

import math

from sim_bridge.control.speed_estimator import SpeedEstimator
from steering_net.vehicle import (
    BRAKE_GRIP_MPS2,
    DRAG_1PS,
    DRIVE_MPS2,
    PHYSICS_STEP_S,
    REVERSE_BELOW_MPS,
    REVERSE_MPS2,
)

RELEASE_THROTTLE = -0.01
"""Throttle that releases a brake that stayed pressed, if it acts in one physics step."""

PROBE_THROTTLE = 1.0
"""Throttle that shows the direction of a car: on every slope a car that drives forward then gains
speed, and a car that rolls backwards loses speed."""
_PROBE_S = 0.09
"""Duration of this throttle."""
_PROBE_REPORTS = 1.5
"""The same duration in reports of the speed, which are rare at low frame rates."""
_NUDGE_THROTTLE = 0.1
_NUDGE_S = 0.25
"""Throttle that shows the direction of a slow car, and its duration."""
_ASSUMED_S = 5.0
"""Time for which a car that did not react counts as driving forward."""

SLOW_MPS = 0.15
"""Speed below which the direction does not matter."""

WALKING_MPS = 0.5
"""Speed below which PROBE_THROTTLE is too strong."""

_BACKWARD_MPS = 0.2
"""Largest speed backwards that a negative throttle may cause."""
_HELD_MPS2 = 2.0
"""Least deceleration by a brake that is held."""
_GAIN_1PS = 2.0
"""Deceleration per speed while the car comes to rest."""
_GAIN_PER_PERIOD = 0.4
"""The same per frame, because more would oscillate at low frame rates."""
_DEAD_THROTTLE = 0.02
"""A smaller throttle is sent as 0."""
_CLIMBING_THROTTLE = 0.6
"""Throttle that moves a car on every slope of up to 30 %."""
_STUCK_S = 0.5
"""Time after which the brake of a car that stands in spite of such a throttle may be pressed."""
_LIGHT_BRAKE = -0.1
"""Throttle on steep slopes near the threshold: it presses the brake in about half of the steps."""
_STEEP_LIMIT_MPS = 2.5
"""Largest speed that an attempt to leave the brake pressed may cause."""


class StopController:
    """Chooses the throttle for the simulator. One per car.

    `measure` takes every reported speed. `drive` and `stop` then return the throttle to send.
    """

    def __init__(self) -> None:
        self._estimator = SpeedEstimator()
        self._catch = _BrakeCatch()
        self._speed_mps = 0.0
        self._brake_may_be_held = False
        self._free_reports = 0
        self._standing_since_s: float | None = None
        self._release_until_s = -math.inf
        self._probing_since_s: float | None = None
        self._assumed_until_s = -math.inf

    def measure(self, now_s: float, speed_mps: float) -> None:
        """Take a reported speed, 0 or more, at a time of any monotonic clock."""
        self._estimator.measure(now_s, speed_mps)
        self._catch.measure(speed_mps)
        if self._brake_may_be_held and not self._catch.is_under_way:
            self._check_brake(speed_mps)
        self._speed_mps = speed_mps

    @property
    def signed_mps(self) -> float:
        """Newest reported speed, negative if the car moves backwards.

        A fast car moves forward unless the opposite is certain. For a slow one, which may have
        turned around just now, the likelier direction counts.
        """
        is_slow = self._speed_mps < REVERSE_BELOW_MPS
        likely_back = is_slow and self._estimator.speed_mps < 0.0
        return -self._speed_mps if likely_back or self._estimator.is_backward else self._speed_mps

    def expected_mps(self, now_s: float) -> float:
        """Return the speed that the next telemetry should report, 0 or more."""
        return abs(self._estimator.next_speed_mps(now_s))

    def _check_brake(self, speed_mps: float) -> None:
        """Find out that no brake is held: the car moves and hardly slows down."""
        slowed_mps = self._speed_mps - speed_mps
        rolls = SLOW_MPS / 10.0 < speed_mps < REVERSE_BELOW_MPS
        is_free = rolls and slowed_mps < _HELD_MPS2 * self._estimator.period_s
        self._free_reports = self._free_reports + 1 if is_free else 0
        if self._free_reports == 2:
            self._brake_may_be_held = False

    def forget(self) -> None:
        """Forget the direction, because a person has driven the car."""
        self._estimator.forget()

    def stop(self, now_s: float) -> float:
        """Return the throttle that brakes to a standstill and holds the car there."""
        return self._sent(self._braking(now_s, 1.0))

    def drive(self, now_s: float, throttle: float) -> float:
        """Return the throttle for a commanded one, -1..1; a negative one never reverses.

        A car that rolls backwards is driven forward with full throttle. A brake that stayed
        pressed is released before the car drives off.
        """
        rolls_back = self._estimator.is_backward and self._speed_mps > SLOW_MPS
        if throttle < 0.0:
            return self._sent(self._braking(now_s, 1.0 if rolls_back else -throttle))
        self._catch.end()
        if throttle > 0.0 and self._must_release(now_s, throttle):
            self._standing_since_s = None
            self._release_until_s = now_s + PHYSICS_STEP_S
        if throttle > 0.0 and now_s < self._release_until_s:
            return self._sent(RELEASE_THROTTLE)
        return self._sent(1.0 if rolls_back and throttle > 0.0 else throttle)

    def reverse(self, now_s: float, throttle: float) -> float:
        """Return the throttle for a commanded one, -1..1, of a car that is to drive backwards.

        A negative throttle first brakes a car that drives forward, then pulls backwards.
        """
        if throttle < 0.0 and self.signed_mps > REVERSE_BELOW_MPS:
            return self._sent(self._braking(now_s, -throttle))
        self._catch.end()
        return self._sent(throttle)

    def _must_release(self, now_s: float, throttle: float) -> bool:
        """Whether the brake may be held, or the car stands in spite of its throttle."""
        if self._brake_may_be_held and self._speed_mps < REVERSE_BELOW_MPS:
            return True
        if self._speed_mps > SLOW_MPS or throttle < _CLIMBING_THROTTLE:
            self._standing_since_s = None
            return False
        if self._standing_since_s is None:
            self._standing_since_s = now_s
        return now_s - self._standing_since_s > _STUCK_S

    def _braking(self, now_s: float, strength: float) -> float:
        """Return the throttle that brakes with 0..1 of the brake's force and holds the car."""
        estimator = self._estimator
        if self._must_probe(now_s):
            return PROBE_THROTTLE
        speed_mps, slope_mps2 = estimator.next_speed_mps(now_s), estimator.slope_mps2
        if self._catch.is_under_way:
            return 0.0
        if slope_mps2 > REVERSE_MPS2 and estimator.is_forward:
            return self._on_steep_fall(speed_mps, slope_mps2, strength)
        if speed_mps > REVERSE_BELOW_MPS:
            return -strength
        throttle = _resting_throttle(
            speed_mps, slope_mps2, strength * BRAKE_GRIP_MPS2, self._gain_1ps
        )
        if throttle >= 0.0:
            return throttle
        return max(throttle, self._least_throttle()) or self._nudge(now_s)

    def _nudge(self, now_s: float) -> float:
        """Return a weak throttle in every second interval if the direction is unknown; else 0."""
        is_due = now_s % (2.0 * _NUDGE_S) < _NUDGE_S
        is_unknown = self._speed_mps > SLOW_MPS and not self._estimator.is_certain
        return _NUDGE_THROTTLE if is_due and is_unknown else 0.0

    def _least_throttle(self) -> float:
        """Return the throttle -1..0 that cannot drive the car backwards before the next report."""
        estimator = self._estimator
        lowest_mps = self._speed_mps if estimator.is_forward else -self._speed_mps
        if not estimator.was_certain or lowest_mps < -_BACKWARD_MPS:
            return 0.0
        spare_mps2 = (lowest_mps + _BACKWARD_MPS) / (2.0 * estimator.period_s or 1.0)
        return max(-1.0, min(0.0, -(spare_mps2 + estimator.slope_mps2) / REVERSE_MPS2))

    def _must_probe(self, now_s: float) -> bool:
        """Whether to find out the direction first. A car that does not react drives forward."""
        if self._estimator.is_certain or self._speed_mps <= WALKING_MPS:
            self._probing_since_s = None
            return False
        if now_s < self._assumed_until_s:
            return False
        if self._probing_since_s is None:
            self._probing_since_s = now_s
        if now_s - self._probing_since_s < max(
            _PROBE_S, _PROBE_REPORTS * self._estimator.period_s
        ):
            return True
        if not self._estimator.assume_forward():
            return True
        self._assumed_until_s, self._probing_since_s = now_s + _ASSUMED_S, None
        return False

    @property
    def _gain_1ps(self) -> float:
        period_s = self._estimator.period_s
        return min(_GAIN_1PS, _GAIN_PER_PERIOD / period_s) if period_s > 0.0 else _GAIN_1PS

    def _on_steep_fall(self, speed_mps: float, slope_mps2: float, strength: float) -> float:
        """Return the throttle where the reverse gear is too weak: the brake keeps the speed."""
        if self._speed_mps > REVERSE_BELOW_MPS + SLOW_MPS:
            self._catch.end()
            return -strength
        reach_mps = slope_mps2 * 2.0 * (self._estimator.period_s + PHYSICS_STEP_S)
        if REVERSE_BELOW_MPS + reach_mps < _STEEP_LIMIT_MPS and self._catch.aim():
            return 0.0
        return _LIGHT_BRAKE if speed_mps > REVERSE_BELOW_MPS - SLOW_MPS else -1.0

    def _sent(self, throttle: float) -> float:
        if self._speed_mps > REVERSE_BELOW_MPS:
            self._brake_may_be_held = throttle < 0.0
        elif throttle < 0.0:
            self._brake_may_be_held = False
        elif self._catch.is_under_way:
            self._brake_may_be_held = True
        self._estimator.command(throttle, brake_held=self._brake_may_be_held)
        return throttle


def _resting_throttle(
    speed_mps: float, slope_mps2: float, most_mps2: float, gain_1ps: float
) -> float:
    """Return the throttle -1..1 that brings a signed speed to 0 against slope and drag.

    The deceleration is `gain_1ps` times the speed, at most `most_mps2`.
    """
    wanted_mps2 = max(-most_mps2, min(most_mps2, -gain_1ps * speed_mps))
    pedals_mps2 = wanted_mps2 - slope_mps2 + DRAG_1PS * speed_mps
    throttle = pedals_mps2 / (DRIVE_MPS2 if pedals_mps2 > 0.0 else REVERSE_MPS2)
    return max(-1.0, min(1.0, throttle)) if abs(throttle) > _DEAD_THROTTLE else 0.0


class _BrakeCatch:
    """Leaves the brake pressed on a slope where the brake keeps the car at the threshold's speed.

    The brake stays pressed if one command presses it in the last physics step above the threshold
    and the next command releases it in the next step. The steps cannot be observed. So the second
    command is sent some frames after a frame in which the car became slower, and each attempt that
    fails tries another number of frames.
    """

    _WAITS = 6
    """How many numbers of frames are tried."""
    _FALLEN_MPS = 0.3
    """So far below the threshold, the brake is certainly held."""
    _RISEN_MPS = 0.03
    """So far above the threshold, the attempt has failed."""

    def __init__(self) -> None:
        self._attempts = 0
        self._wait: int | None = None
        self._lowest_mps: float | None = None
        self._speed_mps = self._before_mps = 0.0
        self._is_held = False

    @property
    def is_under_way(self) -> bool:
        """Whether the brake is held, or an attempt to hold it runs."""
        return self._lowest_mps is not None

    def end(self) -> None:
        """End an attempt, or the hold of the brake."""
        self._wait = self._lowest_mps = None
        self._is_held = False

    def measure(self, speed_mps: float) -> None:
        """Take a reported speed, 0 or more."""
        self._before_mps, self._speed_mps = self._speed_mps, speed_mps
        if self._lowest_mps is None:
            return
        self._lowest_mps = min(self._lowest_mps, speed_mps)
        if speed_mps > self._lowest_mps + SLOW_MPS or (
            not self._is_held and speed_mps > REVERSE_BELOW_MPS + self._RISEN_MPS
        ):
            self._attempts += 1
            self.end()
        elif speed_mps < REVERSE_BELOW_MPS - self._FALLEN_MPS:
            self._is_held = True

    def aim(self) -> bool:
        """Whether to release the brake now."""
        fell = self._speed_mps < min(self._before_mps, REVERSE_BELOW_MPS)
        if self._wait is None and fell:
            self._wait = self._attempts % self._WAITS
        if self._wait is None:
            return False
        if self._wait > 0:
            self._wait -= 1
            return False
        self._wait, self._lowest_mps = None, self._speed_mps
        return True
