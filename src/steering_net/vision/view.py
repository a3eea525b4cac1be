"""From a frame of the simulator to what a network sees: sized, turned to its camera, preprocessed.

A network knows the pose of the camera that took the frames it was trained on. Where the frames
that come are of another pose, they are turned to that one by a homography. Turning, cropping and
resizing are one look-up by a table that is made once, so that turning costs next to nothing.
"""

from dataclasses import replace
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from steering_net.vision.camera_model import Rgb, find_camera, image_from_image, pixels_from_image
from steering_net.vision.frame_size import FRAME_HEIGHT, as_frame
from steering_net.vision.preprocessing import (
    INTERPOLATIONS,
    Profile,
    Tensor,
    preprocess,
    recoloured,
)

AS_TRAINED = 'as-trained'
"""Says of frames that they are of the camera that a network was trained with: none is turned."""

# Rows beside those that are looked up which blurring and interpolating need.
_INTERPOLATED_ROWS = 2


class _Table(NamedTuple):
    """Where each pixel of the picture is found in rows `top` to `bottom` of a frame."""

    top: int
    bottom: int
    maps: tuple[NDArray[Any], NDArray[Any]]
    interpolation: int


class View:
    """What a network with this profile sees of the frames of a camera."""

    def __init__(self, profile: Profile, camera: str = AS_TRAINED) -> None:
        """`camera` took the frames, in the words of `find_camera`, or is AS_TRAINED.

        Raises ValueError for another word.
        """
        self.profile = profile
        self.camera = profile.camera if camera == AS_TRAINED else camera
        self._table: _Table | None = None
        if find_camera(self.camera) != find_camera(profile.camera):
            self._table = _table(profile, self.camera)
            # What is left to do with a picture that was looked up.
            size = profile.size if profile.interpolation == 'area' else None
            self._rest = replace(profile, rows=None, columns=None, colour='rgb', blur=0, size=size)

    @property
    def turns(self) -> bool:
        """Whether frames are turned."""
        return self._table is not None

    def __str__(self) -> str:
        """For people: which camera's frames come, and to which they are turned."""
        turned = f', turned to {self.profile.camera}' if self.turns else ''
        return self.camera + turned

    def __call__(self, rgb: Rgb, out: Tensor | None = None) -> Tensor:
        """Return float32 (h, w, 3), in `out` if given, of a frame uint8 (H, W, 3) RGB.

        Raises ImageError for a frame that is neither 320 x 160 nor of that shape, or that does
        not fit the profile.
        """
        frame = as_frame(rgb)
        if self._table is None:
            return preprocess(frame, self.profile, out)
        top, bottom, maps, interpolation = self._table
        image = recoloured(frame[top:bottom], self.profile)
        picture = cv2.remap(image, *maps, interpolation, borderMode=cv2.BORDER_REPLICATE)
        return preprocess(cast(Rgb, picture), self._rest, out)


def _table(profile: Profile, camera: str) -> _Table:
    # OpenCV looks up single points. What shrinks by areas is looked up in full and shrunk after.
    by_area = profile.interpolation == 'area'
    picture = replace(profile, size=None) if by_area else profile
    height, width, _ = picture.output_shape()
    _, ground = image_from_image(find_camera(profile.camera), find_camera(camera))
    matrix = pixels_from_image() @ ground @ picture.image_from_picture()
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x, y, scale = np.tensordot(matrix, np.stack((columns, rows, np.ones_like(rows))), axes=1)
    x, y = (x / scale).astype(np.float32), (y / scale).astype(np.float32)
    margin = profile.blur // 2 + _INTERPOLATED_ROWS
    top = int(np.clip(np.floor(y.min()) - margin, 0, FRAME_HEIGHT - 1))
    bottom = int(np.clip(np.ceil(y.max()) + margin, top + 1, FRAME_HEIGHT))
    interpolation = cv2.INTER_LINEAR if by_area else INTERPOLATIONS[profile.interpolation]
    nearest = interpolation == cv2.INTER_NEAREST
    maps = cv2.convertMaps(x, y - top, cv2.CV_16SC2, nninterpolation=nearest)
    return _Table(top, bottom, maps, interpolation)
