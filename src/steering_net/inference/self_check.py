# SPDX-License-Identifier: Apache-2.0
"""SelfCheck: measures whether a network answers a changed frame as it does in known worlds.

Each frame is shown to the network a second time: mirrored, and as seen by a car that stands to the
left or, for every other frame, to the right. In known worlds the sum of both angles is nearly the
same at every place, because a mirrored world needs the opposite steering and a displaced car has
to steer back. A network that does not see the road, or whose weights are damaged, answers
otherwise. No other network and no training is needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from steering_net.errors import ModelError, check_field
from steering_net.inference.predictor import model_path
from steering_net.model_io.files import sha256_of
from steering_net.vision.camera_model import Pinhole, find_camera, image_from_image
from steering_net.vision.profile import Profile
from steering_net.vision.view import Maps, mapped

SIDES = 2
"""Displacements that take turns: to the left, to the right."""

_DISPLACED_M = 0.8
_MEMORY_S = 0.5
"""Time constant of the mean over the newest frames."""
_LONGEST_STEP_S = 0.2
_LEAST_SPREAD_RAD = 1e-4
LEAST_FRAMES = 200
"""Frames that each drive of a calibration needs, half of them for each side."""
_QUANTILE = 0.99
_MARGIN = 1.9
"""The threshold lies so many times above the quantile of the deviations in known worlds."""


class Repeater(Protocol):
    """A network that can be shown its newest frame again; see `Predictor`."""

    profile: Profile

    def predict_changed(self, maps: Maps) -> float:
        """Return the steering angle, rad, for the newest frame, its input resampled by `maps`."""


@dataclass(frozen=True)
class World:
    """Sums of angles in a world, rad: mean and standard deviation of each side.

    Raises ValueError, naming the field, for a value with which no deviation can be computed.
    """

    mean_rad: tuple[float, float]
    spread_rad: tuple[float, float]

    def __post_init__(self) -> None:
        check_field(all(map(math.isfinite, self.mean_rad)), 'mean_rad', self.mean_rad, 'finite')
        check_field(
            all(map(_is_positive, self.spread_rad)), 'spread_rad', self.spread_rad, 'positive'
        )

    def deviation(self, side: int, sum_rad: float) -> float:
        """Return how far a sum is from the mean, in standard deviations."""
        return (sum_rad - self.mean_rad[side]) / self.spread_rad[side]


@dataclass(frozen=True)
class Calibration:
    """The worlds that a network knows, and the hash of the network.

    A network may answer a displacement strongly in one world and weakly in another, so the nearest
    world counts. `threshold` is the deviation from it from which a world counts as unknown. Raises
    ValueError, naming the field, without a world or with a threshold that is not positive.
    """

    worlds: tuple[World, ...]
    threshold: float
    sha256: str

    def __post_init__(self) -> None:
        check_field(bool(self.worlds), 'worlds', self.worlds, 'one or more')
        check_field(_is_positive(self.threshold), 'threshold', self.threshold, 'positive')


class SelfCheck:
    """Shows the frames of one car to the network again, and judges the sums of the angles."""

    def __init__(self, network: Repeater, calibration: Calibration | None = None) -> None:
        """Without a calibration only `sum_rad` can be used."""
        self._network = network
        self._calibration = calibration
        self._maps = changes(network.profile)
        self._side = 0
        self._nearest = Nearest(calibration.worlds if calibration else ())

    def sum_rad(self, steering_rad: float) -> tuple[int, float]:
        """Return the side and the sum of both angles; `steering_rad` answered the newest frame."""
        side, self._side = self._side, (self._side + 1) % SIDES
        return side, steering_rad + self._network.predict_changed(self._maps[side])

    def uncertainty(self, steering_rad: float, now_s: float) -> float:
        """Return 0..1 for the newest frame, which `steering_rad` answers: 0.5 is the threshold."""
        assert self._calibration is not None
        deviation = self._nearest.add(*self.sum_rad(steering_rad), now_s)
        return deviation / (deviation + self._calibration.threshold)


class Deviation:
    """Root mean square of the newest deviations, with an exponential memory."""

    def __init__(self) -> None:
        self._square = 1.0
        self._last_s: float | None = None

    def add(self, deviation: float, now_s: float) -> float:
        """Add the deviation of a frame; return the mean. It begins at 1."""
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        share = 1.0 - math.exp(-max(0.0, min(passed_s, _LONGEST_STEP_S)) / _MEMORY_S)
        self._square += share * (deviation**2 - self._square)
        return math.sqrt(self._square)


class Nearest:
    """The mean deviation from the nearest of several worlds."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self._worlds = [(world, Deviation()) for world in worlds]

    def add(self, side: int, sum_rad: float, now_s: float) -> float:
        """Add a frame; return the deviation from the world that has been nearest of late."""
        return min(mean.add(world.deviation(side, sum_rad), now_s) for world, mean in self._worlds)


