"""Throttle values for a car whose one pedal axis is accelerator, brake and reverse gear. Pure.

In the simulator a negative throttle brakes only while the car drives forward faster than
`REVERSE_BELOW_MPS`. Otherwise it pulls backwards, however fast the car already rolls backwards.
A brake that is pressed when the car falls below that speed, and let go in that very physics
step, stays pressed until the next negative throttle. The reported speed has no sign.

So below that speed the car is slowed down and held by the accelerator and the reverse gear, which
a controller of the signed speed chooses. On falls that are too steep for the reverse gear the
brake keeps the car at that speed, and is left pressed where the frame rate allows to aim for it.
"""

from __future__ import annotations

import math

from sim_bridge.control.speed_estimator import PHYSICS_STEP_S, SpeedEstimator
from steering_net.vehicle import (
    BRAKE_GRIP_MPS2,
    DRAG_1PS,
    DRIVE_MPS2,
    REVERSE_BELOW_MPS,
    REVERSE_MPS2,
)

RELEASE_THROTTLE = -0.01
"""Frees a brake that stayed pressed, if it acts in one physics step."""

PROBE_THROTTLE = 1.0
"""Shows the direction of a car of which nothing is known: forward it then gains speed, backwards
it loses some, on every slope."""
_PROBE_S = 0.09
"""Time for which the push lasts."""
_PROBE_LOOKS = 1.5
"""The same in reports of the speed, which are rare at low frame rates."""
_NUDGE_THROTTLE = 0.1
_NUDGE_S = 0.25
"""What shows the direction of a car that walks, and for how long."""
_ASSUMED_S = 5.0
"""A car that did not react counts as driving forward for so long."""

SLOW_MPS = 0.15
"""Below this it does not matter in which direction the car moves."""

WALKING_MPS = 0.5
"""Below this a push would be too much to find out the direction with."""

_BACKWARD_MPS = 0.2
"""No negative throttle may make the car roll backwards faster than this."""
_HELD_MPS2 = 2.0
"""A brake that is held slows the car down by more than this."""
_GAIN_1PS = 2.0
"""Deceleration per speed while the car comes to rest."""
_GAIN_PER_PERIOD = 0.4
"""The same per frame: more would swing at low frame rates."""
_DEAD_THROTTLE = 0.02
"""A smaller throttle is sent as 0."""
_CLIMBING_THROTTLE = 0.6
"""This moves a car on every slope of up to 30 %."""
_STUCK_S = 0.5
"""A car that stands for so long in spite of such a throttle may have its brake pressed."""
_LIGHT_BRAKE = -0.1
"""Brake for steep falls: about as often pressed as not, in steps near the threshold."""
_STEEP_LIMIT_MPS = 2.5
"""An attempt to leave the brake pressed may not make the car faster than this."""


