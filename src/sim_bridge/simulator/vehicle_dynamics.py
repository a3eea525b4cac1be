"""The car: a kinematic bicycle with the pedals of the real simulator's Unity car. Pure.

Its origin is the real car's: the front axle 1.27 m ahead, the rear axle 1.60 m behind. Forces are
fitted to recordings of the real simulator: it pulls 5.2 m/s^2 at standstill, coasts down with
0.1 v per second, and brakes with about 6.5 m/s^2 however far the pedal is pressed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sim_bridge.simulator.track import Pose
from steering_net.vehicle import (
    BRAKE_GRIP_MPS2,
    BRAKE_MPS2,
    DRAG_1PS,
    DRIVE_MPS2,
    GRAVITY_MPS2,
    MAX_STEERING_RAD,
    REAR_AXLE_M,
    REVERSE_BELOW_MPS,
    REVERSE_MPS2,
    TOP_SPEED_MPS,
    WHEELBASE_M,
)


@dataclass(frozen=True)
class CarParams:
    """What the car can do, SI; the defaults are the real simulator's car.

    brake_mps2 is the pedal's full torque, of which the tyres transmit brake_grip_mps2.
    lateral_grip_mps2 bounds speed * yaw rate: beyond it the car understeers.
    """

    wheelbase_m: float = WHEELBASE_M
    rear_axle_m: float = REAR_AXLE_M
    track_width_m: float = 2.0
    mass_kg: float = 1000.0
    max_steering_rad: float = MAX_STEERING_RAD
    top_speed_mps: float = TOP_SPEED_MPS
    reverse_below_mps: float = REVERSE_BELOW_MPS
    drive_force_n: float = 1000.0 * DRIVE_MPS2
    reverse_force_n: float = 1000.0 * REVERSE_MPS2
    brake_force_n: float = 1000.0 * BRAKE_MPS2
    brake_grip_mps2: float = BRAKE_GRIP_MPS2
    lateral_grip_mps2: float = 7.85
    drag_1ps: float = DRAG_1PS


@dataclass(frozen=True)
class CarState:
    """Where the car's origin is and how it moves.

    speed_mps is signed, negative in reverse. brake_held (0..1) is the brake torque that the
    wheels still have: see `step`.
    """

    x_m: float
    y_m: float
    yaw_rad: float
    speed_mps: float = 0.0
    brake_held: float = 0.0

    @property
    def pose(self) -> Pose:
        """Place and heading."""
        return Pose(self.x_m, self.y_m, self.yaw_rad)


def standing_at(pose: Pose) -> CarState:
    """Return a car at rest with a free brake."""
    return CarState(*pose)


def step(
    state: CarState,
    steering_rad: float,
    throttle: float,
    dt_s: float,
    params: CarParams,
    grade: float = 0.0,
) -> CarState:
    """Return the state `dt_s` later (0.001-0.05 s) under one command.

    grade: rise over run of the road in the direction of the car's nose, positive uphill.

    steering_rad: left positive, clipped to the lock, acts at once. throttle -1..1: negative
    brakes while the car drives forward faster than `reverse_below_mps`, and drives it backwards
    otherwise. As in Unity, brake torque is written anew at every step of the first kind, and
    cleared by a negative throttle of the second kind: a brake still pressed when the car falls
    below that speed stays pressed, whatever positive throttle comes, until then.
    """
    throttle = max(-1.0, min(1.0, throttle))
    force_n, brake_held = _pedals(state, throttle, params)
    force_n -= params.mass_kg * GRAVITY_MPS2 * math.sin(math.atan(grade))
    speed_mps = _speed_after(state.speed_mps, force_n, brake_held, dt_s, params)
    moved = _moved(
        state, _path_curvature(steering_rad, speed_mps, params), speed_mps * dt_s, params
    )
    return replace(moved, speed_mps=speed_mps, brake_held=brake_held)


def _pedals(state: CarState, throttle: float, params: CarParams) -> tuple[float, float]:
    """Return the force on the driven wheels and the brake torque (0..1)."""
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
    """Return the signed speed after drive, drag and brake; the brake never turns it around."""
    free_mps = speed_mps + dt_s * (force_n / params.mass_kg - params.drag_1ps * speed_mps)
    braking_mps2 = min(brake_held * params.brake_force_n / params.mass_kg, params.brake_grip_mps2)
    left_mps = max(0.0, abs(free_mps) - braking_mps2 * dt_s)
    return math.copysign(min(left_mps, params.top_speed_mps), free_mps)


def _path_curvature(steering_rad: float, speed_mps: float, params: CarParams) -> float:
    """Return the curvature of the origin's path: the wheels' angle, bounded by the tyres' grip."""
    lock_rad = params.max_steering_rad
    tan = math.tan(max(-lock_rad, min(lock_rad, steering_rad)))
    curvature_1pm = tan / math.hypot(params.wheelbase_m, params.rear_axle_m * tan)
    grip_1pm = params.lateral_grip_mps2 / max(speed_mps * speed_mps, 1e-3)
    return max(-grip_1pm, min(grip_1pm, curvature_1pm))


def _moved(
    state: CarState, curvature_1pm: float, distance_m: float, params: CarParams
) -> CarState:
    """Return the state moved along an arc; the origin slips, for it is ahead of the rear axle."""
    turn_rad = curvature_1pm * distance_m
    slip_rad = math.asin(params.rear_axle_m * curvature_1pm)
    course_rad = state.yaw_rad + slip_rad + turn_rad / 2
    return replace(
        state,
        x_m=state.x_m + distance_m * math.cos(course_rad),
        y_m=state.y_m + distance_m * math.sin(course_rad),
        yaw_rad=math.remainder(state.yaw_rad + turn_rad, math.tau),
    )
