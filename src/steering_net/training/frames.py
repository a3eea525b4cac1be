# SPDX-License-Identifier: Apache-2.0
"""Frames to train on in memory: crops with their labels, and which of them validate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.vision.camera_model import Rgb
from steering_net.vision.crop import CROP_SHAPE, crop_of
from steering_net.vision.profile import Profile

# Frames are held out in long pieces, because neighbouring frames are almost equal.
_PIECE_FRAMES = 100
_VALIDATION_PIECE = 10


@dataclass(frozen=True)
class Frames:
    """Crops uint8 (n, 95, 320, 3) RGB and their steering, rad, left positive, float32 (n,).

    `held_out` (n,) bool marks the frames that validate and are never trained on.
    """

    crops: NDArray[np.uint8]
    steering_rad: NDArray[np.float32]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.crops)

    def part(self, held_out: bool) -> 'Frames':
        """Return only the frames that are held out, or only the others."""
        chosen = self.held_out == held_out
        return Frames(self.crops[chosen], self.steering_rad[chosen], self.held_out[chosen])

    @staticmethod
    def joined(parts: 'Sequence[Frames]') -> 'Frames':
        """Return the frames of all parts in a row."""
        return Frames(
            np.concatenate([part.crops for part in parts]),
            np.concatenate([part.steering_rad for part in parts]),
            np.concatenate([part.held_out for part in parts]),
        )


def is_held_out(index: int) -> bool:
    """Whether the row with this index validates: every tenth piece of 100 rows does."""
    return index // _PIECE_FRAMES % _VALIDATION_PIECE == _VALIDATION_PIECE - 1


def rendered_frames(
    samples: Iterable[tuple[Rgb, float]],
    profile: Profile,
    total: int | None = None,
) -> Frames:
    """Return the crops of pairs (frame uint8 (160, 320, 3) RGB, steering in rad).

    The last tenth validates. The crops are blurred like those of `recorded_frames`. The frames
    should have been through the same JPEG compression as the simulator's.
    """
    bar = tqdm(samples, 'rendering', total=total, unit='frame', disable=None)
    crops = np.empty((total or 0, *CROP_SHAPE), np.uint8)
    labels: list[float] = []
    for index, (rgb, rad) in enumerate(bar):
        if index == len(crops):
            crops.resize((2 * index + 1, *CROP_SHAPE), refcheck=False)
        crops[index] = crop_of(rgb)
        blurred(crops[index], profile)
        labels.append(rad)
    count = len(labels)
    held_out = np.arange(count) >= count - count // _VALIDATION_PIECE
    return Frames(crops[:count], np.array(labels, np.float32), held_out)


def blurred(crop: Rgb, profile: Profile) -> Rgb:
    """Blur the profile's rows of a crop, in place, as the profile prescribes; return the crop."""
    if profile.blur:
        rows = slice(*(profile.rows or (None,)))
        crop[rows] = cv2.GaussianBlur(crop[rows], (profile.blur, profile.blur), 0)
    return crop
