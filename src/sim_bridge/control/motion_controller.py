# SPDX-License-Identifier: Apache-2.0
"""Steering and throttle from the motion that a person or a planner wants. Pure.

`Motion` is what the messages Twist and AckermannDrive say, `Pedals` what a joystick says.
`MotionController` turns both into values for the simulator.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sim_bridge.control.speed_controller import PiController, PiGains, SpeedController
from sim_bridge.control.stop_controller import StopController
from steering_net.vehicle import MAX_STEERING_RAD, REVERSE_BELOW_MPS, TOP_SPEED_MPS, WHEELBASE_M

REVERSE_AT_MOST_MPS = REVERSE_BELOW_MPS
"""Largest speed backwards, because a negative throttle does not brake a car that rolls back."""
STANDING_MPS = 0.05
"""A wanted speed below this means to stop and stand."""
_LEAST_MPS = 1.0
"""Least speed for which a yaw rate is turned into a wheel angle. Below it the car would need ever
larger angles, and at a standstill an infinite one."""


class Pedals(NamedTuple):
    """Wheel angle, left positive, and throttle -1..1; a negative throttle brakes."""

    steering_rad: float
    throttle: float


class Motion(NamedTuple):
    """Wanted speed, negative backwards, and either a wheel angle or a yaw rate, left positive.

    A `steering_rad` of None means that the yaw rate counts.
    """

    speed_mps: float
    steering_rad: float | None = None
    yaw_rate_radps: float = 0.0


DriverCommand = Pedals | Motion


def is_finite(command: DriverCommand) -> bool:
    """Whether all values of a command are numbers that are not infinite."""
    return all(value is None or math.isfinite(value) for value in command)


def wheels_rad(motion: Motion, speed_mps: float) -> float:
    """Return the wheel angle for a motion, at the present signed speed of the car.

    For a yaw rate it is that of the bicycle model. A car that is slower than `_LEAST_MPS`, or that
    still moves against the wanted direction, counts as moving at `_LEAST_MPS` in this direction.
    """
    if motion.steering_rad is not None:
        return _within(motion.steering_rad, MAX_STEERING_RAD)
    direction = -1.0 if motion.speed_mps < 0.0 else 1.0
    ahead_mps = max(_LEAST_MPS, direction * speed_mps)
    wanted_rad = math.atan(WHEELBASE_M * motion.yaw_rate_radps / (direction * ahead_mps))
    return _within(wanted_rad, MAX_STEERING_RAD)


class MotionController:
    """Lets a car follow the newest command of a person. One per car.

    The pedals go through the car's `StopController`, which also decides for the network: a
    negative throttle brakes and never reverses, unless a negative speed is wanted.
    """

    def __init__(self, stop_controller: StopController) -> None:
        self._stop_controller = stop_controller
        self._forward = SpeedController(0.0, pi=PiController(PiGains()))
        self._backward = SpeedController(0.0, pi=PiController(PiGains()))

    def forget(self) -> None:
        """Forget the speed error that was accumulated, because another source has driven."""
        self._forward.forget()
        self._backward.forget()

    def command(self, now_s: float, stamp_s: float, wanted: DriverCommand) -> Pedals:
        """Return what to send for a command, at the newest measured speed.

        now_s: time of the clock of the `StopController`. stamp_s: time of the frame, over which
        the speed error is accumulated.
        """
        pedals = self._stop_controller
        if isinstance(wanted, Pedals):
            steering_rad = _within(wanted.steering_rad, MAX_STEERING_RAD)
            return Pedals(steering_rad, pedals.drive(now_s, _within(wanted.throttle, 1.0)))
        speed_mps = pedals.signed_mps
        steering_rad = wheels_rad(wanted, speed_mps)
        if abs(wanted.speed_mps) < STANDING_MPS:
            self.forget()
            return Pedals(steering_rad, pedals.stop(now_s))
        if wanted.speed_mps > 0.0:
            self._forward.limit_mps = min(wanted.speed_mps, TOP_SPEED_MPS)
            throttle = self._forward.throttle(speed_mps, stamp_s)
            return Pedals(steering_rad, pedals.drive(now_s, throttle))
        self._backward.limit_mps = max(wanted.speed_mps, -REVERSE_AT_MOST_MPS)
        throttle = self._backward.throttle(speed_mps, stamp_s)
        return Pedals(steering_rad, pedals.reverse(now_s, throttle))


def _within(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))