class StopController:
    """Chooses the throttle that the simulator is sent. One per car.

    `measure` takes every reported speed; `drive` and `stop` then return the throttle to send.
    """

    def __init__(self) -> None:
        self._estimator = SpeedEstimator()
        self._catch = _BrakeCatch()
        self._speed_mps = 0.0
        self._brake_may_be_held = False
        self._free_looks = 0
        self._standing_since_s: float | None = None
        self._release_until_s = -math.inf
        self._probing_since_s: float | None = None
        self._assumed_until_s = -math.inf

    def measure(self, now_s: float, speed_mps: float) -> None:
        """Take in a reported speed, 0 or more, at a time of any monotonic clock."""
        self._estimator.measure(now_s, speed_mps)
        self._catch.measure(speed_mps)
        if self._brake_may_be_held and not self._catch.is_under_way:
            self._look_at_brake(speed_mps)
        self._speed_mps = speed_mps

    def expected_mps(self, now_s: float) -> float:
        """The speed that the next telemetry should report, 0 or more."""
        return abs(self._estimator.next_speed_mps(now_s))

    def _look_at_brake(self, speed_mps: float) -> None:
        """A car that moves and hardly slows down has no brake that is held."""
        slowed_mps = self._speed_mps - speed_mps
        rolls = SLOW_MPS / 10.0 < speed_mps < REVERSE_BELOW_MPS
        is_free = rolls and slowed_mps < _HELD_MPS2 * self._estimator.period_s
        self._free_looks = self._free_looks + 1 if is_free else 0
        if self._free_looks == 2:
            self._brake_may_be_held = False

    def forget(self) -> None:
        """Forget the direction, because a person drove the car meanwhile."""
        self._estimator.forget()

    def stop(self, now_s: float) -> float:
        """Throttle that brakes to a standstill and holds the car there."""
        return self._sent(self._braking(now_s, 1.0))

    def drive(self, now_s: float, throttle: float) -> float:
        """Throttle for a wish of -1..1; a negative one brakes and never drives backwards.

        A car that rolls backwards is driven forward with full force. A brake that stayed pressed
        is freed before the car pulls away.
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

    def _must_release(self, now_s: float, throttle: float) -> bool:
        """Whether the brake may be held, or the car stands still in spite of its throttle."""
        if self._brake_may_be_held and self._speed_mps < REVERSE_BELOW_MPS:
            return True
        if self._speed_mps > SLOW_MPS or throttle < _CLIMBING_THROTTLE:
            self._standing_since_s = None
            return False
        if self._standing_since_s is None:
            self._standing_since_s = now_s
        return now_s - self._standing_since_s > _STUCK_S

    def _braking(self, now_s: float, strength: float) -> float:
        """Throttle that slows the car down, with 0..1 of the brake's force, and holds it."""
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
        """Now and then a weak throttle, for a car that walks in an unknown direction; else 0."""
        is_due = now_s % (2.0 * _NUDGE_S) < _NUDGE_S
        is_unknown = self._speed_mps > SLOW_MPS and not self._estimator.is_certain
        return _NUDGE_THROTTLE if is_due and is_unknown else 0.0

    def _least_throttle(self) -> float:
        """The throttle -1..0 that cannot drive the car backwards before the next look at it."""
        estimator = self._estimator
        lowest_mps = self._speed_mps if estimator.is_forward else -self._speed_mps
        if not estimator.was_certain or lowest_mps < -_BACKWARD_MPS:
            return 0.0
        spare_mps2 = (lowest_mps + _BACKWARD_MPS) / (2.0 * estimator.period_s or 1.0)
        return max(-1.0, min(0.0, -(spare_mps2 + estimator.slope_mps2) / REVERSE_MPS2))

    def _must_probe(self, now_s: float) -> bool:
        """Whether to find out the direction first; a car that does not react drives forward."""
        if self._estimator.is_certain or self._speed_mps <= WALKING_MPS:
            self._probing_since_s = None
            return False
        if now_s < self._assumed_until_s:
            return False
        if self._probing_since_s is None:
            self._probing_since_s = now_s
        if now_s - self._probing_since_s < max(_PROBE_S, _PROBE_LOOKS * self._estimator.period_s):
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
        """Throttle where the reverse gear is too weak: the brake holds the threshold's speed."""
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
    """Throttle -1..1 that brings a signed speed to 0 against slope and drag.

    The deceleration is `gain_1ps` times the speed, at most `most_mps2`.
    """
    wanted_mps2 = max(-most_mps2, min(most_mps2, -gain_1ps * speed_mps))
    pedals_mps2 = wanted_mps2 - slope_mps2 + DRAG_1PS * speed_mps
    throttle = pedals_mps2 / (DRIVE_MPS2 if pedals_mps2 > 0.0 else REVERSE_MPS2)
    return max(-1.0, min(1.0, throttle)) if abs(throttle) > _DEAD_THROTTLE else 0.0


class _BrakeCatch:
    """Leaves the brake pressed on a fall where the car is kept at the threshold's speed.

    That takes a command that presses it in the last physics step above the threshold, and one that
    does not in the next. The steps cannot be seen. So the second command is sent a number of
    frames after a frame in which the car became slower, and each attempt that fails tries another
    number.
    """

    _WAITS = 6
    """Numbers of frames to try."""
    _FALLEN_MPS = 0.3
    """So far below the threshold, the brake is held."""
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
        """Whether the brake is held, or may turn out to be."""
        return self._lowest_mps is not None

    def end(self) -> None:
        """Give up an attempt, or a brake that is held."""
        self._wait = self._lowest_mps = None
        self._is_held = False

    def measure(self, speed_mps: float) -> None:
        """Take in a reported speed, 0 or more."""
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
        """Whether to let the brake go now."""
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
