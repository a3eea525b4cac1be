"""What the Udacity simulator says and expects: names, units, signs and number formats.

The only module that knows miles per hour, degrees and the simulator's right-positive steering.
Everything it returns is SI with REP-103 signs (metres, seconds, radians, left is positive).
Pure: payloads in, frozen values out, and back. The bridge uses `decode_telemetry` and
`encode_command`; the embedded simulator uses their mirrors.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

EVENT_TELEMETRY = 'telemetry'
EVENT_STEER = 'steer'
EVENT_MANUAL = 'manual'

_MPS_PER_MPH = 0.44704
MAX_STEERING_RAD = math.radians(25.0)
TOP_SPEED_MPS = 30.0 * _MPS_PER_MPH
REVERSE_BELOW_MPS = 5.0 * _MPS_PER_MPH
"""Below this speed a negative throttle drives the simulator's car backwards."""

_MAX_ANGLE_DEG = 180.0
_MAX_SPEED_MPH = 1000.0
_MAX_IMAGE_CHARS = 8_000_000


class PacketError(ValueError):
    """A payload that is not what the protocol promises; the message names the field.

    speed_mps, decimal: the speed of a telemetry that is wrong elsewhere, and its separator; None
    where the speed cannot be read either.
    """

    def __init__(
        self, message: str, speed_mps: float | None = None, decimal: str | None = None
    ) -> None:
        super().__init__(message)
        self.speed_mps = speed_mps
        self.decimal = decimal


class HalfCommandError(PacketError):
    """The steering of a command is good and its throttle is not.

    The simulator has then already turned its wheels: `steering_rad` is what it applied.
    """

    def __init__(self, message: str, steering_rad: float) -> None:
        super().__init__(message)
        self.steering_rad = steering_rad


@dataclass(frozen=True)
class Culture:
    """How a simulator's machine writes numbers. `negative`: where the minus sign of `{}` stands.

    It reads a minus sign only in front of a number, even where it writes one behind.
    """

    decimal: str
    group: str
    negative: str = '-{}'


CULTURES: dict[str, Culture] = {
    'en-US': Culture(decimal='.', group=','),
    'de-DE': Culture(decimal=',', group='.'),
    'fr-FR': Culture(decimal=',', group='\u00a0'),
    'ar-SA': Culture(decimal='.', group=',', negative='{}-'),
    'fa-IR': Culture(decimal='/', group=',', negative='{}-'),
    'hr-HR': Culture(decimal=',', group='.', negative='- {}'),
}


@dataclass(frozen=True)
class Telemetry:
    """One frame of the simulator.

    steering_rad: what the wheels do now, left positive. throttle: 0..1. speed_mps: magnitude.
    jpeg: the camera's image as sent. decimal: the separator that the numbers came with.
    """

    steering_rad: float
    throttle: float
    speed_mps: float
    jpeg: bytes
    decimal: str = '.'


@dataclass(frozen=True)
class Command:
    """What the car shall do: steering_rad left positive, throttle -1..1 (negative brakes).

    ValueError if a value is not finite, so that such a command cannot exist, let alone be sent.
    """

    steering_rad: float
    throttle: float

    def __post_init__(self) -> None:
        for name in ('steering_rad', 'throttle'):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f'{name} is {getattr(self, name)}, it must be finite')


def decode_telemetry(payload: object) -> Telemetry | None:
    """Read the data of a `telemetry` event; None means that a person is driving.

    Numbers may be JSON numbers, or strings as any culture writes them. Raises PacketError, naming
    the field, for anything else.
    """
    if payload is None:
        return None
    if not isinstance(payload, Mapping):
        raise PacketError(f'telemetry is {_kind(payload)}; it must be an object or null')
    try:
        return _decode(payload)
    except PacketError as error:
        with contextlib.suppress(PacketError):
            error.speed_mps, error.decimal = _speed_mps(payload)
        raise


