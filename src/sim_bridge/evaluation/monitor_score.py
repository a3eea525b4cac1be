# SPDX-License-Identifier: Apache-2.0
"""Score of the monitor of the steering node: which failures it foresaw, and its false positives.

A failure is a lane departure. It counts as foreseen N s ahead if the network was unsure at some
time of the second that ends N s before it. In known worlds each second with an unsure frame is a
false positive.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim_bridge.evaluation.monitor_drives import FRAMES_PER_S, STARTING_S, Watched
from sim_bridge.evaluation.report import AHEAD_S
from steering_net.inference.caution import UNSURE, Action, Caution

_BEFORE_FAILURE_S = 3.0


def judge(
    known: Sequence[Watched], unknown: Sequence[Watched], held: Sequence[Watched]
) -> dict[str, Any]:
    """Return the report: `unknown` are drives that the monitor only watches.

    `held` are drives under the same conditions with the monitor in mode `hold`.
    """
    windows = [is_unsure for drive in known for is_unsure in _seconds(drive)]
    false_positives = sum(windows)
    report: dict[str, Any] = {
        'known_drives': len(known),
        'known_departures': sum(len(drive.departures_s) for drive in known),
        'known_stops': sum(_would_stop(drive) for drive in known),
        'unknown_drives': len(unknown),
        'false_positive_percent': _percent(false_positives, len(windows)),
    }
    for ahead_s in AHEAD_S:
        foreseen = [seen for drive in unknown for seen in _foreseen(drive, ahead_s)]
        report[f'failures_{ahead_s}s'] = len(foreseen)
        report[f'recall_{ahead_s}s_percent'] = _percent(sum(foreseen), len(foreseen))
        alarms = sum(foreseen) + false_positives
        report[f'precision_{ahead_s}s_percent'] = _percent(sum(foreseen), alarms)
    report['frame_auc'] = _auc(known, unknown)
    without, with_hold = (sum(len(d.departures_s) for d in drives) for drives in (unknown, held))
    report['departures_without_hold'] = without
    report['departures_with_hold'] = with_hold
    # A car that is not held is put back and may fail again and again, so drives count too.
    for name, drives in (('failed_drives', unknown), ('failed_drives_with_hold', held)):
        report[name] = sum(len(drive.departures_s) > 0 for drive in drives)
    good = [
        after for before, after in zip(unknown, held, strict=True) if not len(before.departures_s)
    ]
    report['sound_unknown_drives'] = len(good)
    report['sound_drives_held'] = sum(drive.is_held for drive in good)
    return report


def lines(unknown: Sequence[Watched], held: Sequence[Watched]) -> list[str]:
    """Return a line for each unknown drive: departures, unsure frames, and when it was held."""
    return [
        f'{watched.conditions:36} {len(watched.departures_s):3} departures, '
        f'{np.mean(watched.uncertainty >= UNSURE):4.0%} unsure, '
        + (f'held after {with_hold.times_s[-1]:.1f} s' if with_hold.is_held else 'not held')
        + f', {len(with_hold.departures_s)} departures'
        for watched, with_hold in zip(unknown, held, strict=True)
    ]


def _seconds(drive: Watched) -> list[bool]:
    """Return for each whole second of a drive whether the network was unsure in it."""
    per_s = round(FRAMES_PER_S)
    unsure = (drive.uncertainty >= UNSURE) & drive.is_judged
    return [
        bool(unsure[k : k + per_s].any()) for k in range(per_s, len(unsure) - per_s + 1, per_s)
    ]


def _foreseen(drive: Watched, ahead_s: float) -> list[bool]:
    """Return for each departure whether it was foreseen; those too early in a drive are left out.

    A departure also counts from the one before it.
    """
    seen = []
    starts = itertools.chain([0.0], drive.departures_s[:-1])
    for start_s, failure_s in zip(starts, drive.departures_s, strict=False):
        first_s, last_s = failure_s - ahead_s - 1.0, failure_s - ahead_s
        inside = (drive.times_s > first_s) & (drive.times_s <= last_s)
        if first_s < start_s + STARTING_S or not drive.is_judged[inside].all():
            continue
        seen.append(bool((drive.uncertainty[inside] >= UNSURE).any()))
    return seen


def _would_stop(drive: Watched) -> bool:
    """Whether the monitor had stopped the car in mode `hold`."""
    caution = Caution('hold')
    frames = zip(drive.uncertainty, drive.times_s, strict=True)
    return any(caution.add(float(u), float(t)) is Action.HOLD for u, t in frames)


def _auc(known: Sequence[Watched], unknown: Sequence[Watched]) -> float:
    """Return how often a frame before a departure is less sure than one of a known world."""
    before = [
        drive.uncertainty[
            drive.is_judged & (drive.times_s > t - _BEFORE_FAILURE_S) & (drive.times_s <= t)
        ]
        for drive in unknown
        for t in drive.departures_s
    ]
    if not before:
        return float('nan')
    positive = np.concatenate(before)
    negative = np.sort(np.concatenate([drive.uncertainty[drive.is_judged] for drive in known]))
    below = np.searchsorted(negative, positive, 'left') + np.searchsorted(
        negative, positive, 'right'
    )
    return float(below.mean() / 2 / len(negative))


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else float('nan')
