# SPDX-License-Identifier: Apache-2.0
"""Labels of recorded frames: the recorded steering, or the one that leads to the road's middle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steering_net.data.centerline import Edges, middles_of, towards_middle_rad
from steering_net.data.driving_log import Log, Series, rows_by_folder
from steering_net.data.frame_files import base_name
from steering_net.data.recording import Recording, from_log, no_speed, warn_of_missing_times
from steering_net.data.steering_smoothing import smoothed_steering_rad
from steering_net.data.trajectory import runs
from steering_net.errors import check_field

KINDS = ('steering', 'middle')


@dataclass(frozen=True)
class Labelling:
    """Settings of labels.

    `kind` is `steering` for the recorded steering, as its one-second mean where it came from a
    keyboard, or `middle` for the steering that leads to the road's middle `look_ahead_m` ahead.
    The label is that of `delay_s` (0 to 1) before the frame.
    """

    kind: str = 'steering'
    delay_s: float = 0.0
    look_ahead_m: float = 16.0

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value outside its range."""
        check_field(self.kind in KINDS, 'kind', repr(self.kind), ' or '.join(KINDS))
        check_field(0 <= self.delay_s <= 1, 'delay_s', self.delay_s, '0..1 s')
        check_field(self.look_ahead_m > 0, 'look_ahead_m', self.look_ahead_m, 'greater than 0')


def of_recording(
    recording: Recording, labelling: Labelling, seen: Sequence[Edges | None] = ()
) -> Series:
    """Return the label of each frame: (n,), rad, left positive; NaN where it is not known.

    `seen` holds the road's edges in each frame, for `middle`. Raises LogError if `middle` needs
    speeds and the recording has none.
    """
    if labelling.kind == 'middle' and not recording.speed_mps.any():
        raise no_speed(recording)
    return _of_runs(recording, labelling, seen)


def _of_runs(recording: Recording, labelling: Labelling, seen: Sequence[Edges | None]) -> Series:
    right_rad = recording.target_rad
    if labelling.kind == 'middle':
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
    series: Sequence[Log],
    labelling: Labelling,
    seen: Sequence[Edges | None],
    seen_by_name: Mapping[str, Edges],
) -> Series:
    """Return the label of each row of a log: (n,), rad, left positive; NaN where it is not known.

    `series` are logs of whole runs. A row whose file name is in one of them gets its label from
    there. For `middle`, `seen` holds the road's edges in the log's images, and `seen_by_name`
    those in the images of all logs.
    """
    labels = _own(log, labelling, seen)
    known: dict[str, float] = {}
    for whole in series:
        names = [base_name(row.center) for row in whole.rows]
        found = _own(whole, labelling, [seen_by_name.get(name) for name in names])
        known.update(zip(names, found.tolist(), strict=True))
    rows = [base_name(row.center) for row in log.rows]
    return np.array([known.get(name, own) for name, own in zip(rows, labels, strict=True)])


def _own(log: Log, labelling: Labelling, seen: Sequence[Edges | None]) -> Series:
    rows = log.rows
    if any(all(rows[i].timestamp_s is None for i in group) for group in rows_by_folder(rows)):
        warn_of_missing_times(log.path, 'they')
    if labelling.kind == 'steering':
        # A mean, not an interpolation, because samples of a run are far apart.
        return smoothed_steering_rad(rows, labelling.delay_s)
    if rows and not any(row.speed_mps for row in rows):
        raise no_speed(from_log(log))
    labels = np.full(len(rows), np.nan)
    for group in rows_by_folder(rows):
        # Rows without a time cannot be placed among rows with one.
        timed = [index for index in group if rows[index].timestamp_s is not None] or group
        recording = from_log(replace(log, rows=[rows[index] for index in timed]))
        labels[timed] = _of_runs(recording, labelling, [seen[index] for index in timed])
    return labels
