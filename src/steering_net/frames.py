"""Hold training frames in memory: crops of recorded and rendered images, with their labels."""

import functools
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.augment import CROP_BOTTOM, CROP_TOP, Augmentation
from steering_net.dataset import Log, LogError, base_name, read_image, read_log
from steering_net.dataset import smoothed_steering_rad as smoothed
from steering_net.preprocess import FRAME_HEIGHT, FRAME_WIDTH, ImageError, Profile, Rgb
from steering_net.recording import Recording

SampleFactory = Callable[[], Iterable[tuple[Rgb, float]]]

_LOG = logging.getLogger(__name__)
_CROP_SHAPE = (CROP_BOTTOM - CROP_TOP, FRAME_WIDTH, 3)
# Neighbouring frames are all but equal: what validates must be cut out in long pieces.
_PIECE_FRAMES = 100
_VALIDATION_PIECE = 10
_STRAIGHT_RAD = 0.01


@dataclass(frozen=True)
class Frames:
    """Crops uint8 (n, 95, 320, 3) RGB and their steering, rad, left positive, float32 (n,).

    `held_out` (n,) bool marks what validates and is never trained on.
    """

    crops: NDArray[np.uint8]
    steering_rad: NDArray[np.float32]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.crops)

    def part(self, held_out: bool) -> 'Frames':
        """Return only what is held out, or only the rest."""
        chosen = self.held_out == held_out
        return Frames(self.crops[chosen], self.steering_rad[chosen], self.held_out[chosen])

    def blurred(self, profile: Profile) -> 'Frames':
        """Return the frames with the profile's rows blurred as it blurs them.

        The crops of this one are changed, for there is hardly memory for two.
        """
        rows = slice(*(profile.rows or (None,)))

        def blur(crop: Rgb) -> None:
            crop[rows] = cv2.GaussianBlur(crop[rows], (profile.blur, profile.blur), 0)

        if profile.blur:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                list(threads.map(blur, self.crops))
        return self


@dataclass(frozen=True)
class LogSource:
    """A driving log to train on.

    `label_logs` hold the whole time series of the runs that this log samples: the smoothed
    labels come from there where a frame is in one. `only_sources` keeps rows of these sources.
    """

    csv: Path
    label_logs: tuple[Path, ...] = ()
    only_sources: tuple[str, ...] = ()


def recorded_frames(
    sources: Sequence[LogSource],
    settings: Augmentation,
    recordings: Sequence[Recording] = (),
    keep_straight: float = 1.0,
    seed: int = 0,
) -> Frames:
    """Load every usable image of logs and recordings; side cameras get a corrected label.

    Of frames that train and are labelled with less than 0.01 rad, only the share
    `keep_straight` (0..1) is kept, chosen by `seed`: most of a lap goes straight on. Bad rows and
    images are reported as warnings. Raises LogError where nothing is left.
    """
    collected = _Collector(keep_straight, seed)
    for source in sources:
        log = read_log(source.csv)
        for bad in log.bad_rows:
            _LOG.warning('%s line %d left out: %s', source.csv, bad.line, bad.reason)
        _collect_log(log, source, settings, collected)
    for recording in recordings:
        _collect_recording(recording, collected)
    names = [str(source.csv) for source in sources] + [r.name for r in recordings]
    if names and not collected.crops:
        raise LogError(f'no image of {", ".join(names)} can be used')
    return collected.frames()


