# SPDX-License-Identifier: Apache-2.0
"""Runs: where a recording begins again, and the time line on which its runs stand."""

from sim_bridge.recording.runs import Runs


def test_stamp_that_goes_back_begins_a_run_behind_the_one_before():
    runs = Runs()
    second = 10**9
    places = []
    for stamp_s in (3, 4, 4, 1, 2, 2, 0, 9):
        place_ns = runs.add(stamp_s * second)
        places.append((runs.number, place_ns // second))
    assert places == [(0, 3), (0, 4), (0, 4), (1, 9), (1, 10), (1, 10), (2, 15), (2, 24)]
