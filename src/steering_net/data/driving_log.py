# SPDX-License-Identifier: Apache-2.0
"""Driving logs: CSV files as the simulator's recorder writes them, and variants of them.

Only this module knows their formats: with or without a header, with paths of any system, with
decimal points or commas, and speeds in mph.
"""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb
from steering_net.vision.preprocessing import RECORDER_STEERING_RAD, decode_jpeg

Series: TypeAlias = NDArray[np.float64]

SMOOTHING_WINDOW_S = 1.0
"""Keyboard steering is a series of pulses; its mean over this time is the intended steering."""

_MPH_MPS = 0.44704
_NAME_TIME = re.compile(r'(\d{4})_(\d\d)_(\d\d)_(\d\d)_(\d\d)_(\d\d)_(\d{1,3})\b')
# A float as .NET prints it: no leading zeros, no fraction that ends in zero.
_PRINTED_NUMBER = re.compile(r'-?(0|[1-9]\d*)(\.\d*[1-9])?(E[+-]?\d+)?', re.IGNORECASE)
_RECORDER_COLUMNS = ('center', 'left', 'right', 'steering', 'throttle', 'brake', 'speed')
_ALIASES = {'frame': 'center', 'centre': 'center', 'speed_mph': 'speed'}
# Ranges of the recorder's four numbers, in its order.
_RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 1.0), (-1000.0, 1000.0))


class LogError(ValueError):
    """A log that is missing or has no usable row; the message is one line."""


@dataclass(frozen=True)
class Row:
    """One row of a log: file names of images as written there, and values in SI, left positive."""

    center: str
    left: str | None
    right: str | None
    steering_rad: float
    throttle: float
    brake: float
    speed_mps: float
    timestamp_s: float | None
    source: str | None


@dataclass(frozen=True)
class BadRow:
    """A line that could not be read: its number, counted from 1, and the reason."""

    line: int
    reason: str


@dataclass(frozen=True)
class Log:
    """The rows of a log in the order of the file, and the lines that could not be read.

    `form` describes the format for people.
    """

    path: Path
    rows: list[Row]
    bad_rows: list[BadRow]
    form: str = ''


def read_log(path: Path) -> Log:
    """Read a driving_log.csv, frames.csv or train.csv; LogError if no row is usable."""
    try:
        lines = path.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    except OSError as error:
        raise LogError(f'cannot read the log {path}: {error.strerror}') from error
    header = _header(lines[0]) if lines else None
    log = Log(path, [], [], _form(lines, header))
    for number, line in enumerate(lines[1 if header else 0 :], start=2 if header else 1):
        if not line.strip():
            continue
        try:
            log.rows.append(_row(line, header))
        except ValueError as error:
            log.bad_rows.append(BadRow(number, str(error)))
    if not log.rows:
        first = f': line {log.bad_rows[0].line}: {log.bad_rows[0].reason}' if log.bad_rows else ''
        raise LogError(f'the log {path} holds no usable row{first}')
    return log


def recorder_row(center: str, steering_rad: float, throttle: float, speed_mps: float) -> str:
    """Return a line of a driving_log.csv as the recorder writes it, without side cameras.

    Steering in rad, left positive; throttle -1 .. 1, where negative values are written as brake.
    """
    numbers = (
        steering_rad / RECORDER_STEERING_RAD,
        max(0.0, throttle),
        max(0.0, -throttle),
        speed_mps / _MPH_MPS,
    )
    written = (f'{number + 0.0:.7g}' for number in numbers)
    return ','.join((center, '', '', *written)) + '\n'


def _header(line: str) -> tuple[str, ...] | None:
    names = [name.lower() for name in _split_if_possible(line)]
    if 'steering' not in names:
        return None
    return tuple(_ALIASES.get(name, name) for name in names)


def _form(lines: Sequence[str], header: tuple[str, ...] | None) -> str:
    """Describe the format of a log, from its first row."""
    line = next((line for line in lines[1 if header else 0 :] if line.strip()), '')
    fields = _split_if_possible(line)
    separator = ';' if ';' in line else ', ' if ', ' in line else ','
    is_joined = len(fields) > len(header or _RECORDER_COLUMNS)
    decimals = 'commas' if is_joined or any(',' in field for field in fields[3:]) else 'points'
    return (
        f'{"a" if header else "no"} header, {separator!r} between fields, '
        f'decimal {decimals}, {_path_kind(fields[0] if fields else "")}'
    )


def _path_kind(name: str) -> str:
    if re.match(r'[A-Za-z]:[\\/]|\\\\', name):
        return 'absolute Windows paths'
    if name.startswith('/Users/'):
        return 'absolute Mac paths'
    if name.startswith('/'):
        return 'absolute Linux paths'
    return 'relative paths' if base_name(name) != name else 'bare file names'


def _split(line: str) -> list[str]:
    if ';' in line:
        return [field.strip() for field in line.split(';')]
    # Where ', ' separates fields, a comma without a space is a decimal comma.
    if line.count(', ') >= 3:
        return [field.strip() for field in line.split(', ')]
    try:
        return [field.strip() for field in next(csv.reader([line], skipinitialspace=True))]
    except csv.Error as error:
        raise ValueError(f'it cannot be split: {error}') from error


def _split_if_possible(line: str) -> list[str]:
    """The fields of a line; none if it cannot be split, which `_row` reports."""
    try:
        return _split(line)
    except ValueError:
        return []