def changes(profile: Profile) -> Sequence[Maps]:
    """Return the maps that mirror and displace the input of a network, for each side."""
    camera = find_camera(profile.camera)
    return [_change(profile, camera, left_m) for left_m in (_DISPLACED_M, -_DISPLACED_M)]


def _change(profile: Profile, camera: Pinhole, left_m: float) -> Maps:
    to_frame = profile.image_from_picture()
    flipped = np.array([[-1.0, 0.0, camera.width_px], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    _, ground = image_from_image(camera, camera.mirrored, (0.0, left_m, 0.0))
    matrix = np.linalg.inv(to_frame) @ flipped @ ground @ to_frame
    height, width, _ = profile.output_shape()
    x, y = mapped(matrix, width, height)
    first, second = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return np.asarray(first), np.asarray(second)


SteeringSums = tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Side, sum in rad, and time in s of each frame of a drive."""


def calibrate(drives: Sequence[SteeringSums], sha256: str) -> Calibration:
    """Return the calibration of a network by drives, one in each world that it knows.

    Raises ValueError if a drive has too few frames, as `check_length` does.
    """
    worlds = tuple(map(_world, drives))
    deviations = np.concatenate([_deviations(drive, worlds) for drive in drives])
    # Each drive has the same weight, so that a long one does not set the threshold alone.
    weights = np.concatenate([np.full(len(drive[0]), 1.0 / len(drive[0])) for drive in drives])
    order = np.argsort(deviations)
    reached = np.searchsorted(np.cumsum(weights[order]), _QUANTILE * len(drives))
    threshold = _MARGIN * float(deviations[order][reached])
    return Calibration(worlds, threshold, sha256)


def _deviations(drive: SteeringSums, worlds: Sequence[World]) -> npt.NDArray[np.float64]:
    nearest = Nearest(worlds)
    frames = zip(*drive, strict=True)
    return np.array([nearest.add(int(side), float(rad), float(s)) for side, rad, s in frames])


def check_length(drive: SteeringSums, name: str = 'a drive') -> None:
    """Raise ValueError, with the name of the drive, if it has too few frames to calibrate."""
    sides, *_ = drive
    if min(np.bincount(sides, minlength=SIDES)) < LEAST_FRAMES // SIDES:
        raise ValueError(
            f'{name} of {len(sides)} frames is too short to calibrate the monitor; '
            f'it must have {LEAST_FRAMES} or more, on the road'
        )


def _world(drive: SteeringSums) -> World:
    check_length(drive)
    sides, sums_rad, _ = drive
    parts = [sums_rad[sides == side] for side in range(SIDES)]
    spread_rad = (max(_LEAST_SPREAD_RAD, float(part.std())) for part in parts)
    return World(_pair(part.mean() for part in parts), _pair(spread_rad))


def calibration_path(model: Path) -> Path:
    """Return the path of the calibration of a network: `<stem>.monitor.json` beside it."""
    return model.with_suffix('.monitor.json')


def calibration_of(model: str | Path) -> Calibration | None:
    """Return the calibration of a network by its file or `default`; None if it has none.

    A calibration of other weights counts as none. Raises ModelError for a file that is none.
    """
    network = model_path(model)
    path = calibration_path(network)
    if not path.is_file():
        return None
    try:
        fields = json.loads(path.read_text(encoding='utf-8'))
        worlds = [World(_pair(w['mean_rad']), _pair(w['spread_rad'])) for w in fields['worlds']]
        found = Calibration(tuple(worlds), float(fields['threshold']), str(fields['sha256']))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f'{path} is no calibration of the monitor: {error!r}') from error
    return found if found.sha256 == sha256_of(network) else None


def write_calibration(model: str | Path, calibration: Calibration) -> Path:
    """Write the calibration beside a network; return its path."""
    path = calibration_path(model_path(model))
    path.write_text(json.dumps(asdict(calibration), indent=2) + '\n', encoding='utf-8')
    return path


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0.0


def _pair(values: Iterable[float]) -> tuple[float, float]:
    first, second = map(float, values)
    return first, second
