# SPDX-License-Identifier: Apache-2.0
"""Profile: how a driver script preprocesses a frame, and what its network's output means."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.camera_model import Matrix, find_camera
from steering_net.vision.camera_names import TRAINING
from steering_net.vision.colours import COLOURS, channels
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH, MAX_SIDE_PX

_MAX_BLUR_PX = 31
INTERPOLATIONS = {
    'nearest': cv2.INTER_NEAREST,
    'linear': cv2.INTER_LINEAR,
    'area': cv2.INTER_AREA,
    'cubic': cv2.INTER_CUBIC,
}
"""Methods of resizing by name, as OpenCV numbers them."""


@dataclass(frozen=True)
class Profile:
    """The steps of preprocessing, in this order, and the meaning of a network's output.

    `rows` and `columns` are half-open pixel ranges (None keeps all), `colour` one of COLOURS,
    `blur` the side of a Gaussian kernel (0 or odd), `size` the (width, height) after
    `interpolation` (None: the network's, without a network the cropped size). Pixels 0..255 become
    `pixel * scale + offset`; a scale of None is 1/255 unless the network scales pixels itself.
    `steering_scale_rad` is rad, left positive, per unit of the network's output. `camera` is the
    camera of the frames that the network was trained on, as `find_camera` takes it.
    """

    name: str
    rows: tuple[int, int] | None = (60, 135)
    columns: tuple[int, int] | None = None
    colour: str = 'yuv'
    blur: int = 3
    size: tuple[int, int] | None = (200, 66)
    interpolation: Literal['nearest', 'linear', 'area', 'cubic'] = 'linear'
    scale: float | None = 1 / 255
    offset: float = 0.0
    steering_scale_rad: float = RECORDER_STEERING_RAD
    camera: str = TRAINING

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value outside its range."""
        self._check('name', bool(self.name), 'a text that is not empty')
        for field, span in (('rows', self.rows), ('columns', self.columns)):
            good = span is None or 0 <= span[0] < span[1]
            self._check(field, good, '(first, end) in pixels, first below end')
        self._check('colour', self.colour in COLOURS, f'one of {", ".join(COLOURS)}')
        good = self.blur == 0 or (0 < self.blur <= _MAX_BLUR_PX and self.blur % 2 == 1)
        self._check('blur', good, f'0, or odd and at most {_MAX_BLUR_PX}')
        good = self.size is None or 0 < min(self.size) <= max(self.size) <= MAX_SIDE_PX
        self._check('size', good, f'(width, height), 1..{MAX_SIDE_PX} pixels each')
        good = self.interpolation in INTERPOLATIONS
        self._check('interpolation', good, f'one of {", ".join(INTERPOLATIONS)}')
        for field, factor in (
            ('scale', self.scale),
            ('steering_scale_rad', self.steering_scale_rad),
        ):
            good = factor is None or (math.isfinite(factor) and factor != 0)
            self._check(field, good, 'finite and not 0')
        self._check('offset', math.isfinite(self.offset), 'finite')
        find_camera(self.camera)

    def _check(self, field: str, good: bool, allowed: str) -> None:
        if not good:
            value = getattr(self, field)
            raise ValueError(f'profile field {field} is {value!r}; it must be {allowed}')

    def output_shape(
        self, height: int = FRAME_HEIGHT, width: int = FRAME_WIDTH
    ) -> tuple[int, int, int]:
        """Return the shape (h, w, channels) that `preprocess` makes of a frame of this size."""
        if self.size is not None:
            return (self.size[1], self.size[0], channels(self.colour))
        top, bottom = self.rows or (0, height)
        left, right = self.columns or (0, width)
        return (bottom - top, right - left, channels(self.colour))

    def image_from_picture(
        self, height: int = FRAME_HEIGHT, width: int = FRAME_WIDTH, top: int = 0
    ) -> Matrix:
        """Return the map from pixel indices of the profile's image to the frame's coordinates.

        `height` and `width` are the size of the input of the profile, whose first row is row `top`
        of the frame.
        """
        first, last = self.rows or (0, height)
        left, right = self.columns or (0, width)
        height, width, _ = self.output_shape(height, width)
        scale_x, scale_y = (right - left) / width, (last - first) / height
        return np.array(
            [
                [scale_x, 0.0, left + scale_x / 2],
                [0.0, scale_y, top + first + scale_y / 2],
                [0.0, 0.0, 1.0],
            ]
        )

    def below(self, top: int) -> 'Profile':
        """Return the same profile for images whose first `top` rows are already cut off."""
        if self.rows is None:
            raise ValueError(f'profile {self.name} uses every row, so none can be cut off')
        return replace(self, rows=(self.rows[0] - top, self.rows[1] - top))


COURSE = Profile('course')
PROFILES = {
    profile.name: profile
    for profile in (
        COURSE,
        Profile('course_noblur', blur=0),
        Profile('naoki', blur=0, scale=1.0),
        Profile('naoki_legacy_yuv', colour='yuv_legacy', blur=0, scale=1.0),
        Profile('carnd_raw_rgb', rows=None, colour='rgb', blur=0, size=None, scale=1.0),
        Profile('carnd_raw_bgr', rows=None, colour='bgr', blur=0, size=None, scale=1.0),
        Profile('ksakmann', (60, 136), (20, 300), colour='rgb', blur=0, size=(64, 64), scale=1.0),
        Profile('custom', rows=None, colour='rgb', blur=0, size=None, scale=None),
    )
}
"""Profiles of widely used public networks, by name; `course` is the default.

`custom` does nothing. With changes it becomes the profile of any other network.
"""


def find_profile(text: str) -> Profile:
    """Return a profile by name, or a changed one as in `custom:rows=60-136,colour=bgr`.

    Changes are FIELD=VALUE, separated by commas: `rows` and `columns` FROM-TO or `all`,
    `colour`, `blur`, `size` WIDTHxHEIGHT or `network`, `interpolation`, `scale` (a number, a
    fraction such as 1/255, or `network`), `offset`, `steering_scale_rad`, `camera` (as
    `find_camera` takes it). The name of the result is the text. Raises ValueError, with the known
    names, for any other text.
    """
    name, _, changes = text.partition(':')
    if name not in PROFILES:
        raise ValueError(f'unknown profile {name!r}; known: {", ".join(PROFILES)}')
    if name == text:
        return PROFILES[name]
    fields: dict[str, Any] = {}
    for change in changes.split(','):
        field, _, value = change.partition('=')
        field, value = field.strip(), value.strip()
        if field not in _READERS:
            raise ValueError(f'unknown profile field {field!r}; known: {", ".join(_READERS)}')
        read, allowed = _READERS[field]
        try:
            fields[field] = read(value)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f'profile field {field} is {value!r}; it must be {allowed}') from None
    return replace(PROFILES[name], name=text, **fields)


