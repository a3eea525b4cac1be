# SPDX-License-Identifier: Apache-2.0
"""TrackEnv: the embedded simulator as a Gymnasium environment, with a car that drives on a track.

Track, car, camera and score are those of the embedded simulator. Nothing runs in real time, and
there is no socket and no node.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from sim_bridge.control.node_throttle import NodeThrottle
from sim_bridge.simulator.arrays import Image
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from sim_bridge.simulator.track_names import TrackName, parse_tracks
from sim_bridge.simulator.weather import parse_weather
from steering_net.vehicle import MAX_STEERING_RAD, TOP_SPEED_MPS
from steering_net.vision.camera_model import find_camera
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.jpeg import through_jpeg

DEPARTURE_COST = 10.0
"""What the reward loses when a wheel leaves the road; a metre of progress is worth 1."""

LOST_COST = 100.0
"""What the reward loses when the car's middle is more than 1 m beside the road."""

_START_OFFSET_M = 1.0
_START_HEADING_RAD = 0.1

Observation = NDArray[np.uint8] | dict[str, NDArray[Any]]
Action = NDArray[np.float32]


class TrackEnv(gymnasium.Env[Observation, Action]):
    """Drive a car along a track by what its camera sees.

    Action: Box(-1, 1, (2,)): steering, 1 is 0.436 rad to the left; throttle, negative to brake
    and, below 2.2 m/s, to reverse. With `speed_limit_mps` it is the steering alone, and the
    throttle is that of the throttle node.

    Observation: the frame as it comes off the wire, uint8 (160, 320, 3) RGB. With `with_speed` a
    dict of `frame` and `speed_mps` (1,).

    Reward: the progress along the middle of the road, m, less DEPARTURE_COST when a wheel leaves
    the road and LOST_COST when the car is lost.

    An episode is terminated when the car is lost, more than 1 m beside the road, or when the laps
    are completed; it is truncated after `max_episode_steps` of `gymnasium.make`.

    The info has the state of the car in SI units, the counts of the score, and `expert_steering`,
    the steering action of an expert at this place.

    tracks: a track or a list such as `lake,1000-1019,hills:3`; each reset draws one. Every track
    of a list stays in memory, about 20 MB. weather: as in `sim-bridge simulate`. camera: training,
    autonomous or a pose, as in `pitch:7.6/roll:1.2/height:1.255`: degrees down and right side up,
    m above the ground. hz: steps per second of simulated time. laps: 0 for no end. random_start: a
    random place of the lap, up to 1 m beside the middle and with a small heading error; otherwise
    the start line. The car always stands at first.
    """

    metadata: ClassVar[dict[str, Any]] = {'render_modes': ['rgb_array'], 'render_fps': 25}

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        tracks: TrackName = '1000-1003',
        weather: str = 'clear',
        camera: str = AUTONOMOUS,
        hz: float = 25.0,
        laps: int = 1,
        speed_limit_mps: float | None = None,
        with_speed: bool = False,
        random_start: bool = True,
    ) -> None:
        """Raise ValueError, naming the option, for a value that is not allowed."""
        if render_mode not in (None, *self.metadata['render_modes']):
            raise ValueError(f'render_mode is {render_mode!r}; it must be None or rgb_array')
        if speed_limit_mps is not None and not speed_limit_mps > 0.0:
            raise ValueError(f'speed_limit_mps is {speed_limit_mps}; it must be greater than 0')
        if not laps >= 0:
            raise ValueError(f'laps is {laps}; it must be 0 or greater')
        self.render_mode = render_mode
        self._options = [
            SimulatorOptions(
                track=name, weather=parse_weather(weather), camera=camera, hz=hz, puts_back=False
            )
            for name in parse_tracks(str(tracks))
        ]  # fmt: skip
        self.metadata = {**self.metadata, 'render_fps': round(hz)}  # type: ignore[misc]
        self._simulators: dict[str, Simulator] = {}
        self._laps = laps
        self._speed_limit_mps = speed_limit_mps
        self._with_speed = with_speed
        self._random_start = random_start
        pinhole = find_camera(camera)
        frame = Box(0, 255, (pinhole.height_px, pinhole.width_px, 3), np.uint8)
        speed = Box(0.0, TOP_SPEED_MPS, (1,), np.float32)
        self.observation_space: Space[Any] = (
            Dict({'frame': frame, 'speed_mps': speed}) if with_speed else frame
        )
        self.action_space = Box(-1.0, 1.0, (2 if speed_limit_mps is None else 1,), np.float32)
        self._frame: Image = np.zeros(frame.shape, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; one seed always begins the same one. `options` has no effect."""
        super().reset(seed=seed)
        drawn = self._options[int(self.np_random.integers(len(self._options)))]
        self._track_name = str(drawn.track)
        if self._track_name not in self._simulators:
            self._simulators[self._track_name] = Simulator(drawn)
        self._simulator = self._simulators[self._track_name]
        self._place_car()
        if self._speed_limit_mps is not None:
            self._throttle = NodeThrottle(self._speed_limit_mps)
        self._see()
        return self._observation(), self._info()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply an action for one frame. Raises ValueError for one that is not finite numbers."""
        if np.shape(action) != self.action_space.shape or not np.isfinite(action).all():
            count = len(self.action_space.low)
            raise ValueError(f'the action is {action}; it must be {count} finite numbers, -1..1')
        simulator, score = self._simulator, self._simulator.score
        speed_mps = abs(simulator.car.speed_mps)
        steering_rad = MAX_STEERING_RAD * float(np.clip(action[0], -1.0, 1.0))
        throttle = (
            float(np.clip(action[1], -1.0, 1.0))
            if self._speed_limit_mps is None
            else self._throttle(simulator.time_s, speed_mps, steering_rad)
        )
        s_m, departures = simulator.place.s_m, score.lane_departures
        simulator.apply(steering_rad, throttle)
        is_lost = simulator.advance()
        self._see()
        reward = (
            math.remainder(simulator.place.s_m - s_m, simulator.track.length_m)
            - DEPARTURE_COST * (score.lane_departures - departures)
            - LOST_COST * is_lost
        )
        is_done = 0 < self._laps <= score.laps
        return self._observation(), reward, is_lost or is_done, False, self._info()

    def render(self) -> Image | None:
        """Return the frame that was observed last, with the render mode `rgb_array`."""
        return None if self.render_mode is None else self._frame.copy()

    def close(self) -> None:
        """Free the tracks; `reset` builds them again."""
        self._simulators.clear()

    def report(self) -> dict[str, float | int]:
        """Return the report of the episode, with the fields of `evaluate closed-loop`."""
        return self._simulator.score.report()

    def _place_car(self) -> None:
        track, draw = self._simulator.track, self.np_random
        s_m, offset_m, heading_rad = track.start_m, 0.0, 0.0
        if self._random_start:
            s_m = float(draw.uniform(0.0, track.length_m))
            offset_m = float(draw.uniform(-_START_OFFSET_M, _START_OFFSET_M))
            heading_rad = float(draw.triangular(-_START_HEADING_RAD, 0.0, _START_HEADING_RAD))
        self._simulator.start_at(track.pose(s_m, offset_m, heading_rad), s_m)

    def _see(self) -> None:
        self._frame = through_jpeg(self._simulator.frame())

    def _observation(self) -> Observation:
        if not self._with_speed:
            return self._frame
        speed_mps = np.array([abs(self._simulator.car.speed_mps)], np.float32)
        return {'frame': self._frame, 'speed_mps': speed_mps}

    def _info(self) -> dict[str, Any]:
        simulator = self._simulator
        car, place, score = simulator.car, simulator.place, simulator.score
        expert_rad = pursuit_steering_rad(simulator.track, car.pose, place.s_m)
        return {
            'track': self._track_name,
            'time_s': simulator.time_s,
            'x_m': car.x_m,
            'y_m': car.y_m,
            'yaw_rad': car.yaw_rad,
            'speed_mps': car.speed_mps,
            's_m': place.s_m,
            'cross_track_m': place.cross_track_m,
            'off_road': score.off_road,
            'laps': score.laps,
            'lane_departures': score.lane_departures,
            'expert_steering': expert_rad / MAX_STEERING_RAD,
        }
