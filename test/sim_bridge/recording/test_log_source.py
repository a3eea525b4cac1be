# SPDX-License-Identifier: Apache-2.0
"""A driving log as the messages of a bag: its brake, its speeds, frames without a log."""

from itertools import pairwise

import pytest

from helpers.recordings import FRAMES, jpeg_of, write_folder
from sim_bridge.recording.bag import Record
from sim_bridge.recording.log_source import LogSource
from sim_bridge.topics import COMPRESSED_FRAME, SPEED, THROTTLE
from steering_net.data.driving_log import RECORDER_PERIOD_S, LogError, recorder_row


def records_of(folder):
    return [Record(*stored) for stored in LogSource(folder).messages()]


def numbers_of(records, topic):
    return [record.number() for record in records if record.topic == f'/{topic}']


def write_log(folder, values):
    """Write a log of throttle, negative for the brake, and speed, m/s."""
    write_folder(folder)
    names = sorted(path.name for path in (folder / 'IMG').iterdir())
    rows = [
        recorder_row(f'IMG/{name}', 0.1, *pair) for name, pair in zip(names, values, strict=False)
    ]
    (folder / 'driving_log.csv').write_text(''.join(rows), encoding='utf-8')


def test_brake_is_a_negative_throttle(tmp_path):
    write_log(tmp_path, [(0.5, 3.0), (-0.25, 2.0)])
    records = records_of(tmp_path)
    assert numbers_of(records, THROTTLE) == pytest.approx([0.5, -0.25], abs=1e-4)
    assert numbers_of(records, SPEED) == pytest.approx([3.0, 2.0], abs=1e-3)


def test_log_without_speeds_has_none(tmp_path):
    write_log(tmp_path, [(0.5, 0.0)] * 3)
    records = records_of(tmp_path)
    assert numbers_of(records, SPEED) == []
    assert numbers_of(records, THROTTLE) == [0.5] * 3


def test_frames_without_times_are_a_recorder_period_apart(tmp_path):
    for number in range(FRAMES):
        (tmp_path / f'{number}.jpg').write_bytes(jpeg_of(number))
    frames = records_of(tmp_path)
    assert {record.topic for record in frames} == {f'/{COMPRESSED_FRAME}'}
    steps_s = {(after.time_ns - before.time_ns) * 1e-9 for before, after in pairwise(frames)}
    assert steps_s == {RECORDER_PERIOD_S}
    assert [bytes(record.frame().data) for record in frames] == [jpeg_of(n) for n in range(FRAMES)]


def test_folder_without_a_log_and_frames_is_refused(tmp_path):
    with pytest.raises(LogError):
        LogSource(tmp_path)
