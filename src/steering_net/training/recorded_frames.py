# SPDX-License-Identifier: Apache-2.0
"""Recorded frames to train on: images of logs and recordings, read and labelled."""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from steering_net.data.centerline import Edges, edges_of
from steering_net.data.driving_log import Log, LogError, Series, read_log
from steering_net.data.frame_files import LeftOut, base_name, read_image
from steering_net.data.recording import Recording, camera_of, warn_of_bad_rows
from steering_net.errors import ImageError
from steering_net.process import cores
from steering_net.training.augmentation import Augmentation
from steering_net.training.frames import Frames, blurred, is_held_out
from steering_net.training.labels import (
    Labelling,
    OnMap,
    check_names,
    of_log,
    of_recording,
    of_whole_run,
)
from steering_net.vision.camera_model import Rgb, find_camera
from steering_net.vision.crop import CROP_SHAPE, crop_of
from steering_net.vision.frame_size import SizeNotice
from steering_net.vision.profile import Profile

_LOG = logging.getLogger(__name__)
_STRAIGHT_RAD = 0.01


@dataclass(frozen=True)
class LogSource:
    """A driving log to train on.

    `label_logs` hold the whole time series of the runs that this log samples: a frame that is in
    one of them gets its label from there. `only_sources` selects rows by their source. `camera`
    is the camera of the images, and `steering_unit` the unit of the steering, as `read_folder`
    takes them. `as_steered`: the labels are the recorded steering, whatever the labelling of the
    training is.
    """

    csv: Path
    label_logs: tuple[Path, ...] = ()
    only_sources: tuple[str, ...] = ()
    camera: str = ''
    steering_unit: str = ''
    as_steered: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown camera."""
        if self.camera:
            find_camera(self.camera)

    def labelling(self, usual: Labelling) -> Labelling:
        """Return the labelling of this log in a training whose labelling is `usual`."""
        return Labelling() if self.as_steered else usual


def recorded_frames(
    sources: Sequence[LogSource],
    settings: Augmentation,
    profile: Profile,
    recordings: Sequence[Recording] = (),
    *,
    labelling: Labelling | None = None,
    on_map: OnMap | None = None,
    keep_straight: float = 1.0,
    seed: int = 0,
) -> Frames:
    """Return every usable image of logs and recordings; side cameras get a corrected label.

    Of the training frames with a label below 0.01 rad, only the share `keep_straight` (0..1) is
    kept, chosen by `seed`, because most of a lap is almost straight. The crops are blurred as
    `profile` (below CROP_TOP) prescribes. Unusable rows and images, and frames without a known
    label, give warnings. `on_map` is needed for labels of the kind `map`. Raises LogError if no
    frame is left, if no log has a row of one of the `only_sources`, if several images have a name
    of one of the `label_logs`, or if labels of the kind `map` are asked for and no frame has a
    place on a map.
    """
    labelling = labelling or Labelling()
    thinning = _Thinning(keep_straight, np.random.default_rng(seed))
    logs = _chosen(sources)
    wanted: list[_Wanted] = []
    images = [_Images(log, source) for log, source in zip(logs, sources, strict=True)]
    found = _labels(logs, sources, images, labelling, on_map)
    labelled = zip(logs, images, found, strict=True)
    for log, read, labels in labelled:
        wanted += _of_log(log, read, labels, settings, thinning)
    for recording in recordings:
        loads = [functools.partial(recording.frame, index) for index in range(len(recording))]
        seen = _seen(loads, recording.camera, labelling)
        labels = of_recording(recording, labelling, seen, on_map)
        wanted += _of_recording(recording, labels, thinning)
    if on_map is not None:
        on_map.check()
    names = [str(source.csv) for source in sources] + [r.name for r in recordings]
    left_out = LeftOut('training')
    if names and not wanted:
        reason = f': keep_straight is {keep_straight}' if keep_straight < 1 else ''
        raise LogError(f'no frame of {", ".join(names)} is left to train on{reason}')
    frames = _read(wanted, profile, left_out)
    if names and not len(frames):
        raise LogError(f'no image of {", ".join(names)} can be used{left_out.last_reason}')
    left_out.warn()
    return frames


class _Thinning(NamedTuple):
    """Leaves out training frames with almost no steering."""

    keep_straight: float
    rng: np.random.Generator

    def keeps(self, steering_rad: float, held_out: bool) -> bool:
        """Whether a frame with this label is kept; frames that validate always are."""
        is_straight = abs(steering_rad) < _STRAIGHT_RAD
        return held_out or not is_straight or self.rng.random() < self.keep_straight


class _Images:
    """Reads the images of a log, and warns once if they have to be scaled."""

    def __init__(self, log: Log, source: LogSource) -> None:
        self.camera = source.camera or camera_of(row.center for row in log.rows)
        self._root = log.path.parent
        self._notice = SizeNotice(str(log.path))

    def __call__(self, name: str) -> Rgb:
        """Return an image, uint8 (H, W, 3) RGB; ImageError if it is missing or broken."""
        rgb = read_image(name, self._root)
        self._notice.look(rgb)
        return rgb


class _Wanted(NamedTuple):
    """An image to read."""

    name: str
    load: Callable[[], Rgb]
    camera: str
    steering_rad: float
    held_out: bool


def _read(wanted: Sequence[_Wanted], profile: Profile, left_out: LeftOut) -> Frames:
    """Return images, read with all processors into one array.

    Unusable images are added to `left_out`. Those without a known label are left out too.
    """
    crops = np.empty((len(wanted), *CROP_SHAPE), np.uint8)
    seen_by = find_camera(profile.camera)

    def read(index: int) -> bool:
        try:
            image = wanted[index]
            crops[index] = crop_of(image.load(), find_camera(image.camera), seen_by)
        except ImageError as error:
            left_out.add(wanted[index].name, error)
            return False
        blurred(crops[index], profile)
        return True

    with ThreadPoolExecutor(cores()) as threads:
        done = threads.map(read, range(len(wanted)))
        bar = tqdm(done, 'reading', total=len(wanted), unit='image', disable=None)
        good = np.fromiter(bar, bool, len(wanted))
    steering_rad = np.array([image.steering_rad for image in wanted], np.float32)
    held_out = np.array([image.held_out for image in wanted], bool)
    labelled = np.isfinite(steering_rad)
    if missing := int((good & ~labelled).sum()):
        _LOG.warning('%d images left out: no label is known there', missing)
    good &= labelled
    if good.all():
        return Frames(crops, steering_rad, held_out)
    # In place, because a copy would need twice the memory.
    kept = np.flatnonzero(good)
    for place, index in enumerate(kept):
        crops[place] = crops[index]
    return Frames(crops[: len(kept)], steering_rad[good], held_out[good])


def _chosen(sources: Sequence[LogSource]) -> list[Log]:
    """Return the logs with the rows of their `only_sources`."""
    logs = [read_log(source.csv, source.steering_unit) for source in sources]
    found = {row.source for log in logs for row in log.rows}
    for name in (name for source in sources for name in source.only_sources):
        if name not in found:
            known = ', '.join(sorted(name for name in found if name)) or 'none'
            raise LogError(f'no log has rows of the source {name!r}; the sources are: {known}')
    for log in logs:
        warn_of_bad_rows(log)
    return [
        replace(log, rows=[row for row in log.rows if not only or row.source in only])
        for log, only in zip(logs, (source.only_sources for source in sources), strict=True)
    ]


def _of_log(
    log: Log, read: _Images, labels: Series, settings: Augmentation, thinning: _Thinning
) -> Iterator[_Wanted]:
    for index, (row, label) in enumerate(zip(log.rows, labels.tolist(), strict=True)):
        held_out = is_held_out(index)
        if not thinning.keeps(label, held_out):
            continue
        cameras = [(row.center, 0.0)]
        # Only the centre camera validates, because only it drives.
        if not held_out:
            cameras += [(name, side) for name, side in ((row.left, 1), (row.right, -1)) if name]
        for name, side in cameras:
            moved = settings.moved_label(label, side * settings.side_camera_m)
            yield _Wanted(name, functools.partial(read, name), read.camera, moved, held_out)


def _of_recording(recording: Recording, labels: Series, thinning: _Thinning) -> Iterator[_Wanted]:
    times = recording.times_to_train
    for index, label in enumerate(labels.tolist()):
        held_out = is_held_out(index)
        wanted = 1 if times is None else int(times[index])
        # A frame validates once at most, because it would count more than others otherwise.
        for _ in range(min(wanted, 1) if held_out else wanted):
            if thinning.keeps(label, held_out):
                load = functools.partial(recording.frame, index)
                name = recording.frame_names[index]
                yield _Wanted(name, load, recording.camera, label, held_out)


def _labels(
    logs: Sequence[Log],
    sources: Sequence[LogSource],
    images: Sequence[_Images],
    labelling: Labelling,
    on_map: OnMap | None,
) -> Iterator[Series]:
    """Yield the labels of the rows of each log, rad, left positive; NaN where they are unknown."""
    read_whole = functools.cache(read_log)
    for path, steering_unit in {(p, s.steering_unit): None for s in sources for p in s.label_logs}:
        used_by = [log for log, s in zip(logs, sources, strict=True) if path in s.label_logs]
        check_names(read_whole(path, steering_unit), used_by)
    kinds = [source.labelling(labelling) for source in sources]
    seen = [
        _seen([functools.partial(read, row.center) for row in log.rows], read.camera, kind)
        for log, read, kind in zip(logs, images, kinds, strict=True)
    ]

    @functools.cache
    def whole(path: Path, steering_unit: str, kind: Labelling) -> dict[str, float]:
        by_name = {
            base_name(row.center): edges
            for log, source, found in zip(logs, sources, seen, strict=True)
            if path in source.label_logs
            for row, edges in zip(log.rows, found, strict=True)
            if edges is not None
        }
        return of_whole_run(read_whole(path, steering_unit), kind, by_name, on_map)

    for log, source, kind, found in zip(logs, sources, kinds, seen, strict=True):
        known: dict[str, float] = {}
        for path in source.label_logs:
            known |= whole(path, source.steering_unit, kind)
        yield of_log(log, kind, found, known, on_map)


def _seen(
    loads: Sequence[Callable[[], Rgb]], camera: str, labelling: Labelling
) -> list[Edges | None]:
    """Return the road's edges in each frame; None without reading it if no label needs them."""
    return [None] * len(loads) if labelling.kind == 'steering' else edges_of(loads, camera)
