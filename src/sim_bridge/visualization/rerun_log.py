# SPDX-License-Identifier: Apache-2.0
"""RerunLog: a drive in the Rerun viewer, or in a file for it: camera, path and plots."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from sim_bridge.errors import UsageError
from sim_bridge.visualization.overlay import PATH_COLOUR, RECORDED_COLOUR, Reading, predicted_path
from steering_net.bicycle_model import advance
from steering_net.vehicle import TRACK_M, Pose
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, Pinhole

CLOCK = 'time'
"""Timeline of the recording: the stamps of the frames."""

_HALF_TRACK_M = TRACK_M / 2
_LONGEST_STEP_S = 0.5
_PATH_STEP_M = 0.5
_PATH_PERIOD_S = 1.0
_PIECE_POINTS = 300
_CAR_HALF_SIZE_M = (2.2, 1.0, 0.6)
_BLUE, _AMBER, _GREY = PATH_COLOUR, RECORDED_COLOUR, (150, 150, 150)


class RerunLog:
    """Writes a drive, frame by frame, to a viewer that it opens, or to a .rrd file.

    The path is dead reckoning from the speed and the steering of the wheels, so it drifts.
    """

    def __init__(self, save: Path | None, camera: Pinhole = AUTONOMOUS_CAMERA) -> None:
        """Open the file `save`, or a viewer. Raises UsageError without rerun-sdk."""
        self._rr = _import_rerun()
        self._camera = camera
        self._pose = Pose()
        self._piece: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]
        self._piece_number = 0
        self._last_s: float | None = None
        self._path_due_s = -math.inf
        self.frames = 0
        self._stream = self._rr.RecordingStream('sim_bridge')
        if save:
            self._stream.save(save, default_blueprint=_blueprint())
        else:
            self._stream.spawn(default_blueprint=_blueprint())
        self._describe()

    def add(self, stamp_ns: int, jpeg: bytes, reading: Reading) -> None:
        """Add a frame and the values at its time; a value of None leaves a gap in its plot."""
        rr, log = self._rr, self._stream.log
        self._stream.set_time(CLOCK, timestamp=np.datetime64(stamp_ns, 'ns'))
        log('camera/frame', rr.EncodedImage(contents=jpeg, media_type='image/jpeg'))
        for name, value in (
            ('steering/commanded', reading.commanded_rad),
            ('steering/wheels', reading.recorded_rad),
            ('speed/measured', reading.speed_mps),
            ('speed/limit', reading.limit_mps),
            ('throttle', reading.throttle),
            ('latency', reading.latency_ms),
        ):
            if value is not None:
                log(name, rr.Scalars(value))
        self._move(1e-9 * stamp_ns, reading)
        if reading.commanded_rad is not None:
            self._show_command(reading.commanded_rad)
        self.frames += 1

    def close(self) -> None:
        """Write what waits, with the end of the path, and close the file."""
        if self.frames:
            self._show_path()
        self._stream.flush()
        self._stream.disconnect()

    def _describe(self) -> None:
        """Log the colours of the plots, the axes and the car, which do not change."""
        rr, log = self._rr, self._stream.log
        log('world', rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        half_size = rr.Boxes3D(half_sizes=[_CAR_HALF_SIZE_M], centers=[(0.0, 0.0, 0.6)])
        log('world/car', half_size, static=True)
        for name, title, colour in (
            ('steering/commanded', 'commanded, rad', _BLUE),
            ('steering/wheels', 'wheels, rad', _AMBER),
            ('speed/measured', 'speed, m/s', _BLUE),
            ('speed/limit', 'limit, m/s', _GREY),
            ('throttle', 'throttle', _BLUE),
            ('latency', 'latency, ms', _GREY),
        ):
            log(name, rr.SeriesLines(colors=[colour], names=[title]), static=True)

    def _move(self, time_s: float, reading: Reading) -> None:
        rr, log = self._rr, self._stream.log
        dt_s = 0.0 if self._last_s is None else time_s - self._last_s
        self._last_s = time_s
        if reading.speed_mps is not None and 0.0 < dt_s <= _LONGEST_STEP_S:
            wheels_rad = reading.recorded_rad or 0.0
            self._pose = advance(self._pose, wheels_rad, reading.speed_mps * dt_s)
        pose = self._pose
        turn = rr.RotationAxisAngle(axis=(0.0, 0.0, 1.0), radians=pose.yaw_rad)
        log('world/car', rr.Transform3D(translation=(pose.x_m, pose.y_m, 0.0), rotation=turn))
        last_x_m, last_y_m, _ = self._piece[-1]
        if math.hypot(pose.x_m - last_x_m, pose.y_m - last_y_m) >= _PATH_STEP_M:
            self._piece.append((pose.x_m, pose.y_m, 0.0))
        if time_s >= self._path_due_s:
            self._path_due_s = time_s + _PATH_PERIOD_S
            self._show_path()

    def _show_path(self) -> None:
        """Log the newest piece of the path again; the others keep their names and stay.

        With the whole path each time, a log would grow with the square of its length.
        """
        strip = self._rr.LineStrips3D([self._piece], colors=[_AMBER], radii=[0.15])
        self._stream.log(f'world/path/{self._piece_number}', strip)
        if len(self._piece) >= _PIECE_POINTS:
            self._piece = [self._piece[-1]]
            self._piece_number += 1

    def _show_command(self, steering_rad: float) -> None:
        rr, log = self._rr, self._stream.log
        sides = [predicted_path(steering_rad, side * _HALF_TRACK_M) for side in (1.0, -1.0)]
        in_frame = [self._camera.project(side) for side in sides]
        log('camera/path', rr.LineStrips2D(in_frame, colors=[_BLUE] * 2))
        on_road = [np.column_stack([side, np.zeros(len(side))]) for side in sides]
        log('world/car/predicted', rr.LineStrips3D(on_road, colors=[_BLUE] * 2, radii=[0.1] * 2))


def _import_rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise UsageError("rerun-sdk is missing: pip install 'sim_bridge[rerun]'") from error
    return rerun


def _blueprint() -> Any:
    """Return the layout: camera and map on the left, plots on the right."""
    import rerun.blueprint as rrb

    plots = [
        rrb.TimeSeriesView(origin=origin, name=title)
        for origin, title in (
            ('/steering', 'Steering, rad, left is positive'),
            ('/speed', 'Speed, m/s'),
            ('/throttle', 'Throttle, -1 to 1'),
        )
    ]
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(
                rrb.Spatial2DView(origin='/camera', name='Camera and predicted path'),
                rrb.Spatial3DView(origin='/world', name='Path by dead reckoning'),
            ),
            rrb.Vertical(*plots),
        ),
        collapse_panels=True,
    )
