# SPDX-License-Identifier: Apache-2.0
"""The world of the embedded simulator: track, car and camera, advanced frame by frame.

Like Unity it acts only at frame boundaries: it applies the last command and moves the car.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sim_bridge.protocol.types import Telemetry, Truth
from sim_bridge.simulator.arrays import Image
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.fault_injection import FaultPlan
from sim_bridge.simulator.score import Score
from sim_bridge.simulator.track import Projection
from sim_bridge.simulator.track_names import TrackName, parse_track
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.vehicle_dynamics import (
    CarParams,
    CarState,
    Slope,
    slope_under,
    standing_at,
    step,
)
from sim_bridge.simulator.weather import CLEAR, Weather
from steering_net.vehicle import DRIVE_MPS2, GRAVITY_MPS2, PHYSICS_STEP_S, Pose
from steering_net.vision.camera_model import find_camera
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.jpeg import JPEG_QUALITY, encode_jpeg

MANUAL_THROTTLE = 0.3


@dataclass(frozen=True)
class SimulatorOptions:
    """Options of the simulated world: track, weather, camera, frame rate and faults.

    camera: in the notation of `find_camera`. puts_back: a car that is far off the road is put back
    to the middle. hz: frames per second of simulated time. faults: the plan of the drive; the
    simulator itself uses only its grades and the spans in which a person drives.
    """

    track: TrackName = 0
    weather: Weather = CLEAR
    camera: str = AUTONOMOUS
    puts_back: bool = True
    hz: float = 60.0
    jpeg_quality: int = JPEG_QUALITY
    faults: FaultPlan = field(default_factory=FaultPlan)

    def __post_init__(self) -> None:
        parse_track(str(self.track))
        find_camera(self.camera)
        if not 10.0 <= self.hz <= 1000.0:
            raise ValueError(f'hz is {self.hz}; it must be 10..1000')
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f'jpeg_quality is {self.jpeg_quality}; it must be 1..100')


class Simulator:
    """Car, track and camera of one drive. `advance` simulates one frame."""

    def __init__(self, options: SimulatorOptions) -> None:
        """Build the track and its camera, which takes about 0.5 s."""
        self._options = options
        self.track = open_track(options.track)
        self._camera = make_camera(self.track, find_camera(options.camera), options.weather)
        self._params = CarParams()
        self._car = standing_at(self.track.pose(self.track.start_m))
        self._steering_rad = 0.0
        self._throttle = 0.0
        self._commanded = False
        self._yaw_rate_radps = 0.0
        self.score = Score(self.track)
        self.time_s = 0.0
        self._steps = 0
        self.frames = 0
        self.run = 0
        self.place = self.track.project(self._car.x_m, self._car.y_m, self.track.start_m)
        self._start = self._car, self.place

    @property
    def car(self) -> CarState:
        """Current state of the car."""
        return self._car

    @property
    def manual(self) -> bool:
        """Whether a person drives now."""
        return self._options.faults.active('manual', self.time_s)

    def apply(self, steering_rad: float, throttle: float | None) -> None:
        """Apply a command; the car keeps it until the next one."""
        self._commanded = True
        self._steering_rad = steering_rad
        if throttle is not None:
            self._throttle = throttle

    def start_at(self, pose: Pose, near_s_m: float) -> None:
        """Begin a new drive at a pose near `near_s_m`, at time 0, which `reset` returns to.

        It depends on nothing that happened before.
        """
        self._start = standing_at(pose), self.track.project(pose.x_m, pose.y_m, near_s_m)
        self.time_s, self._steps = 0.0, 0
        self._camera.restart()
        self.reset()

    def reset(self) -> None:
        """Put the car back to the start, standing, and start the score anew; the time goes on."""
        self._car, self.place = self._start
        self._steering_rad = self._throttle = 0.0
        self._commanded = False
        self._yaw_rate_radps = 0.0
        self.score = Score(self.track)
        self.run += 1

    def advance(self) -> bool:
        """Simulate one frame: the whole steps of physics that are due.

        The time of the score starts with the first command. Returns whether the car was lost: its
        middle was more than 1 m beside the road.
        """
        if self.manual:
            steering_rad = pursuit_steering_rad(self.track, self._car.pose, self.place.s_m)
            self.apply(steering_rad, self._manual_throttle())
        self.time_s += 1.0 / self._options.hz
        slope = self._slope()
        while (self._steps + 1) * PHYSICS_STEP_S <= self.time_s + 1e-9:
            self._steps += 1
            before_rad = self._car.yaw_rad
            self._car = step(
                self._car,
                self._steering_rad,
                self._throttle,
                PHYSICS_STEP_S,
                self._params,
                self._options.faults.grade(self.place.s_m),
                slope,
            )
            # Not that of the frame, because not every frame has a step.
            turned_rad = math.remainder(self._car.yaw_rad - before_rad, math.tau)
            self._yaw_rate_radps = turned_rad / PHYSICS_STEP_S
        self.place = self._locate()
        is_lost = self._commanded and self.score.update(
            self.time_s, self._car, self.place, self._steering_rad
        )
        if is_lost and self._options.puts_back:
            self._car = standing_at(self.track.pose(self.place.s_m), self._car.traction)
            self._yaw_rate_radps = 0.0
            self.place = self._locate()
            self.score.put_back(self.place)
        return is_lost

    def frame(self) -> Image:
        """Render what the camera sees now, uint8 (height, width, 3) RGB."""
        return self._camera(self._car.pose, self.place.s_m)

    def jpeg(self) -> bytes:
        """Return `frame` as it is sent: a JPEG."""
        return encode_jpeg(self.frame(), self._options.jpeg_quality)

    def telemetry(self) -> Telemetry | None:
        """Return the telemetry of this frame; None for manual driving."""
        self.frames += 1
        if self.manual:
            return None
        return Telemetry(
            steering_rad=self._steering_rad,
            throttle=max(0.0, self._throttle),
            speed_mps=abs(self._car.speed_mps),
            jpeg=self.jpeg(),
            run=self.run,
            time_ns=round(1e9 * self.time_s),
            truth=self._truth().text(),
        )

    def _truth(self) -> Truth:
        car, score = self._car, self.score
        posture = self.track.posture(self.place, car.yaw_rad)
        return Truth(
            x_m=car.x_m,
            y_m=car.y_m,
            z_m=posture.height_m,
            yaw_rad=car.yaw_rad,
            pitch_up_rad=posture.pitch_rad,
            speed_mps=car.speed_mps,
            yaw_rate_radps=self._yaw_rate_radps,
            cross_track_m=self.place.cross_track_m,
            laps=score.laps,
            lap_time_s=score.lap_time_s,
            off_road=score.off_road,
        )

    def _manual_throttle(self) -> float:
        """Return the throttle of a person: more on a climb, by the force that the slope takes."""
        climb_mps2 = GRAVITY_MPS2 * math.sin(self._slope().pitch_rad)
        return min(1.0, MANUAL_THROTTLE + max(0.0, climb_mps2 / DRIVE_MPS2))

    def _slope(self) -> Slope:
        """Return the road under the car; a frame is short enough that it serves all its steps."""
        return slope_under(self.track, self.place, self._car.yaw_rad)

    def _locate(self) -> Projection:
        return self.track.project(self._car.x_m, self._car.y_m, self.place.s_m)
