# SPDX-License-Identifier: Apache-2.0
"""Colours: conversions of an RGB image to the colours that networks take, with 1 or 3 channels."""

from typing import NamedTuple, cast

import cv2

from steering_net.vision.camera_model import Rgb


class _Conversion(NamedTuple):
    """A conversion of OpenCV from RGB, None for none, and the only channel that is kept."""

    code: int | None = None
    channel: int | None = None


_HSV = cv2.COLOR_RGB2HSV
_CONVERSIONS = {
    'rgb': _Conversion(),
    'bgr': _Conversion(cv2.COLOR_RGB2BGR),
    'yuv': _Conversion(cv2.COLOR_RGB2YUV),
    # RGB2YUV of OpenCV before 3.2 expected the channels in the opposite order.
    'yuv_legacy': _Conversion(cv2.COLOR_BGR2YUV),
    'hsv': _Conversion(_HSV),
    'hls': _Conversion(cv2.COLOR_RGB2HLS),
    'grey': _Conversion(cv2.COLOR_RGB2GRAY),
    'red': _Conversion(None, 0),
    'green': _Conversion(None, 1),
    'blue': _Conversion(None, 2),
    'hue': _Conversion(_HSV, 0),
    'saturation': _Conversion(_HSV, 1),
    'value': _Conversion(_HSV, 2),
}
COLOURS = tuple(_CONVERSIONS)
"""Names of all colours. The hue of `hsv`, `hls` and `hue` is 0..179, other channels are 0..255."""

_OF_ONE_CHANNEL = tuple(
    name for name, found in _CONVERSIONS.items() if found.channel is not None or name == 'grey'
)


def channels(colour: str) -> int:
    """Return the number of channels of an image in this colour: 1 or 3."""
    return 1 if colour in _OF_ONE_CHANNEL else 3


def colours_of(count: int) -> tuple[str, ...]:
    """Return the names of the colours with so many channels."""
    return tuple(name for name in COLOURS if channels(name) == count)


def converted(image: Rgb, colour: str) -> Rgb:
    """Return an RGB image in this colour: (h, w, 3), or (h, w) for one channel; or itself."""
    conversion = _CONVERSIONS[colour]
    if conversion.code is not None:
        image = cast(Rgb, cv2.cvtColor(image, conversion.code))
    if conversion.channel is not None:
        image = cast(Rgb, cv2.extractChannel(image, conversion.channel))
    return image
