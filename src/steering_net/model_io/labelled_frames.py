# SPDX-License-Identifier: Apache-2.0
"""The package's labelled frames: rendered frames of several looks, with an expert's steering."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from steering_net.vision.camera_model import Rgb
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH
from steering_net.vision.jpeg import decode_jpeg


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """Frames of Training mode's camera, uint8 (160, 320, 3) RGB, and their labels.

    `steering_rad` (n,) is the expert's steering, rad, left positive. `looks` names for each frame
    the world that it shows: lake, flat or jungle.
    """

    frames: Sequence[Rgb]
    steering_rad: NDArray[np.float64]
    looks: NDArray[np.str_]

    def part(self, step: int) -> 'LabelledFrames':
        """Return every `step`-th frame; each look keeps the same share."""
        kept = slice(None, None, step)
        return LabelledFrames(self.frames[kept], self.steering_rad[kept], self.looks[kept])


def labelled_frames() -> LabelledFrames:
    """Return the package's 96 labelled frames, 32 of each look.

    `benchmarks/labelled_frames.py` renders them. They are one JPEG, row by row.
    """
    folder = resources.files('steering_net') / 'labelled_frames'
    sheet = decode_jpeg((folder / 'frames.jpg').read_bytes())
    rows = list(csv.DictReader((folder / 'labels.csv').read_text(encoding='utf-8').splitlines()))
    per_row = sheet.shape[1] // FRAME_WIDTH
    frames = []
    for number in range(len(rows)):
        top, left = number // per_row * FRAME_HEIGHT, number % per_row * FRAME_WIDTH
        frames.append(sheet[top : top + FRAME_HEIGHT, left : left + FRAME_WIDTH])
    steering_rad = np.array([float(row['steering_rad']) for row in rows])
    return LabelledFrames(frames, steering_rad, np.array([row['look'] for row in rows]))
