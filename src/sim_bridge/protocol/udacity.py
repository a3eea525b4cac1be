# SPDX-License-Identifier: Apache-2.0
"""The wire format of the Udacity simulator: event names, units, signs and number formats.

Miles per hour, degrees and steering that is positive to the right end here. Everything that it
returns is SI with REP-103 signs (metres, seconds, radians, left is positive). Pure: payloads in,
frozen values out, and back. The bridge uses `UdacityLink`; the embedded simulator uses the
inverses, `encode_telemetry` and `decode_command`.

The embedded simulator adds the fields `run`, `time_ns`, `truth` (a JSON object as text) and
`waits` to its telemetry, which other servers ignore. It accepts the events of `Control`, which are
sent only to a simulator with a `run`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sim_bridge.protocol.types import (
    Command,
    Control,
    HalfCommandError,
    PacketError,
    Telemetry,
    UnsentError,
)
from steering_net.vehicle import MAX_STEERING_RAD

EVENT_TELEMETRY = 'telemetry'
EVENT_STEER = 'steer'
EVENT_MANUAL = 'manual'

_FIELD_RUN = 'run'
_FIELD_TIME = 'time_ns'
_FIELD_TRUTH = 'truth'
_FIELD_WAITS = 'waits'

_MPS_PER_MPH = 0.44704

_MAX_ANGLE_DEG = 180.0
_MAX_SPEED_MPH = 1000.0
_MAX_IMAGE_CHARS = 8_000_000


@dataclass(frozen=True)
class Culture:
    """Number format of a simulator's machine. `negative`: format of a negative number.

    Such a machine reads a minus sign only in front of a number, even if it writes it behind.
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


class UdacityLink:
    """`Link` to a Udacity simulator: JSON events, numbers in the culture of its machine."""

    def __init__(self, emit: Callable[[str, Mapping[str, str]], bool | None]) -> None:
        """`emit` sends an event (name, data) to the client; it returns False if it drops it."""
        self._emit = emit
        self._decimal: str | None = None

    def decode(self, payload: object) -> Telemetry | None:
        """Read the data of a `telemetry` event, and keep the decimal separator of its speed.

        Raises PacketError, see `decode_telemetry`.
        """
        self._decimal = decimal_of(payload) or self._decimal
        return decode_telemetry(payload)

    def send_command(self, command: Command) -> None:
        """Send a `steer` event, in numbers that the simulator's culture reads."""
        self._emit(EVENT_STEER, encode_command(command, self._decimal))

    def send_manual(self) -> None:
        """Send a `manual` event."""
        self._emit(EVENT_MANUAL, {})

    def send_control(self, control: Control) -> None:
        """Send the event of a request. Raises UnsentError if it is dropped."""
        if self._emit(control.value, {}) is False:
            raise UnsentError(f'{control.value} was not sent: the simulator does not read')


def decode_telemetry(payload: object) -> Telemetry | None:
    """Read the data of a `telemetry` event; None means that a person drives.

    A number may be a JSON number, or a string as any culture writes it. Raises PacketError, naming
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
            error.speed_mps, _ = _speed_mps(payload)
        raise


def decimal_of(payload: object) -> str | None:
    """Return the decimal separator of the speed in a `telemetry` event; None if it has none."""
    if isinstance(payload, Mapping):
        with contextlib.suppress(PacketError):
            return _speed_mps(payload)[1]
    return None


def _decode(payload: Mapping[str, object]) -> Telemetry:
    _check_complete(payload)
    angle_deg, _ = _number(payload, 'steering_angle', _MAX_ANGLE_DEG)
    throttle, _ = _number(payload, 'throttle', 1.0)
    speed_mps, _ = _speed_mps(payload)
    return Telemetry(
        steering_rad=-math.radians(angle_deg),
        throttle=throttle,
        speed_mps=speed_mps,
        jpeg=_image(payload),
        run=_count(payload, _FIELD_RUN),
        time_ns=_count(payload, _FIELD_TIME),
        truth=_truth_text(payload),
        waits=_count(payload, _FIELD_WAITS) == 1,
    )


def _count(payload: Mapping[str, object], field: str) -> int | None:
    """Return an optional whole number, 0 or more; None if it is missing or something else."""
    raw = payload.get(field)
    is_number = isinstance(raw, str) and raw.isascii() and raw.isdecimal() and len(raw) < 19
    return int(str(raw)) if is_number else None


def _truth_text(payload: Mapping[str, object]) -> str | None:
    raw = payload.get(_FIELD_TRUTH)
    return raw if isinstance(raw, str) else None


def _speed_mps(payload: Mapping[str, object]) -> tuple[float, str]:
    speed_mph, decimal = _number(payload, 'speed', _MAX_SPEED_MPH)
    return abs(speed_mph) * _MPS_PER_MPH, decimal


def encode_telemetry(telemetry: Telemetry, culture: Culture) -> dict[str, str]:
    """Return the data of a `telemetry` event as the simulator writes it, in its field order."""
    fields = {
        'steering_angle': _n4(-math.degrees(telemetry.steering_rad), culture),
        'throttle': _n4(telemetry.throttle, culture),
        'speed': _n4(telemetry.speed_mps / _MPS_PER_MPH, culture),
        'image': base64.b64encode(telemetry.jpeg).decode('ascii'),
    }
    for field, value in ((_FIELD_RUN, telemetry.run), (_FIELD_TIME, telemetry.time_ns)):
        if value is not None:
            fields[field] = str(value)
    if telemetry.truth is not None:
        fields[_FIELD_TRUTH] = telemetry.truth
    if telemetry.waits:
        fields[_FIELD_WAITS] = '1'
    return fields


def encode_command(command: Command, decimal: str | None) -> dict[str, str]:
    """Return the data of a `steer` event, clamped to the limits of the car.

    decimal: the separator of the simulator's last telemetry. None (no telemetry yet): both values
    are sent as `0`, which every culture reads. A minus sign stands in front, because all cultures
    read it there, even those that write it behind.
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

    Raises PacketError where the simulator ignores the event, and HalfCommandError where it ignores
    the throttle after it has turned the wheels.
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
"""Marks of writing direction. Some runtimes put them around a sign."""
_UNSIGNED = r'(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?'
_PLAIN = re.compile(_UNSIGNED, re.IGNORECASE | re.ASCII)
_SIGNED = re.compile(f'[+-]?{_UNSIGNED}', re.IGNORECASE | re.ASCII)
_JSON_NAMES = {
    type(None): 'null', str: 'text', int: 'a number', float: 'a number', list: 'a list',
    bytes: 'binary data', bytearray: 'binary data',
}  # fmt: skip


def _kind(value: object) -> str:
    """Return the type of a JSON value, as a user reads it in an error."""
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
    """Return the value of a field, |value| <= limit, and its decimal separator."""
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

    The simulator always prints four decimals (ToString("N4")), so the separator is the fifth
    character from the end. In a number with fewer or more decimals, the last separator counts.
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
    """Return 1.0 or -1.0, and the number without its sign. The sign may be in front or behind."""
    text = raw.translate(_UNSEEN).replace('\u2212', '-').strip()
    if text.endswith('-'):
        return -1.0, text[:-1].rstrip()
    if text.startswith(('-', '+')):
        return -1.0 if text[0] == '-' else 1.0, text[1:].lstrip()
    return 1.0, text


def _parse_single(payload: Mapping[str, object], field: str, culture: Culture) -> float:
    """Read a string field as `float.Parse` of C# does: group separators are skipped anywhere."""
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
