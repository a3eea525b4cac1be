# SPDX-License-Identifier: Apache-2.0
"""Figures that compare two series of steering angles. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from steering_net.statistics import correlation


@dataclass(frozen=True)
class Comparison:
    """Difference of two series of angles, rad; correlation is None where a series is constant."""

    frames: int
    mae_rad: float
    max_rad: float
    correlation: float | None


def compare(recorded_rad: Sequence[float], new_rad: Sequence[float]) -> Comparison:
    """Compare two series of the same length; ValueError if they are empty."""
    if not recorded_rad:
        raise ValueError('there is nothing to compare')
    errors = [abs(a - b) for a, b in zip(recorded_rad, new_rad, strict=True)]
    return Comparison(
        frames=len(errors),
        mae_rad=math.fsum(errors) / len(errors),
        max_rad=max(errors),
        correlation=correlation(recorded_rad, new_rad),
    )
