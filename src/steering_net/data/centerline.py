# SPDX-License-Identifier: Apache-2.0
"""Middle of the road beside a recorded trajectory, measured in the recorded frames.

Recorded drivers are not in the middle: on the lake track they are 0.9 m RMS beside it, and up to
4 m. Evaluation and training need the middle itself. Each frame shows both edges of the road a few
metres ahead: seen from above, the road ends where its colour changes. Many frames show the same
place of the road, because the car drives towards it, and their measurements are joined.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.bicycle_model import pursuit_steering_rad
from steering_net.data.driving_log import Series
from steering_net.data.recording import Recording
from steering_net.data.trajectory import Trajectory, runs, trajectory_of
from steering_net.errors import ImageError
from steering_net.process import cores
from steering_net.vehicle import REAR_AXLE_M
from steering_net.vision.camera_model import TRAINING_CAMERA, Rgb, find_camera
from steering_net.vision.camera_names import TRAINING
from steering_net.vision.crop import CROP_TOP, crop_of

Edges: TypeAlias = NDArray[np.float64]
"""The result of `edges_ahead`: (k, 3)."""

# Ground points relative to the car's origin. Nearer points are hidden by the bonnet.
_AHEAD_M = np.arange(4.5, 13.5, 0.15, np.float64)
_LEFT_M = np.arange(9.0, -9.01, -0.05, np.float64)
_BANDS = 6
_LEAST_LINES = 3
_ROAD_WITHIN_M = 1.0
_NEAR_LINES = _AHEAD_M < 8.7
_WIDTHS_M = (5.3, 12.0)
# A colour that differs by more from the road's is not road. The difference is that of the shares
# of red, green and blue, and, with a small weight because of light and shadow, that of the
# logarithm of the brightness.
_CONTRAST = 0.07
_BRIGHTNESS_WEIGHT = 0.1
# Added to the brightness, 0 to 255, because the shares of dark colours are noise.
_DARK = 8.0
_BLUR_PLACES = (3.0, 4.0)
# Half-width of the regression window, m; expected measurement noise, m.
_REACH_M = 8.0
_NOISE_M = 0.25
_LEAST_SIGHTINGS = 4
# Weight of a measurement of one edge only, because the width of the road is not known there.
_TRUST_IN_HALF = 0.1
_REWEIGHTINGS = 5
# Distance of the two points whose connection is the direction of the middle.
_CHORD_M = 4.0


def _grid() -> NDArray[np.float32]:
    ahead, left = np.meshgrid(_AHEAD_M, _LEFT_M, indexing='ij')
    image = TRAINING_CAMERA.project(np.stack((ahead.ravel(), left.ravel()), axis=1))
    return image.reshape(*ahead.shape, 2).astype(np.float32)


_IMAGE = _grid()
_IN_SIGHT = (_IMAGE[..., 0] > 1) & (_IMAGE[..., 0] < TRAINING_CAMERA.width_px - 1)
# OpenCV counts from the centre of the first pixel, image coordinates from its corner.
_COLUMNS, _ROWS = _IMAGE[..., 0] - 0.5, _IMAGE[..., 1] - 0.5 - CROP_TOP


def edges_ahead(crop: Rgb) -> Edges:
    """Return the road's edges in a crop, (k, 3), k = 0..6: m ahead, left edge, right edge.

    `crop` is rows 50 to 145 of a frame of Training mode, uint8 (95, 320, 3) RGB. Distances are
    from the car's origin: 4.5 to 14 m ahead, edges in m to the left, NaN for an edge that is out
    of sight. A road narrower than 5.3 m or wider than 12 m is ignored.
    """
    ends = _contrast(crop) > _CONTRAST
    car = len(_LEFT_M) // 2
    left_m, right_m = (
        _first(ends[:, side], _LEFT_M[side], _IN_SIGHT[:, side])
        for side in (slice(car, None, -1), slice(car, None))
    )
    width_m = left_m - right_m
    is_road = (width_m > _WIDTHS_M[0]) & (width_m < _WIDTHS_M[1])
    is_half = np.isfinite(left_m) ^ np.isfinite(right_m)
    found = []
    for band in np.array_split(np.arange(len(_AHEAD_M)), _BANDS):
        # Both edges are better than one.
        whole, half = band[is_road[band]], band[is_half[band]]
        lines = whole if len(whole) >= _LEAST_LINES else half
        if len(lines) >= _LEAST_LINES:
            edges_m = _median(left_m[lines]), _median(right_m[lines])
            if lines is whole or np.isfinite(edges_m).sum() == 1:
                found.append([_AHEAD_M[lines].mean(), *edges_m])
    return np.array(found, np.float64).reshape(-1, 3)


def load_edges(load: Callable[[], Rgb], camera: str = TRAINING) -> Edges | None:
    """Return the edges in the frame that `load` returns; None if the frame cannot be used.

    `camera` is the camera of the frame.
    """
    try:
        return edges_ahead(crop_of(load(), find_camera(camera)))
    except ImageError:
        return None


def edges_of(loads: Sequence[Callable[[], Rgb]], camera: str = TRAINING) -> list[Edges | None]:
    """Return the result of `load_edges` for each frame, measured with all processors."""
    with ThreadPoolExecutor(cores()) as threads:
        edges = threads.map(load_edges, loads, itertools.repeat(camera))
        return list(tqdm(edges, 'measuring the road', len(loads), unit='frame', disable=None))


def edges_in(recording: Recording) -> list[Edges | None]:
    """Return the road's edges in each frame of a recording; None for a frame without use."""
    loads = [functools.partial(recording.frame, index) for index in range(len(recording))]
    return edges_of(loads, recording.camera)