def _decode(payload: Mapping[str, object]) -> Telemetry:
    _check_complete(payload)
    angle_deg, _ = _number(payload, 'steering_angle', _MAX_ANGLE_DEG)
    throttle, _ = _number(payload, 'throttle', 1.0)
    speed_mps, decimal = _speed_mps(payload)
    return Telemetry(
        steering_rad=-math.radians(angle_deg),
        throttle=throttle,
        speed_mps=speed_mps,
        jpeg=_image(payload),
        decimal=decimal,
    )


def _speed_mps(payload: Mapping[str, object]) -> tuple[float, str]:
    speed_mph, decimal = _number(payload, 'speed', _MAX_SPEED_MPH)
    return abs(speed_mph) * _MPS_PER_MPH, decimal


def encode_telemetry(telemetry: Telemetry, culture: Culture) -> dict[str, str]:
    """Write the data of a `telemetry` event as the simulator does, in its field order."""
    return {
        'steering_angle': _n4(-math.degrees(telemetry.steering_rad), culture),
        'throttle': _n4(telemetry.throttle, culture),
        'speed': _n4(telemetry.speed_mps / _MPS_PER_MPH, culture),
        'image': base64.b64encode(telemetry.jpeg).decode('ascii'),
    }


def encode_command(command: Command, decimal: str | None) -> dict[str, str]:
    """Write the data of a `steer` event, clamped to what the car can do.

    decimal: the separator of the simulator's last telemetry. None, before the first one, makes
    both values `0`, the only number that every culture reads alike. A minus sign stands in front,
    where all cultures read it, also those that write it behind.
    """
    if decimal is None:
        return {'steering_angle': '0', 'throttle': '0'}
    # Adding zero turns the -0.0 of straight ahead into 0.0.
    angle = _clamp(-command.steering_rad / MAX_STEERING_RAD) + 0.0
    return {
        'steering_angle': f'{angle:.6f}'.replace('.', decimal),
        'throttle': f'{_clamp(command.throttle):.6f}'.replace('.', decimal),
    }


def decode_command(payload: object, culture: Culture) -> Command:
    """Read the data of a `steer` event as the simulator does, in its culture.

    Raises PacketError where the simulator swallows the event, HalfCommandError where it does so
    after it has turned the wheels.
    """
    if not isinstance(payload, Mapping):
        raise PacketError(f'steer is {_kind(payload)}; it must be an object')
    angle = _clamp(_parse_single(payload, 'steering_angle', culture))
    steering_rad = -angle * MAX_STEERING_RAD
    try:
        throttle = _clamp(_parse_single(payload, 'throttle', culture))
    except PacketError as error:
        raise HalfCommandError(str(error), steering_rad) from error
    return Command(steering_rad, throttle)


def _clamp(value: float) -> float:
    return max(-1.0, min(1.0, value))


_FIELDS = {
    'steering_angle': 'a number', 'throttle': 'a number', 'speed': 'a number',
    'image': 'a base64 JPEG',
}  # fmt: skip
_DECIMALS = './,\u066b'
_SEPARATORS = ".,'\u2019 \u00a0\u202f\u066c"
_UNSEEN = dict.fromkeys(map(ord, '\u200e\u200f\u061c'))
"""Marks of writing direction, which some runtimes put around a sign."""
_UNSIGNED = r'(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?'
_PLAIN = re.compile(_UNSIGNED, re.IGNORECASE | re.ASCII)
_SIGNED = re.compile(f'[+-]?{_UNSIGNED}', re.IGNORECASE | re.ASCII)
_JSON_NAMES = {
    type(None): 'null', str: 'text', int: 'a number', float: 'a number', list: 'a list',
    bytes: 'binary data', bytearray: 'binary data',
}  # fmt: skip


def _kind(value: object) -> str:
    """What a JSON value is, for people."""
    if isinstance(value, bool):
        return str(value).lower()
    return _JSON_NAMES.get(type(value), 'an object')


def _check_complete(payload: Mapping[str, object]) -> None:
    missing = [field for field in _FIELDS if field not in payload]
    if len(missing) == 1:
        raise PacketError(f'{missing[0]} is missing; it must be {_FIELDS[missing[0]]}')
    if missing:
        names = f'{", ".join(missing[:-1])} and {missing[-1]}'
        raise PacketError(f'{names} are missing; is this the Udacity simulator of Term 1?')


