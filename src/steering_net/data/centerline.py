"""Measure where the middle of the road lies beside a recorded way, from the recorded frames.

A recorded driver is not in the middle: on the lake track people are 0.9 m RMS beside it, and up to
4 m. So one who is to be judged, or learnt from, needs the middle beside him. Each frame shows
both edges of the road a few metres ahead; seen from above, the road ends where its colour does.
The car drives through all of those places, which joins what many frames say of each.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.data.driving_log import Series
from steering_net.data.recording import Recording
from steering_net.data.trajectory import Way, runs, way_of
from steering_net.errors import ImageError
from steering_net.vehicle import REAR_AXLE_M, pursuit_steering_rad
from steering_net.vision.camera_model import TRAINING, TRAINING_CAMERA, Rgb, find_camera
from steering_net.vision.crop import CROP_TOP, crop_of

Edges: TypeAlias = NDArray[np.float64]
"""What `edges_ahead` saw in a frame."""

# Places on the ground beside the car's origin; what is nearer is the bonnet.
_AHEAD_M = np.arange(4.5, 13.5, 0.15, np.float64)
_LEFT_M = np.arange(9.0, -9.01, -0.05, np.float64)
_BANDS = 6
_LEAST_LINES = 3
_ROAD_WITHIN_M = 1.0
_NEAR_LINES = _AHEAD_M < 8.7
_WIDTHS_M = (5.3, 12.0)
# From which difference on a colour is none of the road's: of its shares of red, green and blue,
# and, weighing less, for light and shadow change it, of the logarithm of its brightness.
_CONTRAST = 0.07
_BRIGHTNESS_WEIGHT = 0.1
# Levels, of 0 to 255, that keep the shares of what is black from being noise.
_DARK = 8.0
_BLUR_PLACES = (3.0, 4.0)
# What is said of a place counts for others this far away; how much of it may be noise.
_REACH_M = 8.0
_NOISE_M = 0.25
_LEAST_SIGHTINGS = 4
# Of a sighting of one edge only: the road may be wider there.
_TRUST_IN_HALF = 0.1
_REWEIGHTINGS = 5
# Between the two points that say where the middle leads.
_CHORD_M = 4.0


def _grid() -> NDArray[np.float32]:
    ahead, left = np.meshgrid(_AHEAD_M, _LEFT_M, indexing='ij')
    image = TRAINING_CAMERA.project(np.stack((ahead.ravel(), left.ravel()), axis=1))
    return image.reshape(*ahead.shape, 2).astype(np.float32)


_IMAGE = _grid()
_IN_SIGHT = (_IMAGE[..., 0] > 1) & (_IMAGE[..., 0] < TRAINING_CAMERA.width_px - 1)
# OpenCV counts from the middle of the first pixel, image coordinates from its corner.
_COLUMNS, _ROWS = _IMAGE[..., 0] - 0.5, _IMAGE[..., 1] - 0.5 - CROP_TOP


def edges_ahead(crop: Rgb) -> Edges:
    """Return where a frame shows the road's edges, (k, 3), k of 0 to 6.

    `crop` is rows 50 to 145 of a frame of Training mode, uint8 (95, 320, 3) RGB. Each row is m
    ahead of the car's origin, 4.5 to 14, and how many m left of it the left edge and the right one
    are, NaN for one that is out of sight. A road that is not 5.3 to 12 m wide is none.
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
        # Both edges say more than one.
        whole, half = band[is_road[band]], band[is_half[band]]
        lines = whole if len(whole) >= _LEAST_LINES else half
        if len(lines) >= _LEAST_LINES:
            edges_m = _median(left_m[lines]), _median(right_m[lines])
            if lines is whole or np.isfinite(edges_m).sum() == 1:
                found.append([_AHEAD_M[lines].mean(), *edges_m])
    return np.array(found, np.float64).reshape(-1, 3)


def look(load: Callable[[], Rgb], camera: str = TRAINING) -> Edges | None:
    """Return what the frame that `load` returns shows; None if it cannot be used.

    `camera` took it.
    Whoever needs the frame itself says why.
    """
    try:
        return edges_ahead(crop_of(load(), find_camera(camera)))
    except ImageError:
        return None


