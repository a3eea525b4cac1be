# SPDX-License-Identifier: Apache-2.0
"""SelfCheck: measures whether a network answers changed frames as it does in known worlds.

Each frame is shown to the network twice more, mirrored and changed: as seen by a car that is
turned to the left and to the right or, for every other frame, on a road that bends more to the
left and to the right. A mirrored world needs the opposite steering, so the answers to the frame
and to its mirrored copies nearly cancel. Half of the difference between both copies is the
response to the change. In known worlds both are nearly the same at every place. A network that
does not see the road, or whose weights are damaged, answers otherwise. No other network and no
training is needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from steering_net.errors import ModelError, check_field
from steering_net.inference.predictor import model_path
from steering_net.model_io.files import sha256_of
from steering_net.vision.camera_model import Matrix, Pinhole, find_camera, image_from_image
from steering_net.vision.profile import Profile
from steering_net.vision.view import Maps, through

MEASURES = ('asymmetry', 'response to a turn', 'response to a bend')
"""What is measured; the changes, turn and bend, take turns."""

_TURNED_RAD = 0.06
_BENT_PER_M = 0.01
_LONGEST_VIEW_M = 25.0
"""Distance from the camera beyond which a bent road is shown to run straight on."""
_MEMORY_S = 1.0
"""Time constant of the means over the newest frames."""
_LONGEST_STEP_S = 0.4
_LEAST_SPREAD_RAD = 1e-4
LEAST_FRAMES = 200
"""Frames that each drive of a calibration needs, half of them for each change."""
_QUANTILE = 0.99
_MARGIN = 2.2
"""The threshold lies so many times above the quantile of the deviations in known worlds."""
_LEAST_THRESHOLD = 1.0

Floats = npt.NDArray[np.float64]
Change = tuple[Maps, Maps]
"""The maps for a change to the left and to the right."""


class Repeater(Protocol):
    """A network that can be shown its newest frame again; see `Predictor`."""

    profile: Profile

    def predict_changed(self, changes: Sequence[Maps]) -> Sequence[float]:
        """Return the steering angles, rad, for the newest frame, resampled by each of the maps."""


class Answers(NamedTuple):
    """How the network answers a frame and its two changed copies, rad.

    `asymmetry_rad` is the angle for the frame plus the mean of both others, `response_rad` half
    of the difference between those.
    """

    change: int
    asymmetry_rad: float
    response_rad: float


@dataclass(frozen=True)
class World:
    """Mean and standard deviation of each of MEASURES in a world, rad.

    Raises ValueError, naming the field, for a value with which no deviation can be computed.
    """

    mean_rad: tuple[float, ...]
    spread_rad: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, row in (('mean_rad', self.mean_rad), ('spread_rad', self.spread_rad)):
            check_field(len(row) == len(MEASURES), name, row, f'{len(MEASURES)} numbers')
        check_field(all(map(math.isfinite, self.mean_rad)), 'mean_rad', self.mean_rad, 'finite')
        check_field(
            all(map(_is_positive, self.spread_rad)), 'spread_rad', self.spread_rad, 'positive'
        )


@dataclass(frozen=True)
class Calibration:
    """The worlds that a network knows, and the hash of the network.

    A network may answer a change strongly in one world and weakly in another, so the nearest world
    counts. `threshold` is the deviation from it from which a world counts as unknown. Raises
    ValueError, naming the field, without a world or with a threshold that is not positive.
    """

    worlds: tuple[World, ...]
    threshold: float
    sha256: str

    def __post_init__(self) -> None:
        check_field(bool(self.worlds), 'worlds', self.worlds, 'one or more')
        check_field(_is_positive(self.threshold), 'threshold', self.threshold, 'positive')


class SelfCheck:
    """Shows the frames of one car to the network again, and judges the answers."""

    def __init__(self, network: Repeater, calibration: Calibration | None = None) -> None:
        """Without a calibration only `answers` can be used."""
        self._network = network
        self._calibration = calibration
        self._changes = changes(network.profile)
        self._next = 0
        self._nearest = Nearest(calibration.worlds if calibration else ())

    def answers(self, steering_rad: float) -> Answers:
        """Return how the network answers the newest frame, for which it gave `steering_rad`."""
        change, self._next = self._next, (self._next + 1) % len(self._changes)
        left_rad, right_rad = self._network.predict_changed(self._changes[change])
        return Answers(
            change, steering_rad + (left_rad + right_rad) / 2, (left_rad - right_rad) / 2
        )

    def uncertainty(self, steering_rad: float, now_s: float) -> float:
        """Return 0..1 for the newest frame, which `steering_rad` answers: 0.5 is the threshold."""
        assert self._calibration is not None
        deviation = self._nearest.add(self.answers(steering_rad), now_s)
        return deviation / (deviation + self._calibration.threshold)


class Nearest:
    """The deviation from the nearest of several worlds, in standard deviations.

    The deviations of asymmetry and responses are averaged over the newest frames, with an
    exponential memory. The deviation from a world is their root mean square.
    """

    def __init__(self, worlds: Sequence[World]) -> None:
        shape = (len(worlds), len(MEASURES))
        self._mean_rad = np.reshape([world.mean_rad for world in worlds], shape)
        self._spread_rad = np.reshape([world.spread_rad for world in worlds], shape)
        self._deviations = np.zeros(shape)
        self._last_s: list[float | None] = [None] * len(MEASURES)

    def add(self, answers: Answers, now_s: float) -> float:
        """Add a frame; return the deviation from the world that has been nearest of late."""
        self._average(0, answers.asymmetry_rad, now_s)
        self._average(1 + answers.change, answers.response_rad, now_s)
        return math.sqrt(np.square(self._deviations).mean(axis=1).min())

    def _average(self, column: int, value_rad: float, now_s: float) -> None:
        last_s, self._last_s[column] = self._last_s[column], now_s
        passed_s = 0.0 if last_s is None else now_s - last_s
        share = 1.0 - math.exp(-max(0.0, min(passed_s, _LONGEST_STEP_S)) / _MEMORY_S)
        newest = (value_rad - self._mean_rad[:, column]) / self._spread_rad[:, column]
        self._deviations[:, column] += share * (newest - self._deviations[:, column])


def changes(profile: Profile) -> Sequence[Change]:
    """Return the maps that mirror and change the input of a network, for each change."""
    camera = find_camera(profile.camera)
    return [
        (_turned(profile, camera, _TURNED_RAD), _turned(profile, camera, -_TURNED_RAD)),
        (_bent(profile, camera, _BENT_PER_M), _bent(profile, camera, -_BENT_PER_M)),
    ]


def _turned(profile: Profile, camera: Pinhole, left_rad: float) -> Maps:
    """Return the maps for a car that is turned to the left."""
    far, _ = image_from_image(camera, camera.mirrored, (0.0, 0.0, left_rad))
    return _maps(profile, camera, *_seen(profile, far))


def _bent(profile: Profile, camera: Pinhole, per_m: float) -> Maps:
    """Return the maps for a road that bends more to the left, by `per_m`.

    A point z m ahead moves by z^2 / 2 times the curvature to the left, so on the image it moves by
    z / 2 times the curvature, in focal lengths.
    """
    far, _ = image_from_image(camera, camera.mirrored)
    u, v = _seen(profile, far)
    below_px = np.maximum(v - camera.horizon_px, 1e-3)
    ahead_m = np.minimum(camera.focal_px * camera.height_m / below_px, _LONGEST_VIEW_M)
    return _maps(profile, camera, u + camera.focal_px * per_m * ahead_m / 2, v)


def _seen(profile: Profile, matrix: Matrix) -> tuple[Floats, Floats]:
    """Return where a homography of the frame maps each pixel of the input, (h, w) each."""
    height, width, _ = profile.output_shape()
    pixels = np.meshgrid(np.arange(width), np.arange(height))
    return through(matrix @ profile.image_from_picture(), *pixels)


def _maps(profile: Profile, camera: Pinhole, u: Floats, v: Floats) -> Maps:
    """Return the maps of `cv2.remap`, given coordinates of the mirrored frame."""
    picture_from_image = np.asarray(np.linalg.inv(profile.image_from_picture()), np.float64)
    x, y = through(picture_from_image, camera.width_px - u, v)
    first, second = cv2.convertMaps(x.astype(np.float32), y.astype(np.float32), cv2.CV_16SC2)
    return np.asarray(first), np.asarray(second)


CheckedDrive = Sequence[tuple[Answers, float]]
"""The answers to each frame of a drive, and its time in s."""


def calibrate(drives: Sequence[CheckedDrive], sha256: str) -> Calibration:
    """Return the calibration of a network by drives, one in each world that it knows.

    Raises ValueError if a drive has too few frames, as `check_length` does.
    """
    worlds = tuple(map(_world, drives))
    deviations = np.concatenate([_deviations(drive, worlds) for drive in drives])
    # Each drive has the same weight, so that a long one does not set the threshold alone.
    weights = np.concatenate([np.full(len(drive), 1.0 / len(drive)) for drive in drives])
    order = np.argsort(deviations)
    reached = np.searchsorted(np.cumsum(weights[order]), _QUANTILE * len(drives))
    threshold = max(_LEAST_THRESHOLD, _MARGIN * float(deviations[order][reached]))
    return Calibration(worlds, threshold, sha256)


def _deviations(drive: CheckedDrive, worlds: Sequence[World]) -> Floats:
    nearest = Nearest(worlds)
    return np.array([nearest.add(answers, time_s) for answers, time_s in drive])


def check_length(drive: CheckedDrive, name: str = 'a drive') -> None:
    """Raise ValueError, with the name of the drive, if it has too few frames to calibrate."""
    if len(drive) < LEAST_FRAMES:
        raise ValueError(
            f'{name} of {len(drive)} frames is too short to calibrate the monitor; '
            f'it must have {LEAST_FRAMES} or more, on the road'
        )


def _world(drive: CheckedDrive) -> World:
    check_length(drive)
    parts = [np.array([answers.asymmetry_rad for answers, _ in drive])]
    for change in range(len(MEASURES) - 1):
        parts.append(np.array([a.response_rad for a, _ in drive if a.change == change]))
    spreads = (max(_LEAST_SPREAD_RAD, float(part.std())) for part in parts)
    return World(tuple(float(part.mean()) for part in parts), tuple(spreads))


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
        worlds = [World(_row(w['mean_rad']), _row(w['spread_rad'])) for w in fields['worlds']]
        found = Calibration(tuple(worlds), float(fields['threshold']), str(fields['sha256']))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f'{path} is not a calibration of the monitor: {error!r}') from error
    return found if found.sha256 == sha256_of(network) else None


def write_calibration(model: str | Path, calibration: Calibration) -> Path:
    """Write the calibration beside a network; return its path."""
    path = calibration_path(model_path(model))
    path.write_text(json.dumps(asdict(calibration), indent=2) + '\n', encoding='utf-8')
    return path


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0.0


def _row(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(map(float, values))
