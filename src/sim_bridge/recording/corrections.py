# SPDX-License-Identifier: Apache-2.0
"""Corrections: the moments of a drive in which a person took the wheel from the network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MISTAKE_S = 1.0
"""Time before a person takes the wheel in which the commands of the network count as wrong."""


def times_to_train(
    times_s: npt.NDArray[np.float64], is_by_person: npt.NDArray[np.bool_], weight: int
) -> npt.NDArray[np.int64]:
    """Return how often to train on each frame, (n,), of a drive that a person has corrected.

    It is `weight` for a frame that the person drove, 0 for a frame of the network in the last
    MISTAKE_S before that, and 1 for every other frame. times_s: (n,), rising.
    """
    times = np.where(is_by_person, weight, 1)
    takes = is_by_person & ~np.concatenate([[True], is_by_person[:-1]])
    for took_s in times_s[takes]:
        is_mistake = (times_s >= took_s - MISTAKE_S) & (times_s < took_s)
        times[is_mistake & ~is_by_person] = 0
    return times
