# SPDX-License-Identifier: Apache-2.0
"""The figures of `evaluate monitor`."""

from dataclasses import replace

import numpy as np
import pytest

from sim_bridge.evaluation.monitor_drives import Watched
from sim_bridge.evaluation.monitor_score import judge


def watched(unsure_s=(), departures_s=(), seconds=20.0, put_back_s=None, is_held=False):
    """A drive at 20 frames/s that is unsure in spans of time."""
    times_s = np.arange(0.05, seconds, 0.05)
    unsure = np.zeros(len(times_s), bool)
    for first_s, last_s in unsure_s:
        unsure |= (times_s >= first_s) & (times_s <= last_s)
    judged = times_s >= 1.0
    if put_back_s is not None:
        judged &= (times_s < put_back_s) | (times_s > put_back_s + 1.0)
    values = np.where(unsure, 0.8, 0.2)
    return Watched('a drive', times_s, values, judged, np.array(departures_s), is_held)


def test_a_failure_is_foreseen_in_the_second_that_ends_before_it():
    drives = [watched([(8.2, 8.5)], [10.0]), watched([(7.2, 7.5)], [10.0]), watched([], [10.0])]
    report = judge([watched()], drives, [replace(drive, departures_s=[]) for drive in drives])
    assert report['failures_1s'] == report['failures_3s'] == 3
    assert report['recall_1s_percent'] == pytest.approx(100 / 3)
    assert report['recall_2s_percent'] == pytest.approx(100 / 3)
    assert report['recall_3s_percent'] == 0.0
    assert report['precision_1s_percent'] == 100.0
    assert (report['departures_without_hold'], report['departures_with_hold']) == (3, 0)
    assert (report['failed_drives'], report['failed_drives_with_hold']) == (3, 0)


def test_failures_too_soon_after_the_start_or_another_failure_do_not_count():
    drive = watched([], [2.5, 10.0, 12.0], put_back_s=10.5)
    report = judge([watched()], [drive], [drive])
    assert [report[f'failures_{s}s'] for s in (1, 2, 3)] == [1, 1, 1]
    assert report['departures_without_hold'] == 3


def test_false_positives_are_seconds_of_known_worlds():
    known = [watched([(5.1, 5.2), (9.2, 10.7)]), watched()]
    failed = watched([(8.0, 9.0)], [10.0])
    report = judge(known, [failed], [failed])
    assert report['false_positive_percent'] == pytest.approx(100 * 3 / 36, rel=0.06)
    assert report['precision_1s_percent'] == pytest.approx(25.0)
    assert report['known_stops'] == 1
    assert 0.5 < report['frame_auc'] < 1.0


def test_a_drive_that_the_monitor_need_not_have_stopped_is_counted():
    calm = watched()
    report = judge([calm], [calm, calm], [calm, replace(calm, is_held=True)])
    assert (report['sound_unknown_drives'], report['sound_drives_held']) == (2, 1)
    assert np.isnan(report['recall_1s_percent'])
