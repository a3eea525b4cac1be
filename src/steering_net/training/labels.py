# SPDX-License-Identifier: Apache-2.0
"""Labels of recorded frames: the recorded steering, or one that leads to the road's middle."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from steering_net.data.centerline import Edges, middles_of, towards_middle_rad
from steering_net.data.driving_log import Log, LogError, Series, rows_by_folder
from steering_net.data.frame_files import base_name
from steering_net.data.recording import Recording, from_log, no_speed, warn_of_missing_times
from steering_net.data.steering_smoothing import smoothed_steering_rad
from steering_net.data.trajectory import runs
from steering_net.errors import check_field

KINDS = ('steering', 'middle', 'map')


@dataclass(frozen=True)
class Labelling:
    """Settings of labels.

    `kind` is `steering` for the recorded steering, as its one-second mean where it came from a
    keyboard, or `middle` for the steering that leads to the road's middle `look_ahead_m` ahead, as
    the frames show it, or `map` for the steering of the expert at the frame's place on a known
    track, which returns to the middle `look_ahead_m` ahead. The label is that of `delay_s` (0 to
    1) before the frame.
    """

    kind: str = 'steering'
    delay_s: float = 0.0
    look_ahead_m: float = 16.0

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value outside its range."""
        check_field(self.kind in KINDS, 'kind', repr(self.kind), ' or '.join(KINDS))
        check_field(0 <= self.delay_s <= 1, 'delay_s', self.delay_s, '0..1 s')
        check_field(self.look_ahead_m > 0, 'look_ahead_m', self.look_ahead_m, 'greater than 0')


class OnMap(Protocol):
    """Labels recordings by their places on known tracks."""

    def __call__(
        self, recording: Recording, seen: Sequence[Edges | None], look_ahead_m: float
    ) -> Series:
        """Return the steering of the expert at each row: (n,), rad; NaN for rows without a place.

        `seen` holds the road's edges in each frame. The expert returns to the middle of the road
        `look_ahead_m` ahead.
        """

    def check(self) -> None:
        """Raise LogError, with the reason, if there were rows and none of them has a place."""


def of_recording(
    recording: Recording,
    labelling: Labelling,
    seen: Sequence[Edges | None] = (),
    on_map: OnMap | None = None,
) -> Series:
    """Return the label of each frame: (n,), rad, left positive; NaN where it is not known.

    `seen` holds the road's edges in each frame, for `middle` and `map`; `on_map` is needed for
    `map`. Raises LogError if `middle` needs speeds and the recording has none.
    """
    if labelling.kind == 'middle' and not recording.speed_mps.any():
        raise no_speed(recording)
    return _of_runs(recording, labelling, seen, on_map)


def _of_runs(
    recording: Recording,
    labelling: Labelling,
    seen: Sequence[Edges | None],
    on_map: OnMap | None,
) -> Series:
    right_rad = recording.target_rad
    if labelling.kind == 'map':
        if on_map is None:
            raise ValueError('labels of the kind map need an OnMap')
        right_rad = on_map(recording, seen, labelling.look_ahead_m)
    elif labelling.kind == 'middle':
        right_rad = np.empty(len(recording))
        for run, trajectory, middle_m in middles_of(recording, seen):
            right_rad[run] = towards_middle_rad(trajectory, middle_m, labelling.look_ahead_m)
    labels = np.empty(len(recording))
    for run in runs(recording.times_s):
        times_s = recording.times_s[run]
        labels[run] = np.interp(times_s - labelling.delay_s, times_s, right_rad[run])
    return labels


def of_log(
    log: Log,
    labelling: Labelling,
    seen: Sequence[Edges | None],
    known: Mapping[str, float],
    on_map: OnMap | None = None,
) -> Series:
    """Return the label of each row of a log: (n,), rad, left positive; NaN where it is not known.

    `known` holds the labels of images, as `of_whole_run` returns them: a row whose image is one of
    them has that label. `seen` and `on_map` are as in `of_recording`.
    """
    names = [base_name(row.center) for row in log.rows]
    own = _own(log, labelling, seen, on_map, known)
    return np.array([known.get(name, label) for name, label in zip(names, own, strict=True)])


def check_names(whole: Log, logs: Sequence[Log]) -> None:
    """Raise LogError if it is not clear which image a label of the log of a whole run is for.

    `logs` hold samples of the run. Their images are found in it by file name alone, because its
    paths may be those of another folder. So no two images may have a name that is in both.
    """
    shared = _names([whole]) & _names(logs)
    for group in ([whole], logs):
        found: dict[str, tuple[Log, str]] = {}
        for log, image in ((each, row.center) for each in group for row in each.rows):
            name = base_name(image)
            first, other = found.setdefault(name, (log, image))
            is_same = (first.path.parent, other) == (log.path.parent, image)
            if name in shared and not is_same:
                raise LogError(
                    f'{whole.path} labels images by file name, but {other} of {first.path} and '
                    f'{image} of {log.path} have the same name: rename the images of one run, or '
                    'train without it or without the label log'
                )


def _names(logs: Sequence[Log]) -> set[str]:
    return {base_name(row.center) for log in logs for row in log.rows}


def of_whole_run(
    log: Log, labelling: Labelling, seen: Mapping[str, Edges], on_map: OnMap | None = None
) -> dict[str, float]:
    """Return the label of each image of a log: rad, left positive; NaN where it is not known.

    The keys, like those of `seen`, are the file names of images.
    """
    names = [base_name(row.center) for row in log.rows]
    labels = _own(log, labelling, [seen.get(name) for name in names], on_map)
    return dict(zip(names, labels.tolist(), strict=True))


def _own(
    log: Log,
    labelling: Labelling,
    seen: Sequence[Edges | None],
    on_map: OnMap | None,
    known: Container[str] = (),
) -> Series:
    """Return the label of each row; NaN may stand for folders whose images are all `known`."""
    rows, groups = log.rows, rows_by_folder(log.rows)
    if any(all(rows[i].timestamp_s is None for i in group) for group in groups):
        warn_of_missing_times(log.path, 'they')
    if labelling.kind == 'steering':
        # A mean, not an interpolation, because samples of a run are far apart.
        return smoothed_steering_rad(rows, labelling.delay_s)
    if labelling.kind == 'middle' and rows and not any(row.speed_mps for row in rows):
        raise no_speed(from_log(log))
    labels = np.full(len(rows), np.nan)
    for group in groups:
        if all(base_name(rows[index].center) in known for index in group):
            continue
        # Rows without a time cannot be placed among rows with one.
        timed = [index for index in group if rows[index].timestamp_s is not None] or group
        recording = from_log(replace(log, rows=[rows[index] for index in timed]))
        if len(groups) > 1:
            first = rows[timed[0]].center
            recording = replace(recording, name=f'{recording.name} from {first} on')
        labels[timed] = _of_runs(recording, labelling, [seen[index] for index in timed], on_map)
    return labels