def _read_span(text: str) -> tuple[int, int] | None:
    first, _, last = text.partition('-')
    return None if text == 'all' else (int(first), int(last))


def _read_size(text: str) -> tuple[int, int] | None:
    width, _, height = text.partition('x')
    return None if text == 'network' else (int(width), int(height))


def _read_number(text: str) -> float:
    above, slash, below = text.partition('/')
    return float(above) / float(below) if slash else float(text)


def _read_scale(text: str) -> float | None:
    return None if text == 'network' else _read_number(text)


_NUMBER = 'a number, or a fraction such as 1/255'
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    'rows': (_read_span, 'FROM-TO or all'),
    'columns': (_read_span, 'FROM-TO or all'),
    'colour': (str, 'a text'),
    'blur': (int, 'a whole number'),
    'size': (_read_size, 'WIDTHxHEIGHT or network'),
    'interpolation': (str, 'a text'),
    'scale': (_read_scale, f'{_NUMBER}, or network'),
    'offset': (_read_number, _NUMBER),
    'steering_scale_rad': (_read_number, _NUMBER),
    'camera': (str, 'a text'),
}
"""For each field, how its text is read, and which texts are allowed."""


def profile_from_json(fields: dict[str, Any]) -> str:
    """Return the text of a custom profile given as a JSON object, with pairs as lists."""
    signs = {'rows': '-', 'columns': '-', 'size': 'x'}
    texts = {
        key: signs.get(key, ',').join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in fields.items()
    }
    changes = ','.join(f'{key}={value}' for key, value in texts.items())
    return f'custom:{changes}' if changes else 'custom'


def _written(number: float) -> str:
    """Return a text from which `_read_number` makes the number, as 1/255 if that is shorter."""
    text = repr(number)
    fraction = f'1/{1.0 / number:g}' if number else text
    return fraction if len(fraction) < len(text) and _read_number(fraction) == number else text


def format_profile(profile: Profile) -> str:
    """Return the text from which `find_profile` makes an equal profile.

    It is the name of a known profile, or `custom` with every field, so that later changes of known
    profiles do not change its meaning.
    """
    if PROFILES.get(profile.name) == profile:
        return profile.name
    spans = {'rows': profile.rows, 'columns': profile.columns}
    fields: dict[str, Any] = {k: f'{v[0]}-{v[1]}' if v else 'all' for k, v in spans.items()}
    fields |= {'colour': profile.colour, 'blur': profile.blur}
    fields['size'] = f'{profile.size[0]}x{profile.size[1]}' if profile.size else 'network'
    fields['interpolation'] = profile.interpolation
    fields['scale'] = 'network' if profile.scale is None else _written(profile.scale)
    fields |= {'offset': profile.offset, 'steering_scale_rad': profile.steering_scale_rad}
    fields['camera'] = profile.camera
    return 'custom:' + ','.join(f'{key}={value}' for key, value in fields.items())
