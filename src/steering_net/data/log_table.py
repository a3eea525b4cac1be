# SPDX-License-Identifier: Apache-2.0
"""Tables: the text of a driving log as rows of named fields, whatever wrote the file.

Found by itself: the encoding, the separator, a header with its names and units, decimal commas,
separators inside paths, and the columns of a log without a header.
"""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steering_net.data.frame_files import SUFFIXES

IMAGES = ('center', 'left', 'right')
NUMBERS = ('steering', 'throttle', 'brake', 'speed')
RECORDER_COLUMNS = (*IMAGES, *NUMBERS)

# In the order of preference if several split equally many lines into images and numbers. Spaces
# separate fields if none of them does.
_SEPARATORS = ('\t', ';', '|', ',')
_SAMPLE_LINES = 200
_HEADER_LINES = 10
_NUMBER = re.compile(r'[+-]?(\d+[.,]?\d*|[.,]\d+)(E[+-]?\d+)?', re.IGNORECASE)
# A float as .NET prints it: no leading zeros, no fraction that ends in zero.
_PRINTED_NUMBER = re.compile(r'-?(0|[1-9]\d*)(\.\d*[1-9])?(E[+-]?\d+)?', re.IGNORECASE)
_RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 1.0), (-1000.0, 1000.0))
_BLANK = ('', 'none', 'null', 'n/a', 'na', '-')

_UNIT = re.compile(r'_(mph|mps|m_s|kmh|kph|km_h|deg|degrees|rad|radians|s|sec|seconds|ms|us|ns)$')
_UNIT_NAMES = {
    'm_s': 'mps', 'kph': 'kmh', 'km_h': 'kmh', 'degrees': 'deg', 'radians': 'rad',
    'sec': 's', 'seconds': 's',
}  # fmt: skip
# Words of a column's name: one of the first set, and all of them in one of the two sets.
_FILE_WORDS = {'image', 'img', 'picture', 'path', 'file', 'filename', 'filepath', 'frame'}
_CAMERA_WORDS = {*_FILE_WORDS, 'name', 'camera', 'cam', 'view', 'array'}
_VALUE_WORDS = {'value', 'command', 'cmd', 'input', 'user', 'vehicle', 'car', 'wheel'}
_COLUMN_WORDS: dict[str, tuple[set[str], set[str]]] = {
    'left': ({'left'}, _CAMERA_WORDS),
    'right': ({'right'}, _CAMERA_WORDS),
    'center': ({'center', 'centre', 'front', 'middle', *_FILE_WORDS}, _CAMERA_WORDS),
    'steering': ({'steering', 'steer', 'angle'}, _VALUE_WORDS),
    'throttle': ({'throttle', 'gas', 'accelerator'}, _VALUE_WORDS),
    'brake': ({'brake', 'brakes', 'reverse'}, _VALUE_WORDS),
    'speed': ({'speed', 'velocity'}, _VALUE_WORDS),
    'timestamp': ({'timestamp', 'time', 'stamp', 'datetime'}, set()),
    'source': ({'source'}, set()),
}


class RowError(ValueError):
    """A line that cannot be used; `kind` is its message without what differs from line to line."""

    def __init__(self, kind: str, rest: str = '') -> None:
        super().__init__(f'{kind}: {rest}' if rest else kind)
        self.kind = kind


@dataclass(frozen=True)
class Table:
    """The rows of a log as (line, fields by column), and bad lines as (line, error).

    Lines are counted from 1. A column is one of RECORDER_COLUMNS, `timestamp` or `source`. `units`
    holds the units that a header names. `form` describes the format for people.
    """

    rows: list[tuple[int, dict[str, str]]]
    bad_lines: list[tuple[int, RowError]]
    units: dict[str, str]
    form: str


def decoded(data: bytes) -> str:
    """Return the text of a file in UTF-8, UTF-16 (with or without a mark) or Windows-1252."""
    for mark, name in ((b'\xff\xfe', 'utf-16'), (b'\xfe\xff', 'utf-16'), (b'\xef\xbb\xbf', '')):
        if data.startswith(mark):
            return data.decode(name or 'utf-8-sig', errors='replace')
    if b'\0' in data[:64]:
        return data.decode('utf-16-be' if data[:1] == b'\0' else 'utf-16-le', errors='replace')
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError:
        return data.decode('cp1252', errors='replace')