def _median(values: Series) -> float:
    """Return the median of the finite values; NaN if there are too few."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) >= _LEAST_LINES else np.nan


def _contrast(crop: Rgb) -> NDArray[np.float32]:
    """Return how much the colour of each ground point differs from the road before the car."""
    # The border of the image must not look like an edge.
    border = cv2.BORDER_REPLICATE
    places = cv2.remap(crop, _COLUMNS, _ROWS, cv2.INTER_LINEAR, borderMode=border)
    sigma_x, sigma_y = _BLUR_PLACES
    blurred = cv2.GaussianBlur(places.astype(np.float32), (0, 0), sigma_x, sigmaY=sigma_y)
    above = np.asarray(blurred, np.float32)
    brightness = above.mean(axis=2) + _DARK
    shares, light = above / brightness[..., None], np.log(brightness)
    road = np.ix_(_NEAR_LINES, np.abs(_LEFT_M) < _ROAD_WITHIN_M)
    shares -= np.median(shares[road].reshape(-1, 3), axis=0)
    light -= np.median(light[road])
    return np.asarray(np.sqrt((shares**2).sum(axis=2)) + _BRIGHTNESS_WEIGHT * np.abs(light))


def _first(
    ends: NDArray[np.bool_], left_m: Series, in_sight: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the first end of each line from the car, m to the left; NaN if out of sight."""
    stops = ends | ~in_sight
    first = stops.argmax(axis=1)
    lines = np.arange(len(stops))
    found = stops[lines, first] & in_sight[lines, first]
    return np.where(found, left_m[first], np.nan)


def middle_beside(trajectory: Trajectory, seen: Sequence[Edges | None]) -> Series:
    """Return the road's middle at each row of a trajectory: (n,), m left of the car's origin.

    `seen` holds the result of `edges_ahead` for the frame of each row, None for no frame. Where
    one edge is out of sight, the road is assumed to have its median width. NaN where no frame
    showed the road within 8 m, and before the first place that a frame showed.
    """
    row, ahead_m, left_m, trust = middles_seen(seen)
    along_m = trajectory.along_m
    if not len(row):
        return np.full(len(trajectory), np.nan)
    x_m, y_m = trajectory.from_car(row, ahead_m + REAR_AXLE_M, left_m)
    # The row at which the car's origin was nearest.
    half_way_m = (along_m[1:] + along_m[:-1]) / 2
    nearest = np.searchsorted(half_way_m, along_m[row] + ahead_m)
    beyond_m, beside_m = trajectory.from_world(nearest, x_m, y_m)
    return _smoothed(along_m[nearest] + beyond_m - REAR_AXLE_M, beside_m, trust, along_m)


def middles_of(
    recording: Recording, seen: Sequence[Edges | None]
) -> Iterator[tuple[slice, Trajectory, Series]]:
    """Yield the rows of each run of a recording, its trajectory, and the middle beside it."""
    for run in runs(recording.times_s):
        series = (recording.times_s, recording.steering_rad, recording.speed_mps)
        trajectory = trajectory_of(*(values[run] for values in series))
        yield run, trajectory, middle_beside(trajectory, seen[run])


