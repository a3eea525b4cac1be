# SPDX-License-Identifier: Apache-2.0
"""Driving logs: the rows of a log in SI units, checked.

`log_table` splits the text of a log. Only this module knows the units of logs: mph, and steering
in units of 25 degrees with right positive.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steering_net.data.frame_files import base_name
from steering_net.data.log_table import IMAGES, RowError, Table, decoded, is_blank, read_table
from steering_net.vehicle import MAX_STEERING_RAD, RECORDER_STEERING_RAD

Series: TypeAlias = NDArray[np.float64]

STEERING_UNITS = {
    'recorder': RECORDER_STEERING_RAD,
    'degrees': -np.pi / 180,
    'radians': -1.0,
    'degrees-left': np.pi / 180,
    'radians-left': 1.0,
}
"""Units of steering in logs, as rad with left positive. Their own positive side is the right one,
unless the name says left."""

RECORDER_PERIOD_S = 0.1
"""Time between two frames of the recorder, s, where a log or its frames name none."""

_MPH_MPS = 0.44704
LARGEST_SPEED_MPS = 200 * _MPH_MPS
"""A greater recorded speed is left out, because no car reaches it."""
_SPEED_UNITS_MPS = {'mph': _MPH_MPS, 'mps': 1.0, 'kmh': 1 / 3.6}
_TIME_UNITS_S = {'s': 1.0, 'ms': 1e-3, 'us': 1e-6, 'ns': 1e-9}
_WORDS = {'true': '1', 'false': '0'}
_NAME_TIME = re.compile(r'(\d{4})_(\d\d)_(\d\d)_(\d\d)_(\d\d)_(\d\d)_(\d{1,3})\b')
_PACKED = (b'PK\x03\x04', b'\x1f\x8b', b'7z\xbc\xaf', b'Rar!')
_CONTROL, _SAMPLE = re.compile(r'[\0-\x08]'), 4096
# So many rows have to look like degrees before the unit is asked for.
_ASK_ROWS, _ASK_SHARE, _LARGEST_DEGREES = 3, 0.02, 90.0
# A few rows have a wrong time if they are that far from the rows before and after them, which are
# close to each other.
_FAR_S, _CLOSE_S = 5.0, 2.0
_JUMP_ROWS = 10
# A log with more such steps, or with hardly any others, is not in the order of time.
_ODD_STEPS, _ODD_SHARE, _MOST_SHARE = 6, 0.1, 0.7
# The clock restarts with a run if the time goes back by more. Rows that a recorder has swapped are
# closer.
_RESTART_S, _PAUSE_S = 0.5, 5.0


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
    """A line that cannot be used: its number, counted from 1, the reason, and the kind of reason.

    Lines with the same trouble have the same kind.
    """

    line: int
    reason: str
    kind: str


@dataclass(frozen=True)
class Log:
    """The rows of a log in the order of the file, and the lines that cannot be used.

    If the clock restarts with each run of a log, the first run keeps its times, and each further
    one begins 5 s after the end of the run before. `form` describes the format for people.
    """

    path: Path
    rows: list[Row]
    bad_rows: list[BadRow]
    form: str = ''


def read_log(path: Path, steering_unit: str = '') -> Log:
    """Read a log of any form; LogError if no row is usable or the unit of steering is doubtful.

    `steering_unit` is one of STEERING_UNITS. If it is empty, it is that of the recorder.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f'cannot read the log {path}: {error.strerror}') from error
    if data.startswith(_PACKED):
        raise LogError(f'{path} is an archive: unpack it, and give the log or its folder')
    text = decoded(data)
    table = read_table(text)
    if not steering_unit:
        _check_unit(path, table)
    log = Log(path, [], [_bad_row(*bad_line) for bad_line in table.bad_lines], table.form)
    scales = _Scales(table, steering_unit)
    lines: list[int] = []
    for line, named in table.rows:
        try:
            log.rows.append(_row(named, scales))
            lines.append(line)
        except RowError as error:
            log.bad_rows.append(_bad_row(line, error))
    _leave_out_jumps(log, lines)
    _keep_runs_apart(log.rows)
    log.bad_rows.sort(key=lambda bad: bad.line)
    if not log.rows:
        if _CONTROL.search(text[:_SAMPLE]):
            raise LogError(f'the log {path} is not text')
        first = f': line {log.bad_rows[0].line}: {log.bad_rows[0].reason}' if log.bad_rows else ''
        raise LogError(f'the log {path} holds no usable row{first}')
    return log