def read_table(text: str) -> Table:
    """Return the rows of the text of a log."""
    plain = text.replace('\N{MINUS SIGN}', '-')
    numbered = enumerate(re.split(r'\r\n|\r|\n', plain), start=1)
    lines = [(number, line) for number, line in numbered if line.strip(' \t,;|"\0')]
    if lines and re.fullmatch(r'"?sep=."?', lines[0][1].strip(), re.IGNORECASE):
        del lines[0]
    separator = _separator([line for _, line in lines[:_SAMPLE_LINES]])
    header = None
    for place, (_, line) in enumerate(lines[:_HEADER_LINES]):
        fields = _split_if_possible(line.lstrip('# '), separator)
        if _is_row(fields):
            break
        if header := _header(fields):
            # Titles may stand before the header, and appended logs repeat it.
            lines = [one for one in lines[place + 1 :] if one[1].strip() != line.strip()]
            break
    lines = [one for one in lines if not one[1].startswith('#')]
    bad_lines = []
    first = _split_if_possible(lines[0][1], separator) if lines and not header else []
    if len(first) > 1 and not any(_is_number(text) or _is_image(text) for text in first):
        error = RowError('the header names no column steering', ', '.join(first))
        bad_lines = [(lines[0][0], error)]
        del lines[0]
    sample = [line for _, line in lines[:_SAMPLE_LINES]]
    columns = _without_doubles(header, sample, separator) if header else _layout(sample, separator)
    names = [column for column, _ in columns]
    rows = []
    for number, line in lines:
        try:
            named = dict(zip(names, _fields(line, separator, names), strict=True))
        except RowError as error:
            bad_lines.append((number, error))
            continue
        named.pop('', None)
        rows.append((number, named))
    units = {column: unit for column, unit in columns if unit}
    return Table(rows, bad_lines, units, _form(sample, separator, names, header))


def is_blank(text: str) -> bool:
    """Return whether a field is empty, or holds a word for nothing, such as `none`."""
    return text.lower() in _BLANK


def _separator(lines: Sequence[str]) -> str:
    """Return the separator that splits most lines into images and numbers, or into a header."""

    def score(separator: str) -> int:
        return sum(_is_row(fields) or bool(_header(fields)) for fields in split(separator))

    def split(separator: str) -> Iterator[list[str]]:
        return (_split_if_possible(line, separator) for line in lines)

    best = max(_SEPARATORS, key=score)
    if score(best):
        return best
    return ' ' if score(' ') else ','


def _is_row(fields: Sequence[str]) -> bool:
    """Return whether the fields hold an image and, behind the last one, a number."""
    images = [index for index, text in enumerate(fields) if _is_image(text)]
    return bool(images) and any(map(_is_number, fields[images[-1] + 1 :]))


