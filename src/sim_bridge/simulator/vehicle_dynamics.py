# SPDX-License-Identifier: Apache-2.0
"""The car: the bicycle model with the throttle and brake of the real simulator's Unity car. Pure.

The origin is the real car's: the front axle lies 1.27 m ahead of it, the rear axle 1.60 m behind.
Forces are fitted to recordings of the real simulator. The car accelerates with 5.2 m/s^2 from a
standstill, coasts down with 0.1 1/s, and brakes with about 6.5 m/s^2 at any brake position. Its
traction control gives the full torque only a second after the car was put down, as in the source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from sim_bridge.simulator.track import Projection, Track
from steering_net.bicycle_model import advance, rear_axle_mps
from steering_net.vehicle import (
    BRAKE_GRIP_MPS2,
    BRAKE_MPS2,
    DRAG_1PS,
    DRIVE_MPS2,
    GRAVITY_MPS2,
    MASS_KG,
    MAX_STEERING_RAD,
    REAR_AXLE_M,
    REVERSE_BELOW_MPS,
    REVERSE_MPS2,
    TOP_SPEED_MPS,
    WHEELBASE_M,
    Pose,
)


@dataclass(frozen=True)
class CarParams:
    """Limits and forces of the car, SI. The defaults are those of the real simulator's car.

    brake_force_n is the force of the full brake torque; the tyres transmit at most
    brake_grip_mps2. lateral_grip_mps2 bounds speed * yaw rate at top speed on the level: the car
    understeers at this bound, which is assumed to be 0.8 g. Downforce, m/s^2 per m/s, presses it
    down, so that it is smaller at less speed. Where the road bends up so much that v^2 * bend
    exceeds suspension_mps2, the car bottoms out and loses bottoming times the rest; these two fit
    the speeds of two recordings.
    """

    mass_kg: float = MASS_KG
    max_steering_rad: float = MAX_STEERING_RAD
    top_speed_mps: float = TOP_SPEED_MPS
    reverse_below_mps: float = REVERSE_BELOW_MPS
    drive_force_n: float = MASS_KG * DRIVE_MPS2
    reverse_force_n: float = MASS_KG * REVERSE_MPS2
    brake_force_n: float = MASS_KG * BRAKE_MPS2
    brake_grip_mps2: float = BRAKE_GRIP_MPS2
    lateral_grip_mps2: float = 7.85
    downforce_1ps: float = 0.1
    drag_1ps: float = DRAG_1PS
    traction_s: float = 1.0
    suspension_mps2: float = 4.0
    bottoming: float = 20.0


@dataclass(frozen=True)
class CarState:
    """Position, heading and speed of the car's origin, and the brake torque.

    speed_mps is signed and negative in reverse. brake_held (0..1) is the brake torque that still
    acts on the wheels: see `step`. traction (0..1) is the share of the torque that the traction
    control passes on.
    """

    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float = 0.0
    brake_held: float = 0.0
    traction: float = 1.0

    @property
    def pose(self) -> Pose:
        """Position and heading."""
        return Pose(self.x_m, self.y_m, self.yaw_rad)


class Slope(NamedTuple):
    """The road under the car: pitch, rad, nose up, and how much it bends up ahead, 1/m."""

    pitch_rad: float = 0.0
    bend_1pm: float = 0.0


LEVEL_ROAD = Slope()


def slope_under(track: Track, place: Projection, yaw_rad: float) -> Slope:
    """Return the road under a car at a place of a track with this heading."""
    return Slope(track.posture(place, yaw_rad).pitch_rad, track.bend_1pm(place.s_m))


def standing_at(pose: Pose, traction: float = 0.0) -> CarState:
    """Return a car at rest without brake torque; a drive begins without traction."""
    return CarState(*pose, traction=traction)


def step(
    state: CarState,
    steering_rad: float,
    throttle: float,
    dt_s: float,
    params: CarParams,
    grade: float = 0.0,
    slope: Slope = LEVEL_ROAD,
) -> CarState:
    """Return the state `dt_s` later (0.001-0.05 s) under one command.

    steering_rad: left positive, clipped to the largest angle, acts at once.
    throttle: -1..1. A negative throttle brakes while the car drives forward faster than
    `reverse_below_mps`; otherwise it pulls the car backwards.
    grade: rise over run of the road in the direction of the car's nose, positive uphill; only
    gravity heeds it. slope: the road of a track with terrain, which adds to it.

    As in Unity, every step above that speed sets the brake torque anew, and below it a negative
    throttle clears the torque. So a brake that is pressed when the car falls below that speed
    stays pressed, whatever positive throttle follows, until the next negative throttle.
    """
    throttle = max(-1.0, min(1.0, throttle))
    force_n, brake_held = _pedals(state, throttle, params)
    force_n *= state.traction
    force_n -= params.mass_kg * GRAVITY_MPS2 * math.sin(math.atan(grade) + slope.pitch_rad)
    speed_mps = _speed_after(state.speed_mps, force_n, brake_held, dt_s, params)
    too_much_mps2 = speed_mps * speed_mps * slope.bend_1pm - params.suspension_mps2
    if too_much_mps2 > 0.0:
        lost_mps = params.bottoming * too_much_mps2 * dt_s
        speed_mps = math.copysign(max(0.0, abs(speed_mps) - lost_mps), speed_mps)
    effective_rad = _effective_steering_rad(steering_rad, speed_mps, slope.pitch_rad, params)
    # The speed is that of the origin, which moves faster in a turn than the rear axle does.
    distance_m = rear_axle_mps(speed_mps, effective_rad) * dt_s * math.cos(slope.pitch_rad)
    pose = advance(state.pose, effective_rad, distance_m)
    traction = min(1.0, state.traction + dt_s / params.traction_s)
    return CarState(*pose, speed_mps, brake_held, traction)


def _pedals(state: CarState, throttle: float, params: CarParams) -> tuple[float, float]:
    """Return the force on the driven wheels, N, and the brake torque, 0..1."""
    drive_n = max(0.0, throttle) * params.drive_force_n
    pressed = max(0.0, -throttle)
    if state.speed_mps > params.reverse_below_mps:
        return drive_n, pressed
    if pressed > 0.0:
        return -pressed * params.reverse_force_n, 0.0
    return drive_n, state.brake_held


def _speed_after(
    speed_mps: float, force_n: float, brake_held: float, dt_s: float, params: CarParams
) -> float:
    """Return the signed speed after drive, drag and brake; the brake never reverses the car."""
    free_mps = speed_mps + dt_s * (force_n / params.mass_kg - params.drag_1ps * speed_mps)
    braking_mps2 = min(brake_held * params.brake_force_n / params.mass_kg, params.brake_grip_mps2)
    left_mps = max(0.0, abs(free_mps) - braking_mps2 * dt_s)
    return math.copysign(min(left_mps, params.top_speed_mps), free_mps)


def _effective_steering_rad(
    steering_rad: float, speed_mps: float, pitch_rad: float, params: CarParams
) -> float:
    """Return the steering within the lock and the tyres' grip, rad."""
    bound_rad = params.max_steering_rad
    at_top = GRAVITY_MPS2 + params.downforce_1ps * params.top_speed_mps
    pressed = GRAVITY_MPS2 * math.cos(pitch_rad) + params.downforce_1ps * abs(speed_mps)
    grip_mps2 = params.lateral_grip_mps2 * pressed / at_top
    # Largest curvature of the origin's path that the tyres allow, times the lever to that path.
    lever = REAR_AXLE_M * grip_mps2 / max(speed_mps * speed_mps, 1e-3)
    if lever < 1.0:
        slip_rad = math.asin(lever)
        bound_rad = min(bound_rad, math.atan(math.tan(slip_rad) * WHEELBASE_M / REAR_AXLE_M))
    return max(-bound_rad, min(bound_rad, steering_rad))
