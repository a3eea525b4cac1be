# SPDX-License-Identifier: Apache-2.0
"""Faults of the embedded simulator: their kinds, when they occur, and what they change. Pure.

A `FaultPlan` is read from text such as `drop:0.05,delay:200ms,menu:10s/2s,seed:7`. It is
deterministic: the same plan changes the same telemetries in the same way.
"""

from __future__ import annotations

import base64
import difflib
import random
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

Fields = Mapping[str, str]
Spoil = Callable[[dict[str, str], random.Random], object]

JUNK_CHARS = 100_000
MAX_DELAY_S = 10.0
STEEPEST = 0.5
_DEFAULT_LENGTH_S = 1.0
_IMAGE = 'image'


class FaultError(ValueError):
    """A plan that cannot be read; the message begins with `faults` and names the fix."""


@dataclass(frozen=True)
class Span:
    """Times of a fault: every `period_s`, first after one period, for `length_s`."""

    period_s: float
    length_s: float

    def count(self, time_s: float) -> int:
        """Return how often the fault has begun by this time."""
        return max(0, int(time_s // self.period_s))

    def active(self, time_s: float) -> bool:
        """Return whether the fault is active at this time."""
        return time_s >= self.period_s and time_s % self.period_s < self.length_s


@dataclass(frozen=True)
class FaultPlan:
    """The faults of a drive. The plan without arguments has no fault and a level road.

    chances: probability per telemetry by kind. spans: times by kind. delay_s: delay of every
    telemetry. seed: of the random choices. grades: pairs of a place along the track, m, and the
    slope of the road from there on, rise over run; sorted by place.
    """

    chances: Mapping[str, float] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict)
    delay_s: float = 0.0
    seed: int = 0
    grades: tuple[tuple[float, float], ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether no fault affects the connection."""
        return not (self.chances or self.spans or self.delay_s)

    def grade(self, s_m: float) -> float:
        """Return the slope at a place along the track, rise over run, positive uphill."""
        return next((slope for place_m, slope in reversed(self.grades) if place_m <= s_m), 0.0)

    def active(self, kind: str, time_s: float) -> bool:
        """Return whether a fault of this kind is active at this time, seconds since the start."""
        return kind in self.spans and self.spans[kind].active(time_s)

    def count(self, kind: str, time_s: float) -> int:
        """Return how often a fault of this kind has begun by this time."""
        return self.spans[kind].count(time_s) if kind in self.spans else 0


class Spoiler:
    """Applies the chances of a plan to successive telemetries."""

    def __init__(self, plan: FaultPlan) -> None:
        self._chances = plan.chances
        self._rng = random.Random(plan.seed)

    def payloads(self, fields: Fields | None) -> list[object]:
        """Return what goes out in place of a telemetry: nothing, one payload, or two.

        None, a person driving, can be dropped and duplicated but has nothing to spoil.
        """
        chosen = [kind for kind in CHANCES if self._rng.random() < self._chances.get(kind, 0.0)]
        payload: object = fields
        if fields is not None:
            for kind in chosen[:1]:
                payload = CHANCES[kind](dict(fields), self._rng)
        return [payload] * _COPIES.get(chosen[0] if chosen else '', 1)


def parse_faults(text: str) -> FaultPlan:
    """Read a plan from `KIND:VALUE,...`; FaultError names the wrong value and what is allowed."""
    chances: dict[str, float] = {}
    spans: dict[str, Span] = {}
    delay_s, seed = 0.0, 0
    grades: tuple[tuple[float, float], ...] = ()
    for item in filter(None, text.replace(' ', '').split(',')):
        kind, _, value = item.partition(':')
        if kind in CHANCES:
            chances[kind] = _chance(kind, value)
        elif kind in SPANS:
            spans[kind] = _span(kind, value)
        elif kind == 'delay':
            delay_s = _seconds(kind, value, MAX_DELAY_S)
        elif kind == 'seed':
            seed = _seed(value)
        elif kind == 'grade':
            grades = _grades(value)
        else:
            raise FaultError(f'faults has the unknown kind {kind!r}; {_advice(kind)}')
    return FaultPlan(chances, spans, delay_s, seed, grades)


def describe_faults() -> str:
    """Return the help text of --faults, which names every kind."""
    return (
        'faults to inject, as KIND:VALUE,... ; '
        f'with a probability per telemetry, as in drop:0.05: {", ".join(CHANCES)}; '
        'with a period and a length, as in menu:10s/2s (disconnect:5s and half-open:5s '
        f'have no length): {", ".join(SPANS)}; '
        'always: delay:200ms; slope of the road, rise over run, of the whole track or from '
        'places on: grade:0.08 or grade:0.08@50m/-0.08@150m; '
        'seed:N chooses another random sequence. For decimal commas use --culture de-DE'
    )


def _chance(kind: str, value: str) -> float:
    try:
        chance = float(value)
    except ValueError:
        chance = -1.0
    if not 0.0 <= chance <= 1.0:
        raise FaultError(
            f'faults has {kind}:{value}; its probability must be 0..1, as in {kind}:0.05'
        )
    return chance


def _seed(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise FaultError(f'faults has seed:{value}; it must be a whole number, as in seed:7')
    return int(value)


_GRADE = re.compile(r'([+-]?\d*\.?\d+)(?:@(\d+\.?\d*)m)?', re.ASCII)


def _grades(value: str) -> tuple[tuple[float, float], ...]:
    matches = [_GRADE.fullmatch(part[:20]) for part in value.split('/')]
    grades = sorted((float(match[2] or 0.0), float(match[1])) for match in matches if match)
    if len(grades) < len(matches) or any(abs(slope) > STEEPEST for _, slope in grades):
        raise FaultError(
            f'faults has grade:{value}; slopes must be -{STEEPEST:g}..{STEEPEST:g}, as in '
            'grade:0.08 or grade:0.08@50m/-0.08@150m'
        )
    return tuple(grades)


def _span(kind: str, value: str) -> Span:
    period, slash, length = value.partition('/')
    period_s = _seconds(kind, period, 3600.0)
    length_s = _seconds(kind, length, period_s) if slash else min(_DEFAULT_LENGTH_S, period_s)
    return Span(period_s, length_s)


_DURATION = re.compile(r'(\d+\.?\d*|\.\d+)(ms|s)', re.ASCII)


def _seconds(kind: str, text: str, most_s: float) -> float:
    match = _DURATION.fullmatch(text[:20])
    seconds = float(match[1]) * (0.001 if match[2] == 'ms' else 1.0) if match else 0.0
    if not 0.0 < seconds <= most_s:
        example = 'delay:200ms' if kind == 'delay' else f'{kind}:10s or {kind}:10s/2s'
        raise FaultError(
            f'faults has {kind}:{text}; its time must be at most {most_s:g} s, as in {example}'
        )
    return seconds


def _advice(kind: str) -> str:
    known = [*CHANCES, *SPANS, 'delay', 'grade', 'seed']
    near = difflib.get_close_matches(kind, known, 1)
    return f'did you mean {near[0]}?' if near else f'the kinds are {", ".join(known)}'


def _as_it_is(fields: dict[str, str], _rng: random.Random) -> object:
    return fields


def _truncate(fields: dict[str, str], rng: random.Random) -> object:
    jpeg = base64.b64decode(fields[_IMAGE])
    return fields | {_IMAGE: _base64(jpeg[: rng.randrange(len(jpeg))])}


def _not_jpeg(fields: dict[str, str], rng: random.Random) -> object:
    return fields | {_IMAGE: _base64(b'\x89PNG\r\n\x1a\n' + rng.randbytes(2000))}


def _wrong_size(fields: dict[str, str], rng: random.Random) -> object:
    """Return a picture of a few pixels, or one whose header claims four billion."""
    return fields | {_IMAGE: _base64(rng.choice((_tiny_jpeg(), _monstrous_jpeg())))}


def _missing(fields: dict[str, str], rng: random.Random) -> object:
    del fields[rng.choice(sorted(fields))]
    return fields


def _nan(fields: dict[str, str], rng: random.Random) -> object:
    return fields | {_a_number(rng): rng.choice(('NaN', 'nan', 'Infinity', '-Infinity'))}


def _huge(fields: dict[str, str], rng: random.Random) -> object:
    return fields | {_a_number(rng): rng.choice(('1e38', '-999,999,999.0000', '9' * 400))}


def _junk(_fields: dict[str, str], rng: random.Random) -> object:
    return _base64(rng.randbytes(JUNK_CHARS * 3 // 4))


def _a_number(rng: random.Random) -> str:
    return rng.choice(('speed', 'throttle'))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode('ascii')


@cache
def _tiny_jpeg() -> bytes:
    # Imported here, because `drive` reads a plan first and does not need OpenCV.
    import numpy as np

    from steering_net.vision.jpeg import encode_jpeg

    return encode_jpeg(np.full((8, 16, 3), 90, np.uint8))


@cache
def _monstrous_jpeg() -> bytes:
    jpeg = _tiny_jpeg()
    at = jpeg.index(b'\xff\xc0') + 5
    return jpeg[:at] + struct.pack('>HH', 65535, 65535) + jpeg[at + 4 :]


CHANCES: dict[str, Spoil] = {
    'drop': _as_it_is,
    'duplicate': _as_it_is,
    'truncate': _truncate,
    'not-jpeg': _not_jpeg,
    'wrong-size': _wrong_size,
    'missing': _missing,
    'nan': _nan,
    'huge': _huge,
    'junk': _junk,
}
"""Function that spoils the fields for each fault of single telemetries. The table of
docs/safety.md says what each fault is. A telemetry has at most one, the first in this list."""

_COPIES = {'drop': 0, 'duplicate': 2}

SPANS = ('disconnect', 'half-open', 'silent', 'storm', 'menu', 'manual', 'second')
"""Faults that last for some time."""