def _is_image(text: str) -> bool:
    return text.lower().endswith(SUFFIXES)


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _split(line: str, separator: str) -> list[str]:
    """Return the fields of a line, with the spaces around them; a quoted line is split twice."""
    if separator == ' ':
        return re.split(r'[\s,]+', line.strip()) if len(line.split()) > 1 else [line]
    is_quoted = '"' in line
    try:
        reader = csv.reader([line], delimiter=separator, skipinitialspace=is_quoted)
        fields = next(reader)
        if is_quoted and len(fields) == 1 and separator in fields[0]:
            fields = next(csv.reader(fields, delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise RowError('it cannot be split', str(error)) from error
    return fields


def _splits(line: str, separator: str) -> Iterator[list[str]]:
    """Yield the ways to split a line, the likeliest first."""
    # Where ', ' separates fields, a comma without a space is a decimal comma.
    if separator == ',' and line.count(', ') >= 3 and '"' not in line:
        yield line.split(', ')
    yield _split(line, separator)


def _split_if_possible(line: str, separator: str) -> list[str]:
    """Return the stripped fields of a line that is a row, else of the last way to split it."""
    fields: list[str] = []
    try:
        for found in _splits(line, separator):
            fields = [_bare(text) for text in found]
            if _is_row(fields):
                break
    except RowError:
        pass
    return fields


def _bare(text: str) -> str:
    text = text.strip(' \t\0\ufeff')
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '"\''
    return text[1:-1].strip() if is_quoted else text


def _header(fields: Sequence[str]) -> tuple[tuple[str, str], ...] | None:
    """Return (column, unit) of each field, ('', '') for unknown ones; None if it is no header."""
    columns = tuple(_column(name) for name in fields)
    return columns if 'steering' in (column for column, _ in columns) else None


def _column(name: str) -> tuple[str, str]:
    words = re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')
    unit = _UNIT.search(words)
    parts = set((words[: unit.start()] if unit else words).split('_'))
    for column, (own, others) in _COLUMN_WORDS.items():
        if parts & own and parts <= own | others:
            return column, _UNIT_NAMES.get(unit[1], unit[1]) if unit else ''
    return '', ''


def _without_doubles(
    header: Sequence[tuple[str, str]], sample: Sequence[str], separator: str
) -> list[tuple[str, str]]:
    """Return the header with each column once: of several for images the one that holds them."""
    first = next((_split_if_possible(line, separator) for line in sample), [])
    chosen: dict[str, int] = {}
    for index, (column, _) in enumerate(header):
        if column not in chosen or (
            column in IMAGES
            and index < len(first)
            and _is_image(first[index])
            and not _is_image(first[chosen[column]])
        ):
            chosen[column] = index
    return [one if chosen[one[0]] == index else ('', '') for index, one in enumerate(header)]


def _layout(sample: Sequence[str], separator: str) -> list[tuple[str, str]]:
    """Return the columns of a log without a header: images, the recorder's numbers, others."""
    shapes: Counter[tuple[int, int, int]] = Counter()
    fast: Counter[tuple[int, int, int]] = Counter()
    points = 0
    for line in sample:
        fields = _split_if_possible(line, separator)
        if _is_row(fields):
            images, behind = _images_and_others(fields)
            numbers = list(itertools.takewhile(_is_number, behind))
            shape = (images, len(behind), len(numbers))
            shapes[shape] += 1
            fast[shape] += bool(numbers) and float(numbers[-1].replace(',', '.')) > 1.0
            points += any('.' in text for text in numbers)
    if not shapes:
        return [(column, '') for column in RECORDER_COLUMNS]
    ((images, others, count), rows) = shapes.most_common(1)[0]
    is_fast = 2 * fast[images, others, count] > rows
    if separator == ',' and 2 * points < shapes.total():
        # Decimal commas, if there are more pieces than numbers.
        count = 1 if max(pieces for _, pieces, _ in shapes) <= 2 else len(NUMBERS)
        others = min(others, count)
    names = list(NUMBERS[:count])
    if 1 < count < len(NUMBERS) and is_fast:
        # Throttle and brake are never that large.
        names[-1] = NUMBERS[-1]
    columns = [*IMAGES[:images], *names]
    return [(column, '') for column in columns] + [('', '')] * (images + others - len(columns))


def _images_and_others(fields: Sequence[str]) -> tuple[int, list[str]]:
    """Return the number of images at the beginning, blank ones too, and the fields behind them."""
    last = max(index for index, text in enumerate(fields) if _is_image(text))
    images = sum(_is_image(text) or is_blank(text) for text in fields[: last + 1])
    behind = list(itertools.dropwhile(is_blank, fields[last + 1 :]))
    images += len(fields) - last - 1 - len(behind)
    while behind and not behind[-1]:
        behind.pop()
    return min(images, len(IMAGES)), behind


def _fields(line: str, separator: str, columns: Sequence[str]) -> list[str]:
    """Return a field for each column; RowError with the reason if the line has others."""
    problem = RowError('it is empty')
    for fields in _splits(line, separator):
        try:
            return _fitted(fields, separator, columns)
        except RowError as error:
            problem = error
    raise problem


def _fitted(fields: Sequence[str], separator: str, columns: Sequence[str]) -> list[str]:
    pieces = list(fields)
    while len(pieces) > len(columns) and not pieces[-1].strip():
        pieces.pop()
    joined = _join_paths(pieces, separator, columns)
    if len(joined) > len(columns):
        joined = _join_decimal_commas(joined, columns)
    if len(joined) != len(columns):
        raise RowError('wrong number of fields', f'{len(fields)} instead of {len(columns)}')
    return joined


def _join_paths(pieces: list[str], separator: str, columns: Sequence[str]) -> list[str]:
    """Return stripped fields in which paths that contain the separator are joined again."""
    joined: list[str] = []
    for position, column in enumerate(columns):
        taken = 1
        surplus = len(pieces) - (len(columns) - position)
        if column in IMAGES and surplus > 0 and not is_blank(_bare(pieces[0])):
            ends = (n for n in range(1, surplus + 2) if _is_image(_bare(pieces[n - 1])))
            taken = next(ends, 1)
        joined.append(_bare(separator.join(pieces[:taken])))
        pieces = pieces[taken:]
        if not pieces:
            break
    return joined + [_bare(text) for text in pieces]


def _join_decimal_commas(fields: list[str], columns: Sequence[str]) -> list[str]:
    """Return fields whose numbers, the last columns, are joined again at their decimal commas."""
    images = [column for column in columns if column in IMAGES]
    count = len(columns) - len(images)
    if tuple(columns) != (*images, *NUMBERS[:count]):
        return fields
    pieces = fields[len(images) :]
    readings = [numbers for numbers in _groupings(pieces, count) if _plausible(numbers)]
    if len(readings) > 1:
        # The speed is hardly ever a whole number; the other three often are.
        readings = [numbers for numbers in readings if '.' in numbers[-1]]
    if len(readings) != 1:
        raise RowError(
            'its decimal commas cannot be told from separators',
            f'{len(readings)} ways to read {",".join(pieces)}',
        )
    return fields[: len(images)] + readings[0]


def _groupings(pieces: Sequence[str], count: int) -> Iterator[list[str]]:
    for widths in itertools.product((1, 2), repeat=count):
        if sum(widths) == len(pieces):
            ends = itertools.accumulate(widths)
            yield [
                '.'.join(pieces[end - width : end])
                for width, end in zip(widths, ends, strict=True)
            ]


def _plausible(numbers: Sequence[str]) -> bool:
    return all(
        _PRINTED_NUMBER.fullmatch(text) and low <= float(text) <= high
        for text, (low, high) in zip(numbers, _RANGES, strict=False)
    )


def _form(
    sample: Sequence[str],
    separator: str,
    columns: Sequence[str],
    header: Sequence[tuple[str, str]] | None,
) -> str:
    """Return a description of the format of a log, from its first row."""
    line = next(iter(sample), '')
    pieces = _split_if_possible(line, separator)
    try:
        fields = _fields(line, separator, columns)
    except RowError:
        fields = pieces
    named = dict(zip(columns, fields, strict=False))
    numbers = [text for column, text in named.items() if column in NUMBERS]
    has_commas = any(',' in text or text not in pieces for text in numbers)
    is_spaced = separator == ',' and line.count(', ') >= len(columns) - 1 > 0
    unused = columns.count('')
    shown = ', ' if is_spaced else separator
    return (
        f'{"a" if header else "no"} header, {shown!r} between fields, '
        f'decimal {"commas" if has_commas else "points"}, {_path_kind(named.get("center", ""))}'
        + (f', {unused} more {"column" if unused == 1 else "columns"}' if unused else '')
    )


def _path_kind(name: str) -> str:
    if re.match(r'[A-Za-z]:[\\/]|\\\\', name):
        return 'absolute Windows paths'
    if name.startswith('/Users/'):
        return 'absolute Mac paths'
    if name.startswith('/'):
        return 'absolute Linux paths'
    return 'relative paths' if re.search(r'[\\/]', name) else 'bare file names'