def middles_seen(
    seen: Sequence[Edges | None],
) -> tuple[NDArray[np.intp], Series, Series, Series]:
    """Return row, m ahead and m left of the car's origin, and weight of each measured middle.

    `seen` holds the result of `edges_ahead` for the frame of each row, None for no frame.
    """
    counts = [0 if edges is None else len(edges) for edges in seen]
    rows = np.repeat(np.arange(len(seen)), counts)
    edges_m = np.concatenate([np.empty((0, 3)), *(e for e in seen if e is not None)])
    ahead_m, left_m, right_m = edges_m.T
    widths_m = left_m - right_m
    whole = np.isfinite(widths_m)
    half_m = np.where(whole, widths_m, np.median(widths_m[whole]) if whole.any() else np.nan) / 2
    middle_m = np.where(np.isfinite(left_m), left_m - half_m, right_m + half_m)
    known = np.isfinite(middle_m)
    trust = np.where(whole, 1.0, _TRUST_IN_HALF)
    return rows[known], ahead_m[known], middle_m[known], trust[known]


def _smoothed(places_m: Series, values_m: Series, trust: Series, at_m: Series) -> Series:
    """Return values at `at_m`: local regression, tricube weights, robust (Cleveland, 1979)."""
    order = np.argsort(places_m, kind='stable')
    places_m, values_m, trust = places_m[order], values_m[order], trust[order]
    result = np.full(len(at_m), np.nan)
    bounds = np.searchsorted(places_m, np.stack((at_m - _REACH_M, at_m + _REACH_M)))
    for index, (first, last) in enumerate(bounds.T):
        if last - first >= _LEAST_SIGHTINGS and at_m[index] >= places_m[0]:
            away_m = places_m[first:last] - at_m[index]
            result[index] = _line_at_zero(away_m, values_m[first:last], trust[first:last])
    return result


def _line_at_zero(x: Series, y: Series, trust: Series) -> float:
    near = trust * ((1.0 - np.abs(x / _REACH_M) ** 3) ** 3 + 1e-6)
    weights = near
    for _ in range(_REWEIGHTINGS):
        shares = weights / weights.sum()
        mean_x, mean_y = shares @ x, shares @ y
        # The 0.5 keeps the slope small where all places are close together.
        slope = (shares @ ((x - mean_x) * (y - mean_y))) / (shares @ (x - mean_x) ** 2 + 0.5)
        weights = near / (1.0 + ((y - mean_y - slope * (x - mean_x)) / _NOISE_M) ** 2)
    return float(mean_y - slope * mean_x)


def directions(trajectory: Trajectory, middle_m: Series) -> Series:
    """Return the direction of the middle at each row, rad to the left of the car's: (n,)."""
    along_m = trajectory.along_m
    ends_m = np.stack((along_m - _CHORD_M / 2, along_m + _CHORD_M / 2))
    dx_m, dy_m = (
        np.diff(np.interp(ends_m, along_m, points_m), axis=0)[0]
        for points_m in _points(trajectory, middle_m)
    )
    turned_rad = np.arctan2(dy_m, dx_m) - trajectory.yaw_rad
    return np.asarray((turned_rad + np.pi) % (2 * np.pi) - np.pi)


def _points(trajectory: Trajectory, middle_m: Series) -> tuple[Series, Series]:
    """Return x and y of the middle beside each row."""
    rows = np.arange(len(trajectory))
    return trajectory.from_car(rows, np.full(len(rows), REAR_AXLE_M), middle_m)


def towards_middle_rad(trajectory: Trajectory, middle_m: Series, look_ahead_m: float) -> Series:
    """Return the steering that leads from each row to the middle: (n,), rad, left positive.

    Pure pursuit of the point of the middle beside the row `look_ahead_m` further along. That
    point is 1.6 m further from the rear axle. NaN where the middle is not known there.
    """
    along_m = trajectory.along_m
    targets_m = along_m + look_ahead_m
    reached = targets_m <= along_m[-1]
    x_m, y_m = (np.interp(targets_m, along_m, v_m) for v_m in _points(trajectory, middle_m))
    ahead_m, left_m = trajectory.from_world(np.arange(len(trajectory)), x_m, y_m)
    return np.where(reached, pursuit_steering_rad(ahead_m, left_m), np.nan)
