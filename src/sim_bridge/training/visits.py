# SPDX-License-Identifier: Apache-2.0
"""Frames of the places where a network drives, each with the steering of the expert there.

The world is the embedded simulator's, without sockets and nodes. The car drives many short
stretches from random places, because a good network would see only the middle of the road on whole
laps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from sim_bridge.control.speed_controller import (
    LATERAL_LIMIT_MPS2,
    SpeedController,
    curve_limit_mps,
)
from sim_bridge.simulator.arrays import Image
from sim_bridge.simulator.cameras import Render, make_camera
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.samples import Sample
from sim_bridge.simulator.track import Track
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.vehicle_dynamics import CarParams, slope_under, standing_at, step
from steering_net.vehicle import PHYSICS_STEP_S, within_lock
from steering_net.vision.jpeg import through_jpeg

SteerImage = Callable[[Image], float]
"""Function from a frame of Autonomous mode's camera to a steering angle, rad, left positive."""

_MAX_OFFSET_M = 1.5
_MAX_HEADING_ERROR_RAD = 0.2
_LIMITS_MPS = (5.0, 13.4)
_STEPS_PER_FRAME = 4
_FRAMES_PER_SAMPLE = 2
_LONGEST_STRETCH_FRAMES = 160


def visited(
    name: TrackName, count: int, steer: SteerImage, expert_share: float, rng: np.random.Generator
) -> Iterator[Sample]:
    """Yield `count` samples of the places on a track to which a network steers the car.

    Frames are those of Autonomous mode's camera. The expert steers instead of the network in the
    share `expert_share` (0..1) of all frames. A stretch ends after 13 s or off the road, and the
    next one begins at a random place.
    """
    track = open_track(name)
    render = make_camera(track)

    def stretches() -> Iterator[Sample]:
        while True:
            yield from _stretch(track, render, steer, expert_share, rng)

    yield from islice(stretches(), count)


def _stretch(
    track: Track, render: Render, steer: SteerImage, expert_share: float, rng: np.random.Generator
) -> Iterator[Sample]:
    """Yield the samples of one stretch from a random place, up to 1.5 m beside the middle."""
    limit_mps = float(rng.uniform(*_LIMITS_MPS))
    s_m = float(rng.uniform(0.0, track.length_m))
    offset_m = float(rng.uniform(-_MAX_OFFSET_M, _MAX_OFFSET_M))
    heading_rad = float(rng.triangular(-_MAX_HEADING_ERROR_RAD, 0.0, _MAX_HEADING_ERROR_RAD))
    car = standing_at(track.pose(s_m, offset_m, heading_rad), traction=1.0)
    expert_rad = pursuit_steering_rad(track, car.pose, s_m)
    car = replace(car, speed_mps=curve_limit_mps(limit_mps, expert_rad, LATERAL_LIMIT_MPS2))
    controller, params = SpeedController(limit_mps, LATERAL_LIMIT_MPS2), CarParams()
    for frame in range(_LONGEST_STRETCH_FRAMES):
        place = track.project(car.x_m, car.y_m, s_m)
        s_m = place.s_m
        if abs(place.cross_track_m) > place.half_width_m:
            return
        rgb = through_jpeg(render(car.pose, s_m))
        expert_rad = pursuit_steering_rad(track, car.pose, s_m)
        if frame % _FRAMES_PER_SAMPLE == 0:
            yield Sample(rgb, expert_rad)
        wanted_rad = expert_rad if rng.random() < expert_share else steer(rgb)
        controller.steering_rad = within_lock(wanted_rad)
        throttle = controller.throttle(car.speed_mps, frame * _STEPS_PER_FRAME * PHYSICS_STEP_S)
        slope = slope_under(track, place, car.yaw_rad)
        for _ in range(_STEPS_PER_FRAME):
            car = step(car, controller.steering_rad, throttle, PHYSICS_STEP_S, params, slope=slope)
