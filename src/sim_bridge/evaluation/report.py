# SPDX-License-Identifier: Apache-2.0
"""Reports of networks as text tables, and the thresholds of --require. Pure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

Report = Mapping[str, Any]

AHEAD_S = (1, 2, 3)
"""Times before a failure, s, for which the monitor's recall and precision are reported."""

_MORE_IS_BETTER = {
    'frames', 'answers', 'laps', 'distance_m', 'duration_s', 'autonomy_percent', 'correlation',
    'correlation_smoothed', 'output_std', 'max_speed_mps', 'telemetry_hz', 'frame_auc',
    *(f'{figure}_{s}s_percent' for figure in ('recall', 'precision') for s in AHEAD_S),
}  # fmt: skip


def parse_requirement(text: str) -> tuple[str, float]:
    """Return field and threshold of `field=number`; ValueError for anything else."""
    name, _, number = text.partition('=')
    with contextlib.suppress(ValueError):
        if not math.isnan(threshold := float(number)):
            return name.strip(), threshold
    raise ValueError(f'--require is {text!r}; it must be FIELD=X, as in correlation_smoothed=0.8')


def unmet(report: Report, requirements: Mapping[str, float]) -> list[str]:
    """Return a line for each field that is worse than required; ValueError for an unknown field.

    For a field such as `correlation` or `laps` a greater value is better; for any other field,
    such as `rmse` or `interventions`, a smaller one.
    """
    numbers = {name: value for name, value in report.items() if isinstance(value, int | float)}
    lines = []
    for name, wanted in requirements.items():
        if name not in numbers:
            raise ValueError(f'--require names {name!r}; the fields are {", ".join(numbers)}')
        value, is_more = numbers[name], name in _MORE_IS_BETTER
        # Not a number, as the recall without failures, meets no requirement.
        if not (value >= wanted if is_more else value <= wanted):
            bound = 'at least' if is_more else 'at most'
            lines.append(f'{name} is {value:.4g}; required is {bound} {wanted:g}')
    return lines


def failed_tracks(report: Report) -> list[str]:
    """Return a line for each track of a report that could not be driven."""
    return [
        f'track {track["track"]} failed: {track["error"]}'
        for track in report.get('tracks', ())
        if 'error' in track
    ]


def table(reports: Mapping[str, Report]) -> list[str]:
    """Return the lines of a table: one row per field, one column per network."""
    if len(reports) == 1:
        (report,) = reports.values()
        return [
            line
            for name, value in report.items()
            for line in (_tracks(value) if name == 'tracks' else [f'{name:24}{_text(value)}'])
        ]
    fields = [name for name in next(iter(reports.values())) if name != 'tracks']
    rows = [['', *reports]]
    rows += [[name, *(_short(report[name]) for report in reports.values())] for name in fields]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        f'{row[0]:<{widths[0]}}'
        + ''.join(f'  {cell:>{width}}' for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{name} {number:.3f}' for name, number in value.items())
    return f'{value:.4f}' if isinstance(value, float) else str(value)


def _short(value: Any) -> str:
    """Return the value as text; of a latency only the median, because columns are narrow."""
    return f'{value["p50"]:.3f}' if isinstance(value, dict) else _text(value)


def _tracks(reports: list[Report]) -> list[str]:
    return [f'track {report["track"]:<4} {_track(report)}' for report in reports]


def _track(report: Report) -> str:
    if 'error' in report:
        return f'failed: {report["error"]}'
    return (
        f'{report["laps"]} laps, '
        f'{report["lane_departures"]} lane departures, '
        f'{report["interventions"]} interventions, '
        f'{report["rms_cross_track_m"]:.3f} m RMS, {report["max_speed_mps"]:.1f} m/s at most'
    )
