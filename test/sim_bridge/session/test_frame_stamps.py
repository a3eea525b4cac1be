# SPDX-License-Identifier: Apache-2.0
"""Stamps of frames: with the time of receipt and in simulated time, also when clocks jump."""

import pytest

from sim_bridge.session.frame_stamps import FrameStamps


def test_stamps_are_unique_times_of_receipt():
    stamps = FrameStamps(in_simulated_time=False)
    received_ns = (100, 100, 90, 200)
    assert [stamps.add(1.0, one, simulated_ns=5) for one in received_ns] == [100, 101, 102, 200]
    assert stamps.newest_ns == 200


def test_stamps_keep_their_pace_when_the_clock_is_set_back():
    """The monitor, controllers and odometry integrate over the time between two stamps."""
    stamps = FrameStamps(in_simulated_time=False)
    hour_ns, frame_ns = 3600 * 10**9, 16_000_000
    start_ns = 10**18
    newest_ns = stamps.add(1.0, start_ns, None)
    for number in range(1, 4):
        received_ns = start_ns - hour_ns + number * frame_ns
        stamp_ns = stamps.add(1.0 + number * 0.016, received_ns, None)
        assert stamp_ns - newest_ns == pytest.approx(frame_ns, abs=1000)
        newest_ns = stamp_ns
    assert stamps.add(1.1, start_ns + hour_ns, None) == start_ns + hour_ns, 'set forward again'


def test_stamps_of_a_clock_that_stands_still_stand_still():
    """So does the ROS time that several cars share, while its source is paused."""
    stamps = FrameStamps(in_simulated_time=False)
    assert [stamps.add(now_s, 100, None) for now_s in (1.0, 1.1, 1.2)] == [100, 101, 102]


def test_stamps_are_simulated_time_and_go_on_with_the_next_simulator():
    stamps = FrameStamps(in_simulated_time=True)
    stamps.begin()
    assert [stamps.add(1.0, 10**18, time) for time in (50, 66, 66, 83)] == [50, 66, 67, 83]
    stamps.begin()
    assert [stamps.add(2.0, 10**18, time) for time in (16, 33)] == [84, 101]
    assert stamps.add(3.0, 10**18, None) == 10**18, 'without a time it is that of receipt'