def _median(values: Series) -> float:
    """The median of what is known, NaN where too little is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) >= _LEAST_LINES else np.nan


def _contrast(crop: Rgb) -> NDArray[np.float32]:
    """How far the colour of each place is from that of the road before the car."""
    # What is out of sight must not look like an edge.
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
    """Where each line first ends, from the car on, in m to the left; NaN if that is not seen."""
    stops = ends | ~in_sight
    first = stops.argmax(axis=1)
    lines = np.arange(len(stops))
    found = stops[lines, first] & in_sight[lines, first]
    return np.where(found, left_m[first], np.nan)


def middle_beside(way: Way, seen: Sequence[Edges | None]) -> Series:
    """Return how far left of the car's origin the road's middle is, at each row of a way.

    `seen` has what `edges_ahead` returned for the frame of each row, None where there is none.
    Where one edge is out of sight, the road is taken to be as wide as it mostly is. (n,), m; NaN
    where no frame showed the road within 8 m, and before the first place that one did.
    """
    row, ahead_m, left_m, trust = _middles(seen)
    if not len(row):
        return np.full(len(way), np.nan)
    x_m, y_m = way.from_car(row, ahead_m + REAR_AXLE_M, left_m)
    # The row at which the car's origin came by.
    half_way_m = (way.along_m[1:] + way.along_m[:-1]) / 2
    nearest = np.searchsorted(half_way_m, way.along_m[row] + ahead_m)
    beyond_m, beside_m = way.from_world(nearest, x_m, y_m)
    return _smoothed(way.along_m[nearest] + beyond_m - REAR_AXLE_M, beside_m, trust, way.along_m)


def middles_of(
    recording: Recording, seen: Sequence[Edges | None]
) -> Iterator[tuple[slice, Way, Series]]:
    """Yield the rows of each run of a recording, its way, and the middle beside it."""
    for run in runs(recording.times_s):
        series = (recording.times_s, recording.steering_rad, recording.speed_mps)
        way = way_of(*(values[run] for values in series))
        yield run, way, middle_beside(way, seen[run])


def _middles(seen: Sequence[Edges | None]) -> tuple[NDArray[np.intp], Series, Series, Series]:
    """Row, m ahead, m left and trust of each sighting of the middle; none without a whole road."""
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
    """Local straight lines, tricube weights, outliers weighing less (Cleveland, 1979)."""
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
        # Few places, all together, say nothing of a slope.
        slope = (shares @ ((x - mean_x) * (y - mean_y))) / (shares @ (x - mean_x) ** 2 + 0.5)
        weights = near / (1.0 + ((y - mean_y - slope * (x - mean_x)) / _NOISE_M) ** 2)
    return float(mean_y - slope * mean_x)


def directions(way: Way, middle_m: Series) -> Series:
    """Return where the middle leads at each row, in rad to the left of the car: (n,)."""
    x_m, y_m = _points(way, middle_m)
    before_m, after_m = way.along_m - _CHORD_M / 2, way.along_m + _CHORD_M / 2
    dx_m = np.interp(after_m, way.along_m, x_m) - np.interp(before_m, way.along_m, x_m)
    dy_m = np.interp(after_m, way.along_m, y_m) - np.interp(before_m, way.along_m, y_m)
    turned_rad = np.arctan2(dy_m, dx_m) - way.yaw_rad
    return np.asarray((turned_rad + np.pi) % (2 * np.pi) - np.pi)


def _points(way: Way, middle_m: Series) -> tuple[Series, Series]:
    """x and y of the middle beside each row."""
    return way.from_car(np.arange(len(way)), np.full(len(way), REAR_AXLE_M), middle_m)


def towards_middle_rad(way: Way, middle_m: Series, look_ahead_m: float) -> Series:
    """Return the steering that leads from each row onto the middle: (n,), left positive.

    Pure pursuit of the point of the middle that lies `look_ahead_m` further along, which is that
    and 1.6 m from the rear axle. NaN where the middle is not known there.
    """
    x_m, y_m = _points(way, middle_m)
    targets_m = way.along_m + look_ahead_m
    reached = targets_m <= way.along_m[-1]
    ahead_m, left_m = way.from_world(
        np.arange(len(way)),
        np.interp(targets_m, way.along_m, x_m),
        np.interp(targets_m, way.along_m, y_m),
    )
    return np.where(reached, pursuit_steering_rad(ahead_m, left_m), np.nan)
