# SPDX-License-Identifier: Apache-2.0
"""Frames of a bag: how often the bag is read, their rate, and what is refused."""

import math
import time

import numpy as np
import pytest

from helpers.recordings import (
    FRAMES,
    PERIOD_NS,
    START_NS,
    jpeg_of,
    simulated_drives,
    write_bag,
    write_messages,
)
from sim_bridge.recording.bag import Bag, command_cdr, frame_cdr, number_cdr
from sim_bridge.recording.export import export_log, export_video
from sim_bridge.recording.frames import Frames, _Series
from sim_bridge.recording.lerobot import export_lerobot
from sim_bridge.recording.sources import open_bag, read_bag
from sim_bridge.recording.storage import BagError, Storage
from sim_bridge.topics import COMPRESSED_FRAME, PERSON_COMMAND, SPEED
from steering_net.vehicle import RECORDER_STEERING_RAD


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
    ('numbers', 'rate_hz'),
    [(range(FRAMES), 20.0), (range(0, 9, 2), 10.0), ([0, 2, 4, 60, 62], 10.0), ([0], 20.0)],
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


def test_drives_in_simulated_time_keep_their_commands_and_follow_each_other(tmp_path):
    path = write_messages(tmp_path / 'bag', [*simulated_drives(3)])
    frames = Frames(Bag(Storage(path)))
    found = list(frames)
    wanted = [0.1] * 20 + [0.2] * 20 + [0.3] * 20
    assert [frame.commanded_rad for frame in found] == pytest.approx(wanted)
    assert [frame.steering_rad for frame in found] == pytest.approx(wanted)
    assert frames.rate_hz == pytest.approx(20.0)
    steps_ns = np.diff([frame.stamp_ns for frame in found])
    assert steps_ns.min() == PERIOD_NS
    assert np.flatnonzero(steps_ns > 10**9).tolist() == [19, 39]
    recording = read_bag(path)
    assert recording.steering_rad.tolist() == pytest.approx(wanted)
    assert len(set(recording.frame_names)) == 60


def test_runs_of_a_log_whose_clock_restarts_keep_their_frames_and_follow_each_other(tmp_path):
    lines = ['image,time_ms,steering']
    for run in range(3):
        for number in range(20):
            name = f'{run}_{number}.jpg'
            (tmp_path / name).write_bytes(jpeg_of(20 * run + number))
            lines.append(f'{name},{50 * number},{run / 2}')
    (tmp_path / 'driving_log.csv').write_text('\n'.join(lines), encoding='utf-8')
    found = list(Frames(open_bag(tmp_path)))
    assert [frame.jpeg for frame in found] == [jpeg_of(number) for number in range(60)]
    rad = [run / 2 * RECORDER_STEERING_RAD for run in range(3)]
    assert [frame.commanded_rad for frame in found] == pytest.approx(np.repeat(rad, 20))
    steps_ns = np.diff([frame.stamp_ns for frame in found])
    assert np.flatnonzero(steps_ns != PERIOD_NS).tolist() == [19, 39]
    assert steps_ns[[19, 39]].tolist() == [5 * 10**9] * 2


def with_values(path, speeds, steering):
    """A bag of frames with these speeds, and commands of a person."""
    sent = []
    for number, (speed, angle) in enumerate(zip(speeds, steering, strict=True)):
        stamp = START_NS + number * PERIOD_NS
        sent.append((COMPRESSED_FRAME, stamp, frame_cdr(stamp, jpeg_of(number))))
        sent.append((SPEED, stamp, number_cdr(speed)))
        sent.append((PERSON_COMMAND, stamp + 1000, command_cdr(stamp, angle)))
    return write_messages(path, sent)


def test_values_that_are_no_numbers_are_left_out_with_one_warning(tmp_path, logged):
    angles, speeds = [0.02] * 40, [6.0] * 40
    angles[10] = angles[11] = math.nan
    speeds[20] = math.inf
    path = with_values(tmp_path / 'bag', speeds, angles)
    found = list(Frames(Bag(Storage(path))))
    assert [number for number, one in enumerate(found) if one.commanded_rad is None] == [10, 11]
    assert {frame.speed_mps for frame in found} == {6.0}
    (told,) = logged.messages
    assert told == (
        f'{path}: left out: {PERSON_COMMAND} has the value nan; it must be finite; '
        '3 messages in all'
    )
    recording = read_bag(path)
    assert recording.target_rad.tolist() == pytest.approx([0.02] * 38)


def test_speed_that_no_car_reaches_is_left_out(tmp_path, logged):
    """A drive over it would compute about 1e29 steps."""
    path = with_values(tmp_path / 'bag', [6.0, 1e30, 6.0], [0.02] * 3)
    assert {frame.speed_mps for frame in Frames(Bag(Storage(path)))} == {6.0}
    (told,) = logged.messages
    assert told == f'{path}: left out: {SPEED} has the value 1e+30; it must be at most 89.4 m/s'


def test_latency_is_not_measured_between_two_clocks(tmp_path):
    simulated = write_messages(tmp_path / 'fast', [*simulated_drives(1)])
    assert {frame.latency_ms for frame in Frames(Bag(Storage(simulated)))} == {None}
    real = write_bag(tmp_path / 'bag')
    assert all(frame.latency_ms > 0.0 for frame in Frames(Bag(Storage(real))))


def test_values_of_a_bag_without_an_index_are_found_in_whatever_order_they_were_written(tmp_path):
    """A writer of another program may have buffered them, and nothing sorts what has no index."""
    times_ns = [START_NS + number * PERIOD_NS for number in range(FRAMES)]
    sent = [(SPEED, at, number_cdr(float(number))) for number, at in enumerate(times_ns)]
    sent.reverse()
    sent += [(COMPRESSED_FRAME, at, frame_cdr(at, jpeg_of(0))) for at in times_ns]
    path = write_messages(tmp_path / 'bag', sent)
    file = path / 'bag_0.mcap'
    file.write_bytes(file.read_bytes()[:-20])
    assert [frame.speed_mps for frame in Frames(Bag(Storage(path)))] == list(range(FRAMES))


@pytest.mark.parametrize('broken', [1, FRAMES])
def test_frames_that_cannot_be_decoded_are_one_warning_or_an_error(tmp_path, logged, broken):
    sent = []
    for number in range(FRAMES):
        stamp = START_NS + number * PERIOD_NS
        jpeg = b'no jpeg' if number < broken else jpeg_of(number)
        sent.append((COMPRESSED_FRAME, stamp, frame_cdr(stamp, jpeg)))
    path = write_messages(tmp_path / 'bag', sent)
    decoded = Frames(Bag(Storage(path))).decoded()
    if broken == FRAMES:
        with pytest.raises(BagError, match=f'no frame of {path} can be decoded: not a JPEG'):
            list(decoded)
        return
    assert len(list(decoded)) == FRAMES - broken
    assert logged.messages == [f'{path}: {START_NS} left out: not a JPEG']