def _number(payload: Mapping[str, object], field: str, limit: float) -> tuple[float, str]:
    """Value of a field, |value| <= limit, and the decimal separator that it was written with."""
    raw = payload.get(field)
    if isinstance(raw, str):
        value, decimal = _parse_any_culture(raw, field)
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        value, decimal = float(raw) if abs(raw) <= limit else math.inf, '.'
    else:
        raise PacketError(f'{field} is {_kind(raw)}; it must be a number')
    if not abs(value) <= limit:
        raise PacketError(f'{field} is {str(raw)[:20]}; it must be within +-{limit:g}')
    return value, decimal


def _parse_any_culture(raw: str, field: str) -> tuple[float, str]:
    """Read `1,234.5000`, `1.234,5000`, `- 12.5000` and `12/5000-` alike.

    The simulator prints four decimals always (ToString("N4")), so the separator stands fifth
    from the end; a client that prints fewer or more is read by its last separator.
    """
    if len(raw) > 40:
        raise PacketError(f'{field} has {len(raw)} characters; it must be a number')
    sign, text = _split_sign(raw)
    decimal = text[-5:-4]
    if not decimal or decimal not in _DECIMALS:
        decimal = max(_DECIMALS, key=text.rfind)
    whole, point, fraction = text.rpartition(decimal)
    for separator in _SEPARATORS:
        whole = whole.replace(separator, '')
    plain = f'{whole}.{fraction}' if point else fraction
    if not _PLAIN.fullmatch(plain):
        raise PacketError(f'{field} is {raw[:20]!r}; it must be a number')
    return sign * float(plain), decimal


def _split_sign(raw: str) -> tuple[float, str]:
    """1.0 or -1.0, and the number without the sign, which stands in front of it or behind."""
    text = raw.translate(_UNSEEN).replace('\u2212', '-').strip()
    if text.endswith('-'):
        return -1.0, text[:-1].rstrip()
    if text.startswith(('-', '+')):
        return -1.0 if text[0] == '-' else 1.0, text[1:].lstrip()
    return 1.0, text


def _parse_single(payload: Mapping[str, object], field: str, culture: Culture) -> float:
    """C#'s `float.Parse` of a string field: thousands separators are skipped wherever they are."""
    raw = payload.get(field)
    if not isinstance(raw, str):
        raise PacketError(f'{field} is {_kind(raw)}; it must be text')
    text = raw.strip()
    if text in ('Infinity', '-Infinity'):
        return math.copysign(math.inf, -1.0 if text[0] == '-' else 1.0)
    whole, point, fraction = text.partition(culture.decimal)
    whole = whole.replace(culture.group, '')
    plain = f'{whole}.{fraction}' if point else whole
    if not _SIGNED.fullmatch(plain) or '.' in whole:
        raise PacketError(f'{field} is {raw[:20]!r}; this culture reads no number in it')
    return float(plain)


def _n4(value: float, culture: Culture) -> str:
    digits = f'{abs(value):,.4f}'
    table = {ord(','): culture.group, ord('.'): culture.decimal}
    text = digits.translate(table)
    return culture.negative.format(text) if value < 0.0 < float(digits.replace(',', '')) else text


def _image(payload: Mapping[str, object]) -> bytes:
    raw = payload['image']
    must = f'it must be {_FIELDS["image"]}'
    if not isinstance(raw, str):
        raise PacketError(f'image is {_kind(raw)}; {must}')
    if raw[:5] == 'data:':
        raise PacketError('image is a data: URI; it must be the base64 text behind the comma')
    if len(raw) > _MAX_IMAGE_CHARS:
        raise PacketError(f'image has {len(raw)} characters; at most {_MAX_IMAGE_CHARS} are taken')
    try:
        return binascii.a2b_base64(raw, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise PacketError(f'image is not base64; {must}') from error
