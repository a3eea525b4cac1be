# SPDX-License-Identifier: Apache-2.0
"""Frames of a bag: how often the bag is read, their rate, and what is refused."""

import time

import pytest

from helpers.recordings import FRAMES, write_bag
from sim_bridge.recording.bag import Bag
from sim_bridge.recording.export import export_log, export_video
from sim_bridge.recording.frames import Frames, _Series
from sim_bridge.recording.lerobot import export_lerobot
from sim_bridge.recording.storage import Storage


class CountedBag(Bag):
    """A bag that counts how often it is read."""

    passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


@pytest.fixture
def bag(tmp_path):
    return CountedBag(Storage(write_bag(tmp_path / 'bag')))


@pytest.mark.parametrize('export', [export_log, export_video, export_lerobot])
def test_bag_is_read_once_for_its_index_and_once_for_its_frames(tmp_path, bag, export):
    if export is export_lerobot:
        pytest.importorskip('pyarrow', reason="needs pyarrow: pip install '.[lerobot]'")
    export(bag, tmp_path / 'exported.mp4')
    assert bag.passes == 2


def test_each_iteration_yields_the_same_frames(bag):
    frames = Frames(bag)
    assert list(frames) == list(frames)
    assert len(list(frames)) == FRAMES


@pytest.mark.parametrize(
    ('numbers', 'rate_hz'), [(range(FRAMES), 20.0), ([0, 1, 2, 60, 61], 20.0), ([0], 20.0)]
)
def test_rate_is_that_between_pauses_and_20_for_one_frame(tmp_path, numbers, rate_hz):
    frames = Frames(Bag(Storage(write_bag(tmp_path / 'bag', numbers=numbers))))
    assert frames.rate_hz == pytest.approx(rate_hz)


def test_value_at_a_time_is_found_without_a_look_at_all_values():
    series, count = _Series(), 20_000
    for number in reversed(range(count)):
        series.add(10 * number, float(number))
    series.sort()
    began_s = time.process_time()
    assert [series.nearest(10 * number + 4) for number in range(count)] == list(range(count))
    assert time.process_time() - began_s < 2.0
    assert (series.nearest(-9), series.nearest(10**9)) == (0.0, count - 1.0)
