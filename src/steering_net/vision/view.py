# SPDX-License-Identifier: Apache-2.0
"""View: turns a frame of the simulator into the input of a network, for the network's camera.

A network is trained on frames of a camera with some pose. Frames of a camera with another pose are
turned to it by a homography. Turning, cropping and resizing are one look-up in a table that is
computed once. The table has only the pixels that the network needs, because each of them takes 4
to 5 ns per frame.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.vision.camera_model import (
    Matrix,
    Rgb,
    find_camera,
    image_from_image,
    pixels_from_image,
)
from steering_net.vision.camera_names import AS_TRAINED
from steering_net.vision.frame_size import FRAME_HEIGHT, as_frame
from steering_net.vision.preprocessing import Tensor, preprocess, recoloured, scaled
from steering_net.vision.profile import INTERPOLATIONS, Profile

Maps = tuple[NDArray[Any], NDArray[Any]]
"""Maps of `cv2.remap`."""

# Additional rows for blurring and interpolating.
_INTERPOLATED_ROWS = 2
# Crops with more than so many times the pixels of the network's input are resized after the
# look-up, because interpolation between such large pixels would change the output of the network.
_MOST_SHRUNK_FIRST = 2.0


class _Table(NamedTuple):
    """For each pixel of the result, its position in some rows of a frame: `maps`.

    The rows are resized to `size`, (width, height), before the look-up; None: they are not.
    """

    rows: slice
    size: tuple[int, int] | None
    maps: Maps
    interpolation: int

    def look_up(self, frame: Rgb, profile: Profile) -> Rgb:
        """Return the image that the table makes of a frame, in the profile's colours."""
        image = recoloured(frame[self.rows], profile)
        if self.size:
            image = cast(Rgb, cv2.resize(image, self.size, interpolation=cv2.INTER_AREA))
        border = cv2.BORDER_REPLICATE
        return cast(Rgb, cv2.remap(image, *self.maps, self.interpolation, borderMode=border))


class View:
    """Converts frames of a camera to the input of a network with a profile."""

    def __init__(
        self, profile: Profile, camera: str = AS_TRAINED, rows: tuple[int, int] | None = None
    ) -> None:
        """`camera` is the camera of the frames, as `find_camera` takes it, or AS_TRAINED.

        `rows` is the half-open range of input rows that the network uses, if it crops its input
        itself. Other rows are not computed. None: all. Raises ValueError for an unknown camera.
        """
        self.profile = profile
        self.camera = profile.camera if camera == AS_TRAINED else camera
        # After resizing, rows of the input are not rows of the frame.
        self._rows = slice(*rows) if rows and profile.size is None else slice(None)
        self._seen = _only(profile, self._rows)
        self._table: _Table | None = None
        if find_camera(self.camera) != find_camera(profile.camera):
            self._table = _table(self._seen, self.camera)
            # The steps that remain after the look-up.
            size = profile.size if profile.interpolation == 'area' else None
            self._rest = replace(profile, size=size)

    @property
    def turns(self) -> bool:
        """Whether frames are turned."""
        return self._table is not None

    def __str__(self) -> str:
        """Return, for people, the camera of the frames, and the one that they are turned to."""
        turned = f', turned to {self.profile.camera}' if self.turns else ''
        return self.camera + turned

    def __call__(self, rgb: Rgb, out: Tensor | None = None) -> Tensor:
        """Return float32 (h, w, channels), in `out` if given, of a frame uint8 (H, W, 3) RGB.

        Rows that the network does not use stay unchanged in `out`, and are 0 without `out`. Raises
        ImageError for a frame that is not 2:1 in shape, or that does not fit the profile.
        """
        frame = as_frame(rgb)
        if out is None:
            out = np.zeros(self.profile.output_shape(), np.float32)
        if self._table is None:
            preprocess(frame, self._seen, out[self._rows])
        else:
            picture = self._table.look_up(frame, self.profile)
            scaled(picture, self._rest, out[self._rows])
        return out


def _only(profile: Profile, rows: slice) -> Profile:
    """Return a copy of a profile without `size` that computes only these input rows."""
    if rows == slice(None):
        return profile
    top, _ = profile.rows or (0, FRAME_HEIGHT)
    return replace(profile, rows=(top + rows.start, top + rows.stop))


def _table(profile: Profile, camera: str) -> _Table:
    # OpenCV looks up single points, so resizing by areas is a step before or after the look-up.
    by_area = profile.interpolation == 'area'
    scale_x, scale_y, _ = np.diag(profile.image_from_picture())
    first = (
        by_area
        and profile.columns is None
        and min(scale_x, scale_y) >= 1.0
        and scale_x * scale_y <= _MOST_SHRUNK_FIRST
    )
    picture = replace(profile, size=None) if by_area and not first else profile
    _, ground = image_from_image(find_camera(profile.camera), find_camera(camera))
    to_frame = pixels_from_image() @ ground @ picture.image_from_picture()
    height, width, _ = picture.output_shape()
    _, y = mapped(to_frame, width, height)
    margin = profile.blur // 2 + _INTERPOLATED_ROWS * math.ceil(scale_y if first else 1.0)
    top = int(np.clip(np.floor(y.min()) - margin, 0, FRAME_HEIGHT - 1))
    bottom = int(np.clip(np.ceil(y.max()) + margin, top + 1, FRAME_HEIGHT))
    size = (width, round((bottom - top) / scale_y)) if first else None
    part = replace(profile, rows=(top, bottom), columns=None, size=size)
    to_part = np.linalg.inv(part.image_from_picture()) @ np.linalg.inv(pixels_from_image())
    maps = mapped(to_part @ to_frame, width, height)
    interpolation = cv2.INTER_LINEAR if by_area else INTERPOLATIONS[profile.interpolation]
    nearest = interpolation == cv2.INTER_NEAREST
    fixed = cv2.convertMaps(*maps, cv2.CV_16SC2, nninterpolation=nearest)
    return _Table(slice(top, bottom), size, fixed, interpolation)


def mapped(
    matrix: Matrix, width: int, height: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return pixel indices mapped by a homography: x, y, float32 (height, width)."""
    x, y = through(matrix, *np.meshgrid(np.arange(width), np.arange(height)))
    return x.astype(np.float32), y.astype(np.float32)


def through(
    matrix: Matrix, x: NDArray[Any], y: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coordinates, (h, w) each, mapped by a homography."""
    u, v, scale = np.tensordot(matrix, np.stack((x, y, np.ones_like(x))), axes=1)
    return u / scale, v / scale
