"""Stopping and holding on slopes: the pedals against the embedded car, over frame rates and delays.

The car acts in physics steps of 20 ms. Like the simulator it sends one telemetry per answer: an
answer that is delayed by some frames delays the next telemetry too.
"""

import itertools
import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_bridge.pedals import Pedals
from sim_bridge.protocol import REVERSE_BELOW_MPS
from sim_bridge.speed_control import Cruise, PiController, PiGains
from sim_bridge.track_sim.car import CarParams, CarState, step
from steering_net.vehicle import DRAG_1PS, DRIVE_MPS2, GRAVITY_MPS2

STEP_S = 0.02
SETTLED_S = 8.0
HELD_S = 30.0
CAR = CarParams()


@dataclass(frozen=True)
class Moment:
    """The car at one physics step, and the throttle that acted in it."""

    time_s: float
    speed_mps: float
    place_m: float
    throttle: float


class World:
    """A car on a slope, and the loop of telemetry and answers.

    `before`: how many seconds pass before the first question, so that frames and steps differ.
    """

    def __init__(self, grade, speed_mps, hz, delay, params=CAR, before_s=0.0):
        self.grade, self.hz, self.delay, self.params = grade, hz, delay, params
        self.car = CarState(0.0, 0.0, 0.0, speed_mps)
        self.throttle = 0.0
        self.frame_s = self.time_s = before_s
        self.moments = []

    def frame(self):
        """One frame of the simulator: physics first, then telemetry."""
        self.frame_s += 1.0 / self.hz
        while self.time_s + STEP_S <= self.frame_s:
            self.time_s += STEP_S
            self.car = step(self.car, 0.0, self.throttle, STEP_S, self.params, self.grade)
            self.moments.append(
                Moment(self.time_s, self.car.speed_mps, self.car.x_m, self.throttle)
            )

    def run(self, seconds, answer, pedals):
        """Let `answer(now_s, speed_mps)` choose the throttle for so long."""
        until_s = self.frame_s + seconds
        self.frame()
        while self.frame_s < until_s:
            pedals.measure(self.frame_s, abs(self.car.speed_mps))
            throttle = answer(self.frame_s, abs(self.car.speed_mps))
            for _ in range(self.delay):
                self.frame()
            self.throttle = throttle
            self.frame()


def stopped(grade, speed_mps, hz, delay, params=CAR, *, past_s=1.0, before_s=0.0):
    """What a car does from the begin of a stop on.

    For `past_s` before it the car is driven, with the throttle that would keep its speed.
    """
    world, pedals = World(grade, speed_mps, hz, delay, params, before_s), Pedals()
    slope_mps2 = -GRAVITY_MPS2 * math.sin(math.atan(grade))
    throttle = max(0.0, min(1.0, (DRAG_1PS * speed_mps - slope_mps2) / DRIVE_MPS2))
    if past_s:
        world.run(past_s, lambda now, _: pedals.drive(now, throttle), pedals)
        world.moments.clear()
    world.run(SETTLED_S + HELD_S, lambda now, _: pedals.stop(now), pedals)
    return world.moments


def check(moments, grade, held=0.3):
    start_s = moments[0].time_s
    settled = [one for one in moments if one.time_s > start_s + SETTLED_S]
    for one, after in itertools.pairwise(moments):
        assert not (after.throttle < 0.0 and one.speed_mps < -0.2), f'driven backwards: {after}'
    if grade >= -0.12:
        fastest = max(settled, key=lambda one: abs(one.speed_mps))
        assert abs(fastest.speed_mps) <= held, f'does not stand: {fastest}'
    fastest = max(settled, key=lambda one: one.speed_mps)
    assert fastest.speed_mps <= 2.5, f'too fast: {fastest}'
    assert rolled_back_m(moments) <= 1.5


def rolled_back_m(moments):
    """How far the car falls back behind the furthest place, once it has stood."""
    stood = next((n for n, one in enumerate(moments) if abs(one.speed_mps) < 0.3), len(moments))
    furthest_m, back_m = -math.inf, 0.0
    for one in moments[stood:]:
        furthest_m = max(furthest_m, one.place_m)
        back_m = max(back_m, furthest_m - one.place_m)
    return back_m


GRADES = [-0.30, -0.25, -0.20, -0.15, -0.12, -0.08, -0.04, -0.02, 0.0, 0.02, 0.04, 0.08, 0.15, 0.22, 0.30]
SPEEDS = [0.0, 1.0, 2.2, 3.0, 6.7, 13.4]

if __name__ == '__main__':
    import sys
    bad = 0; n = 0
    worst = {}
    for grade, speed, sign, hz, delay in itertools.product(GRADES, SPEEDS, (1, -1), (10, 17, 30, 60), (0, 1, 2, 3)):
        if sign < 0 and speed == 0: continue
        n += 1
        m = stopped(grade, sign * speed, hz, delay)
        try:
            check(m, grade)
        except AssertionError as e:
            bad += 1
            if bad < 40: print(grade, sign * speed, hz, delay, str(e).split('\n')[0])
    print(bad, 'of', n)
