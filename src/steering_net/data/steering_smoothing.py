# SPDX-License-Identifier: Apache-2.0
"""Smoothing of recorded steering: means over time."""

from collections.abc import Sequence

import numpy as np

from steering_net.data.driving_log import RECORDER_PERIOD_S, Row, Series, rows_by_folder

SMOOTHING_WINDOW_S = 1.0
"""Keyboard steering is a series of pulses; its mean over this time is the intended steering."""


def smooth(
    times_s: Series, values: Series, window_s: float = SMOOTHING_WINDOW_S, delay_s: float = 0.0
) -> Series:
    """Return for each time the mean of the values within `window_s`, float64 (n,), in any order.

    The window is centred `delay_s` before the time. The mean is NaN where no value is within it.
    """
    order = np.argsort(times_s, kind='stable')
    times, sums = times_s[order], np.concatenate(([0.0], np.cumsum(values[order])))
    # The tolerance includes both ends of a window although times are rounded to milliseconds.
    half = window_s / 2 + 1e-6
    first = np.searchsorted(times, times - delay_s - half, side='left')
    last = np.searchsorted(times, times - delay_s + half, side='right')
    counts = last - first
    means = np.empty(len(values))
    means[order] = np.where(counts > 0, (sums[last] - sums[first]) / np.maximum(counts, 1), np.nan)
    return means


def smoothed_steering_rad(rows: Sequence[Row], delay_s: float = 0.0) -> Series:
    """Return the one-second mean of the rows' steering, rad, left positive, float64 (n,).

    The second is centred `delay_s` (0 to 1) before each row. Where no row is within it, the mean
    is NaN. Rows of different sources or folders are smoothed apart; if none of them has a time,
    they count as 0.1 s apart. Rows without a time among rows with one keep their own steering.
    """
    steering = np.array([row.steering_rad for row in rows], np.float64)
    for group in rows_by_folder(rows):
        timed = [index for index in group if rows[index].timestamp_s is not None]
        times = np.array([rows[index].timestamp_s for index in timed], np.float64)
        if not timed:
            timed = group
            times = np.arange(len(group), dtype=np.float64) * RECORDER_PERIOD_S
        steering[timed] = smooth(times, steering[timed], delay_s=delay_s)
    return steering