def rendered_frames(samples: Iterable[tuple[Rgb, float]], total: int | None = None) -> Frames:
    """Take (frame uint8 (160, 320, 3) RGB, steering in rad) pairs; the last tenth validates.

    The frames should have been compressed like those that the network will drive by.
    """
    collected = _Collector()
    for rgb, steering_rad in tqdm(samples, 'rendering', total=total, unit='frame', disable=None):
        collected.add(crop_of(rgb), steering_rad, False)
    frames = collected.frames()
    frames.held_out[len(frames) - len(frames) // _VALIDATION_PIECE :] = True
    return frames


def crop_of(rgb: Rgb) -> Rgb:
    """Return rows 50 to 145 of a frame, or a stored crop as it is; ImageError for other sizes."""
    if rgb.shape == _CROP_SHAPE:
        return rgb
    if rgb.shape != (FRAME_HEIGHT, FRAME_WIDTH, 3):
        raise ImageError(f'training takes 320 x 160 frames, not {rgb.shape}')
    return rgb[CROP_TOP:CROP_BOTTOM]


class _Wanted(NamedTuple):
    """An image to read."""

    name: str
    load: Callable[[], Rgb]
    steering_rad: float
    held_out: bool

    def crop(self) -> Rgb | ImageError:
        """Read it; an error is returned, for a thread can raise it to nobody."""
        try:
            return np.ascontiguousarray(crop_of(self.load()))
        except ImageError as error:
            return error


class _Collector:
    def __init__(self, keep_straight: float = 1.0, seed: int = 0) -> None:
        self._keep_straight = keep_straight
        self._rng = np.random.default_rng(seed)
        self.crops: list[Rgb] = []
        self.steering_rad: list[float] = []
        self.held_out: list[bool] = []

    def wants(self, steering_rad: float, held_out: bool) -> bool:
        """Whether a frame with this label is kept; what validates always is."""
        is_straight = abs(steering_rad) < _STRAIGHT_RAD
        return held_out or not is_straight or self._rng.random() < self._keep_straight

    def read(self, wanted: Sequence[_Wanted], title: str) -> None:
        """Read images with all processors, and keep them in order."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            crops = threads.map(_Wanted.crop, wanted)
            bar = tqdm(crops, title, total=len(wanted), unit='image', disable=None)
            for image, crop in zip(wanted, bar, strict=True):
                if isinstance(crop, ImageError):
                    _LOG.warning('%s left out: %s', image.name, crop)
                else:
                    self.add(crop, image.steering_rad, image.held_out)

    def add(self, crop: Rgb, steering_rad: float, held_out: bool) -> None:
        self.crops.append(np.ascontiguousarray(crop))
        self.steering_rad.append(steering_rad)
        self.held_out.append(held_out)

    def frames(self) -> Frames:
        crops = np.stack(self.crops) if self.crops else np.empty((0, *_CROP_SHAPE), np.uint8)
        self.crops.clear()
        return Frames(
            crops, np.array(self.steering_rad, np.float32), np.array(self.held_out, bool)
        )


def _collect_log(
    log: Log, source: LogSource, settings: Augmentation, collected: _Collector
) -> None:
    labels = _labels(log, source.label_logs)
    rows = [r for r in log.rows if not source.only_sources or r.source in source.only_sources]
    wanted = []
    for index, row in enumerate(rows):
        held_out = is_held_out(index)
        label = labels[base_name(row.center)]
        if not collected.wants(label, held_out):
            continue
        cameras = [(row.center, 0.0)]
        # What validates is what drives: the centre camera alone.
        if not held_out:
            cameras += [(name, side) for name, side in ((row.left, 1), (row.right, -1)) if name]
        for name, side in cameras:
            moved = settings.moved_label(label, side * settings.side_camera_m)
            load = functools.partial(read_image, name, log.path.parent)
            wanted.append(_Wanted(name, load, moved, held_out))
    collected.read(wanted, source.csv.name)


def _collect_recording(recording: Recording, collected: _Collector) -> None:
    wanted = []
    for index, label in enumerate(recording.target_rad.tolist()):
        held_out = is_held_out(index)
        if collected.wants(label, held_out):
            load = functools.partial(recording.frame, index)
            wanted.append(_Wanted(recording.frame_names[index], load, label, held_out))
    collected.read(wanted, recording.name)


def is_held_out(index: int) -> bool:
    """Whether the row with this index validates: every tenth piece of a hundred does."""
    return index // _PIECE_FRAMES % _VALIDATION_PIECE == _VALIDATION_PIECE - 1


def _labels(log: Log, label_logs: Sequence[Path]) -> dict[str, float]:
    labels: dict[str, float] = {}
    for rows in (log.rows, *(read_log(path).rows for path in label_logs)):
        names = [base_name(row.center) for row in rows]
        labels.update(zip(names, smoothed(rows).tolist(), strict=True))
    return labels
