"""Tables and pictures that an evaluation or a look at data leaves: CSV and PNG files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from sim_bridge.errors import UsageError
from sim_bridge.visualization import overlay
from steering_net.data.recording import Recording
from steering_net.evaluation.data_driven import INTERVENTION_BEYOND_M, Drive
from steering_net.evaluation.open_loop import OpenLoop
from steering_net.vision.camera_model import Pinhole, find_camera

_WORST = 12
_COLUMNS = 3
_WORST_APART_S = 1.0


def write_open_loop(stem: Path, recording: Recording, judged: OpenLoop) -> list[Path]:
    """Write `<stem>_frames.csv`, `_steering.png` and `_worst.png`; the files."""
    files = [stem.with_name(f'{stem.name}_{end}') for end in ('frames.csv', 'steering.png')]
    at, predicted = judged.indices, judged.predicted_rad
    recorded, target = recording.steering_rad[at], recording.target_rad[at]
    times_s = recording.times_s[at] - recording.times_s[at[0]]
    names = [recording.frame_names[index] for index in at]
    header = ('frame', 'time_s', 'recorded_rad', 'smoothed_rad', 'predicted_rad', 'error_rad')
    columns = (times_s, recorded, target, predicted, predicted - recorded)
    _write_csv(files[0], header, names, columns)
    lines = {'recorded': recorded, 'recorded, smoothed': target, 'predicted': predicted}
    _plot(files[1], times_s, {name: np.degrees(rad) for name, rad in lines.items()}, 'steering, °')
    worst = _worst(times_s, np.abs(predicted - target))
    readings = [
        (recording.frame(int(at[i])), overlay.Reading(predicted[i], recorded[i])) for i in worst
    ]
    files.append(stem.with_name(f'{stem.name}_worst.png'))
    write_sheet(files[-1], readings, find_camera(recording.camera))
    return files


def write_data_driven(stem: Path, recording: Recording, drive: Drive) -> list[Path]:
    """Write `<stem>_offsets.csv` and `<stem>_offsets.png`; the files."""
    files = [stem.with_name(f'{stem.name}_{end}') for end in ('offsets.csv', 'offsets.png')]
    times_s = (recording.times_s - recording.times_s[0])[:-1]
    names = recording.frame_names[:-1]
    header = ('frame', 'time_s', 'offset_m', 'driver_m')
    _write_csv(files[0], header, names, (times_s, drive.offsets_m, drive.driver_m))
    limit_m = np.full(len(times_s), INTERVENTION_BEYOND_M)
    lines = {
        'network': drive.offsets_m,
        'recorded driver': drive.driver_m,
        'left bound': limit_m,
        'right bound': -limit_m,
    }
    _plot(files[1], times_s, lines, f'left of the {drive.report["yardstick"]}, m')
    return files


def write_histogram(path: Path, values: dict[str, npt.NDArray[np.float64]], label: str) -> None:
    """Write a PNG with one outline per series of values, on common bins, counts on a log scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout='constrained')
    axes = figure.add_subplot(xlabel=label, ylabel='frames', yscale='log')
    bins = np.histogram_bin_edges(np.concatenate(list(values.values())), 51).tolist()
    for name, numbers in values.items():
        axes.hist(numbers, bins, histtype='step', label=name)
    axes.legend()
    _save(figure, path)


def write_sheet(
    path: Path,
    readings: Iterable[tuple[npt.NDArray[np.uint8], overlay.Reading]],
    camera: Pinhole,
) -> None:
    """Write a PNG with the drawn frames, uint8 (160, 320, 3) RGB each, three in a row.

    `camera` took them.
    """
    tiles = [overlay.draw(rgb, reading, camera) for rgb, reading in readings]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    if not cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)):
        raise UsageError(f'cannot write {path}')


def _worst(times_s: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]) -> list[int]:
    """The frames with the largest errors, worst first, at least a second apart."""
    chosen: list[int] = []
    for index in np.argsort(-errors):
        if all(abs(times_s[index] - times_s[other]) >= _WORST_APART_S for other in chosen):
            chosen.append(int(index))
        if len(chosen) == _WORST:
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


def _plot(
    path: Path,
    times_s: npt.NDArray[np.float64],
    lines: dict[str, npt.NDArray[np.float64]],
    label: str,
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout='constrained')
    axes = figure.add_subplot(xlabel='time, s', ylabel=label)
    for name, numbers in lines.items():
        axes.plot(times_s, numbers, linewidth=1, label=name)
    axes.legend(loc='upper right')
    _save(figure, path)


def _save(figure: object, path: Path) -> None:
    figure.savefig(path)  # type: ignore[attr-defined]