def troubles(bad_rows: Sequence[BadRow]) -> list[str]:
    """Return one line for each kind of bad row: how many there are, and the first one."""
    kinds: dict[str, list[BadRow]] = {}
    for bad in bad_rows:
        kinds.setdefault(bad.kind, []).append(bad)
    return [
        f'{len(rows)} {"row" if len(rows) == 1 else "rows"} left out, '
        f'{"" if len(rows) == 1 else "the first is "}line {rows[0].line}: {rows[0].reason}'
        for rows in kinds.values()
    ]


def recorder_row(center: str, steering_rad: float, throttle: float, speed_mps: float) -> str:
    """Return a line of a driving_log.csv as the recorder writes it, without side cameras.

    Steering in rad, left positive; throttle -1 .. 1, where negative values are written as brake.
    Values beyond 25 degrees and beyond -1 .. 1 are written as these limits, because the car
    follows them no further.
    """
    numbers = (
        min(1.0, max(-1.0, steering_rad / RECORDER_STEERING_RAD)),
        min(1.0, max(0.0, throttle)),
        min(1.0, max(0.0, -throttle)),
        speed_mps / _MPH_MPS,
    )
    written = (f'{number + 0.0:.7g}' for number in numbers)
    return ','.join((center, '', '', *written)) + '\n'


def _bad_row(line: int, error: RowError) -> BadRow:
    return BadRow(line, str(error), error.kind)


class _Scales:
    """What the fields of a log are multiplied by, and its columns without any value."""

    def __init__(self, table: Table, steering_unit: str) -> None:
        """Find the unit of the times if the header does not name it."""
        self.steering_rad = STEERING_UNITS[steering_unit or 'recorder']
        self.speed_mps = _SPEED_UNITS_MPS.get(table.units.get('speed', ''), _MPH_MPS)
        named_s = _TIME_UNITS_S.get(table.units.get('timestamp', ''))
        self.time_s = named_s or _time_unit_s(table)
        names = {name for _, named in table.rows for name in named}
        self.blank = {
            name for name in names if all(is_blank(named[name]) for _, named in table.rows)
        }
        if all(_time_s(named.get('timestamp', '')) is None for _, named in table.rows):
            self.blank.add('timestamp')  # Times of a form that is not known.


def _time_unit_s(table: Table) -> float:
    """Return the unit of the times: by their size if they count from 1970, else by their step.

    The usual step is 0.05 to 0.2 s.
    """
    values = (_value(named.get('timestamp', '')) for _, named in table.rows)
    times = np.array([value for value in values if value is not None and np.isfinite(value)])
    if len(times) < 2:
        return 1.0
    for unit_s, year_2001 in ((1.0, 1e9), (1e-3, 1e12), (1e-6, 1e15), (1e-9, 1e18)):
        if year_2001 <= np.quantile(times, 0.1) < 10 * year_2001:
            return unit_s
    if np.mean(np.diff(times) < 0) > _ODD_SHARE:  # The rows are not in the order of time.
        times = np.unique(times)
    usual = float(np.median(np.abs(np.diff(times))))
    return 1.0 if usual < 5 else 1e-3 if usual < 5e3 else 1e-6 if usual < 5e6 else 1e-9


def _check_unit(path: Path, table: Table) -> None:
    """Raise LogError if the steering is not in the recorder's unit, as it seems."""
    if unit := table.units.get('steering'):
        doubt = f'the header says that the steering is in {unit}'
    else:
        values = [_value(named.get('steering', '')) for _, named in table.rows]
        far = [abs(value) for value in values if value and 1.0 < abs(value) <= _LARGEST_DEGREES]
        if len(far) < max(_ASK_ROWS, _ASK_SHARE * len(values)):
            return
        doubt = (
            f'the steering is up to {max(far):g} in {len(far)} of {len(values)} rows, and the '
            'recorder writes -1..1'
        )
    raise LogError(
        f'{path}: {doubt}; name the unit: --steering-unit degrees or radians if right is '
        'positive, degrees-left or radians-left if left is, or recorder for units of 25 degrees'
    )