def _row(line: str, header: tuple[str, ...] | None) -> Row:
    fields = _split(line)
    columns = header or _RECORDER_COLUMNS
    if columns == _RECORDER_COLUMNS and len(fields) > len(columns):
        fields[3:] = _join_decimal_commas(fields[3:])
    if len(fields) != len(columns):
        raise ValueError(f'{len(fields)} fields instead of {len(columns)}')
    named = dict(zip(columns, fields, strict=True))
    if not named.get('center'):
        raise ValueError('it names no centre image')
    return Row(
        center=named['center'],
        left=named.get('left'),
        right=named.get('right'),
        steering_rad=_number(named, 'steering') * RECORDER_STEERING_RAD,
        throttle=_number(named, 'throttle'),
        brake=_number(named, 'brake'),
        speed_mps=_number(named, 'speed') * _MPH_MPS,
        timestamp_s=_timestamp(named),
        source=named.get('source'),
    )


def _number(named: dict[str, str], column: str) -> float:
    text = named.get(column, '0')
    try:
        value = float(text.replace(',', '.'))
    except ValueError:
        raise ValueError(f'{column} is no number: {text!r}') from None
    if not np.isfinite(value) or (column == 'steering' and abs(value) > 1):
        raise ValueError(f'{column} is out of range: {text}')
    return value


def _timestamp(named: dict[str, str]) -> float | None:
    return _number(named, 'timestamp_s') if 'timestamp_s' in named else name_time(named['center'])


def name_time(name: str) -> float | None:
    """Return the time, s, in a recorder's file name; None if there is none."""
    found = _NAME_TIME.search(base_name(name))
    if found is None:
        return None
    *date, milliseconds = (int(group) for group in found.groups())
    try:
        moment = datetime(*date, tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError:
        return None
    return moment.timestamp() + milliseconds / 1000


def _join_decimal_commas(pieces: Sequence[str]) -> list[str]:
    """Join the pieces of four numbers that were split at separators and at decimal commas."""
    readings = [numbers for numbers in _groupings(pieces) if _plausible(numbers)]
    if len(readings) > 1:
        # The speed is hardly ever a whole number; the other three often are.
        readings = [numbers for numbers in readings if '.' in numbers[-1]]
    if len(readings) != 1:
        raise ValueError(f'{len(readings)} ways to read the decimal commas of {",".join(pieces)}')
    return readings[0]


def _groupings(pieces: Sequence[str]) -> Iterator[list[str]]:
    for widths in itertools.product((1, 2), repeat=len(_RANGES)):
        if sum(widths) == len(pieces):
            ends = itertools.accumulate(widths)
            yield [
                '.'.join(pieces[end - width : end])
                for width, end in zip(widths, ends, strict=True)
            ]


def _plausible(numbers: Sequence[str]) -> bool:
    return all(
        _PRINTED_NUMBER.fullmatch(text) and low <= float(text) <= high
        for text, (low, high) in zip(numbers, _RANGES, strict=True)
    )


def base_name(name: str) -> str:
    """Return the file name in a path of any operating system."""
    return re.split(r'[\\/]', name)[-1]


def find_image(name: str, root: Path) -> Path:
    """Return the image file for a name in a log whose folder is `root`.

    The name is tried as a path relative to `root`, then its last part in `root/IMG` and in
    `root`. Raises ImageError where there is no such file.
    """
    base = base_name(name)
    for candidate in (root / name.replace('\\', '/'), root / 'IMG' / base, root / base):
        if candidate.is_file():
            return candidate
    raise ImageError(f'there is no image {base} in {root / "IMG"}')


def read_image(name: str, root: Path) -> Rgb:
    """Return the frame of a name in a log, uint8 (H, W, 3) RGB; ImageError if it is unusable."""
    path = find_image(name, root)
    try:
        return decode_jpeg(path.read_bytes())
    except OSError as error:
        raise ImageError(f'cannot read {path}: {error.strerror}') from error


def smooth(
    times_s: Series, values: Series, window_s: float = SMOOTHING_WINDOW_S, delay_s: float = 0.0
) -> Series:
    """Return for each time the mean of the values within `window_s`, float64 (n,), in any order.

    The window is centred `delay_s` before the time; `delay_s` must be within the window.
    """
    order = np.argsort(times_s, kind='stable')
    times, sums = times_s[order], np.concatenate(([0.0], np.cumsum(values[order])))
    # The tolerance includes both ends of a window although times are rounded to milliseconds.
    half = window_s / 2 + 1e-6
    first = np.searchsorted(times, times - delay_s - half, side='left')
    last = np.searchsorted(times, times - delay_s + half, side='right')
    means = np.empty(len(values))
    means[order] = (sums[last] - sums[first]) / (last - first)
    return means


def smoothed_steering_rad(rows: Sequence[Row], delay_s: float = 0.0) -> Series:
    """Return the one-second mean of the rows' steering, rad, left positive, float64 (n,).

    The second is centred `delay_s` (0 to 0.5) before each row. Rows of different sources or
    folders belong to different runs. Rows without a time keep their own steering.
    """
    steering = np.array([row.steering_rad for row in rows], np.float64)
    for run in runs_of(rows):
        timed = [index for index in run if rows[index].timestamp_s is not None]
        times = np.array([rows[index].timestamp_s for index in timed], np.float64)
        steering[timed] = smooth(times, steering[timed], delay_s=delay_s)
    return steering


def runs_of(rows: Sequence[Row]) -> list[list[int]]:
    """Return the indices of the rows of each run: rows of one source and folder."""
    runs: dict[tuple[str | None, str], list[int]] = {}
    for index, row in enumerate(rows):
        folder = row.center.removesuffix(base_name(row.center))
        runs.setdefault((row.source, folder), []).append(index)
    return list(runs.values())
