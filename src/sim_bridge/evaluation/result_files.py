# SPDX-License-Identifier: Apache-2.0
"""Files of an evaluation: CSV tables of every frame, plots, and pictures of the worst frames."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim_bridge.visualization.overlay import Reading
from sim_bridge.visualization.plots import line_plot, sheet
from steering_net.data.recording import Recording
from steering_net.evaluation.data_driven import INTERVENTION_BEYOND_M, RecordedDrive
from steering_net.evaluation.open_loop import OpenLoop
from steering_net.vision.camera_model import find_camera

_WORST_FRAMES = 12
_WORST_APART_S = 1.0


def write_open_loop(folder: Path, name: str, recording: Recording, result: OpenLoop) -> list[Path]:
    """Write NAME_frames.csv, NAME_steering.png and NAME_worst.png; return their paths."""
    table, plot, worst = _paths(folder, name, 'frames.csv', 'steering.png', 'worst.png')
    at, predicted = result.indices, result.predicted_rad
    recorded, target = recording.steering_rad[at], recording.target_rad[at]
    times_s = recording.times_s[at] - recording.times_s[at[0]]
    names = [recording.frame_names[index] for index in at]
    header = ('frame', 'time_s', 'recorded_rad', 'smoothed_rad', 'predicted_rad', 'error_rad')
    _write_csv(table, header, names, (times_s, recorded, target, predicted, predicted - recorded))
    lines = {'recorded': recorded, 'recorded, smoothed': target, 'predicted': predicted}
    degrees = {label: np.degrees(rad) for label, rad in lines.items()}
    plot.write_bytes(line_plot(times_s, degrees, 'steering, °'))
    readings = [
        (recording.frame(int(at[i])), Reading(predicted[i], recorded[i]))
        for i in _worst(times_s, np.abs(predicted - target))
    ]
    worst.write_bytes(sheet(readings, find_camera(recording.camera)))
    return [table, plot, worst]


def write_data_driven(
    folder: Path, name: str, recording: Recording, drive: RecordedDrive
) -> list[Path]:
    """Write NAME_offsets.csv and NAME_offsets.png; return their paths."""
    table, plot = _paths(folder, name, 'offsets.csv', 'offsets.png')
    times_s = (recording.times_s - recording.times_s[0])[:-1]
    header = ('frame', 'time_s', 'offset_m', 'driver_m')
    columns = (times_s, drive.offsets_m, drive.driver_m)
    _write_csv(table, header, recording.frame_names[:-1], columns)
    limit_m = np.full(len(times_s), INTERVENTION_BEYOND_M)
    lines = {
        'network': drive.offsets_m,
        'recorded driver': drive.driver_m,
        'left bound': limit_m,
        'right bound': -limit_m,
    }
    label = f'left of the {drive.report["reference"]}, m'
    plot.write_bytes(line_plot(times_s, lines, label))
    return [table, plot]


def _paths(folder: Path, name: str, *endings: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace('/', '_')
    return [folder / f'{stem}_{ending}' for ending in endings]


def _worst(times_s: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]) -> list[int]:
    """Return the frames with the largest errors, worst first, at least a second apart."""
    chosen: list[int] = []
    for index in np.argsort(-errors):
        if all(abs(times_s[index] - times_s[other]) >= _WORST_APART_S for other in chosen):
            chosen.append(int(index))
        if len(chosen) == _WORST_FRAMES:
            break
    return chosen


def _write_csv(
    path: Path,
    header: Sequence[str],
    names: Sequence[str],
    columns: Sequence[npt.NDArray[np.float64]],
) -> None:
    with path.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for name, *numbers in zip(names, *columns, strict=True):
            writer.writerow([name, *(f'{number:.5f}' for number in numbers)])
