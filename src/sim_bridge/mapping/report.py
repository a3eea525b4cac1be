# SPDX-License-Identifier: Apache-2.0
"""Report of a placed recording: lines of text, figures, a table of every frame, and a map."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim_bridge.mapping.course import Series
from sim_bridge.mapping.placement import Placement, Refusal, open_placed
from sim_bridge.visualization.maps import Drawing, draw_map
from steering_net.data.recording import Recording

Results = Sequence[Placement | Refusal]

_SHOWN_REFUSALS = 5
_SMOOTHED_ROWS_M = 8.0
_COLUMNS = (
    'frame', 'track', 's_m', 'left_m', 'heading_rad', 's_sigma_m', 'left_sigma_m',
    'heading_sigma_rad',
)  # fmt: skip


def figures(results: Results) -> list[dict[str, Any]]:
    """Return the figures of each run: its rows, and its place or the reason why it has none."""
    return [
        {'rows': [result.rows.start, result.rows.stop], 'reason': result.reason}
        if isinstance(result, Refusal)
        else _figures(result)
        for result in results
    ]


def _figures(placed: Placement) -> dict[str, Any]:
    along_m, beside_m, heading_rad = np.median(placed.sigma, axis=0).tolist()
    return {
        'rows': [placed.rows.start, placed.rows.stop],
        'track': placed.track,
        'reversed': placed.is_reversed,
        'from_m': float(placed.s_m[0]),
        'to_m': float(placed.s_m[-1]),
        'laps': float(abs(placed.progress_m[-1] - placed.progress_m[0]) / placed.course.length_m),
        'curvature_correlation': placed.correlation,
        'rms_left_m': float(np.sqrt(np.mean(placed.left_m**2))),
        's_sigma_m': along_m,
        'left_sigma_m': beside_m,
        'heading_sigma_rad': heading_rad,
        'sightings': placed.sightings,
    }


def lines(results: Results) -> Iterator[str]:
    """Yield the report as lines of text."""
    label = 'on a map'
    for placed in results:
        if isinstance(placed, Placement):
            found = _figures(placed)
            against = ', against its direction' if placed.is_reversed else ''
            yield (
                f'  {label}  rows {placed.rows.start}-{placed.rows.stop - 1} on {placed.track}'
                f'{against}, {found["from_m"]:.0f} m to {found["to_m"]:.0f} m, '
                f'{found["laps"]:.2f} laps'
            )
            yield (
                f'            +-{found["s_sigma_m"]:.1f} m along, +-{found["left_sigma_m"]:.2f} m '
                f'beside; curvature correlates by {placed.correlation:.2f}; '
                f'{placed.sightings} frames show the road'
            )
            label = '        '
    for line in not_placed(results):
        yield f'  {label}  {line}'
        label = '        '


def not_placed(results: Results) -> Iterator[str]:
    """Yield a line for each run that was not placed; from the sixth on, only how many."""
    refusals = [result for result in results if isinstance(result, Refusal)]
    yield from map(str, refusals[:_SHOWN_REFUSALS])
    if len(refusals) > _SHOWN_REFUSALS:
        yield f'and {len(refusals) - _SHOWN_REFUSALS} more runs not placed'


def write(folder: Path, stem: str, recording: Recording, results: Results) -> list[Path]:
    """Write STEM_places.csv, and STEM_map.png for each placed run; return the paths."""
    placed = [result for result in results if isinstance(result, Placement)]
    if not placed:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f'{stem}_places.csv'
    with table.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for placement in placed:
            writer.writerows(_rows(recording, placement))
    files = [table]
    for number, placement in enumerate(placed):
        files.append(folder / f'{stem}_map{number or ""}.png')
        files[-1].write_bytes(draw_map(_drawing(placement)))
    return files


def _rows(recording: Recording, placed: Placement) -> Iterator[list[str]]:
    values = np.column_stack([placed.s_m, placed.left_m, placed.heading_rad, placed.sigma])
    for name, row in zip(recording.frame_names[placed.rows], values, strict=True):
        yield [name, placed.track, *(f'{value:.3f}' for value in row)]


def _drawing(placed: Placement) -> Drawing:
    track, course = open_placed(placed), placed.course
    index = track.index(placed.s_m)
    edges_m = track.left_m[index], -track.right_m[index]
    if placed.is_reversed:
        edges_m = track.right_m[index], -track.left_m[index]
    return Drawing(
        f'{placed.track}, {len(placed)} frames',
        (track.edge_m(track.left_m), track.edge_m(-track.right_m)),
        np.column_stack(course.beside(placed.progress_m, placed.left_m)),
        placed.progress_m,
        _smoothed(placed.curvature_1pm, placed.progress_m),
        course.at(course.smoothed(_SMOOTHED_ROWS_M / 2), placed.progress_m),
        placed.left_m,
        placed.sigma[:, 1],
        edges_m,
    )


def _smoothed(values: Series, along_m: Series) -> Series:
    """Return the mean over 8 m of the drive around each row."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.searchsorted(along_m, along_m - _SMOOTHED_ROWS_M / 2)
    last = np.searchsorted(along_m, along_m + _SMOOTHED_ROWS_M / 2, side='right')
    last = np.maximum(last, first + 1)
    return np.asarray((sums[last] - sums[first]) / (last - first))