def _row(named: dict[str, str], scales: _Scales) -> Row:
    if 'center' not in named or is_blank(named['center']):
        raise RowError('it names no centre image')
    left, right = (
        None if name is None or is_blank(name) else name for name in map(named.get, IMAGES[1:])
    )
    named = {name: text for name, text in named.items() if name not in scales.blank}
    if 'steering' not in named:
        raise RowError('it has no steering')
    return Row(
        center=named['center'],
        left=left,
        right=right,
        steering_rad=_number(named, 'steering', MAX_STEERING_RAD, scales.steering_rad),
        throttle=_number(named, 'throttle', 1.0),
        brake=_number(named, 'brake', 1.0),
        speed_mps=_number(named, 'speed', LARGEST_SPEED_MPS, scales.speed_mps),
        timestamp_s=_timestamp(named, scales.time_s),
        source=named.get('source'),
    )


def _value(text: str) -> float | None:
    """Return the number in a field, with a decimal point or comma; None if there is none."""
    try:
        return float(_WORDS.get(text.lower(), text).replace(',', '.'))
    except ValueError:
        return None


def _time_s(text: str) -> float | None:
    """Return the time in a field, as a number or a date; None if there is none."""
    if (value := _value(text)) is not None:
        return value
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _number(named: dict[str, str], column: str, largest: float, scale: float = 1.0) -> float:
    """Return a number of a row times `scale`: within +-`largest`, else RowError."""
    text = named.get(column, '0')
    value = _value(text)
    if value is None:
        raise RowError(f'{column} is not a number', repr(text))
    if not abs(value * scale) <= largest + 1e-6:
        limit = largest / abs(scale)
        raise RowError(
            f'{column} is out of range', f'{text}; it must be {-limit:.4g}..{limit:.4g}'
        )
    return value * scale


def _timestamp(named: dict[str, str], unit_s: float) -> float | None:
    text = named.get('timestamp')
    if text is None:
        return name_time(named['center'])
    time_s = _time_s(text)
    if time_s is None or not np.isfinite(time_s):
        raise RowError('timestamp is not a time', repr(text))
    return time_s if _value(text) is None else time_s * unit_s


def _leave_out_jumps(log: Log, lines: Sequence[int]) -> None:
    """Move rows to the bad rows whose time is far from the times before and after them.

    Folders whose rows are not in the order of time, such as samples of a log, are not changed.
    """
    wrong = set()
    for group in rows_by_folder(log.rows):
        times_s = np.array([log.rows[index].timestamp_s for index in group], np.float64)
        for place, step_s in _jumps(times_s):
            reason = f'the time jumps by {step_s:+.3f} s and back'
            log.bad_rows.append(BadRow(lines[group[place]], reason, 'the time jumps'))
            wrong.add(group[place])
    log.rows[:] = [row for index, row in enumerate(log.rows) if index not in wrong]


def _jumps(times_s: Series) -> Iterator[tuple[int, float]]:
    """Yield place and step, s, of the times that are far from those before and after them."""
    odd_steps = int(np.sum(np.abs(np.diff(times_s)) > _FAR_S))
    most = min(max(_ODD_STEPS, _ODD_SHARE * len(times_s)), _MOST_SHARE * (len(times_s) - 1))
    if odd_steps > most or np.isnan(times_s).any():
        return
    last_s = times_s[0]
    for place, time_s in enumerate(times_s):
        ahead_s = np.abs(times_s[place : place + _JUMP_ROWS + 1] - last_s)
        if ahead_s[0] > _FAR_S and ahead_s.min() <= _CLOSE_S:
            yield place, float(time_s - last_s)
        else:  # The next row, a pause, or another run.
            last_s = time_s


def _keep_runs_apart(rows: list[Row]) -> None:
    """Shift the times of each run before which the clock has restarted to follow the run before.

    Rows that are not in the order of time, such as shuffled ones, are not changed.
    """
    timed = [index for index, row in enumerate(rows) if row.timestamp_s is not None]
    times_s = np.array([rows[index].timestamp_s for index in timed], np.float64)
    steps_s = np.diff(times_s)
    is_restart = steps_s < -_RESTART_S
    if not is_restart.any() or np.mean(is_restart) > _ODD_SHARE:
        return
    times_s[1:] += np.cumsum(np.where(is_restart, _PAUSE_S - steps_s, 0.0))
    for index, time_s in zip(timed, times_s.tolist(), strict=True):
        rows[index] = replace(rows[index], timestamp_s=time_s)


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


def rows_by_folder(rows: Sequence[Row]) -> list[list[int]]:
    """Return lists of indices, each of the rows of one source and folder, in their order."""
    groups: dict[tuple[str | None, str], list[int]] = {}
    for index, row in enumerate(rows):
        folder = row.center.removesuffix(base_name(row.center))
        groups.setdefault((row.source, folder), []).append(index)
    return list(groups.values())
