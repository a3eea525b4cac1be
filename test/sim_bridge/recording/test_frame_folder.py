# SPDX-License-Identifier: Apache-2.0
"""A drive as a folder of frames, as drive.py writes it."""

import math
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.recordings import (
    FRAMES,
    PERIOD_NS,
    SPEED_MPS,
    START_NS,
    jpeg_of,
    messages,
    simulated_drives,
    steering_rad,
)
from sim_bridge.recording.bag import Offer, command_cdr
from sim_bridge.recording.frame_folder import FRAME_TOPICS, FrameFolder, ImageNames
from sim_bridge.recording.message_types import TYPES
from sim_bridge.recording.sources import open_recording
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import PERSON_COMMAND, STEERING_COMMAND, TOPICS
from steering_net.data.driving_log import read_log


def test_frames_are_named_by_time_and_the_log_has_their_commands(tmp_path):
    folder = tmp_path / 'new' / 'run1'
    writer = FrameFolder(folder)
    for topic, _ in messages(0):
        writer.add_topic(f'/{topic}', TOPICS[topic].type, Offer())
    writer.write(f'/{STEERING_COMMAND}', 0, command_cdr(1, 0.2))  # For a frame that did not come.
    for number in range(FRAMES):
        for topic, cdr in messages(number):
            if (number, topic) != (FRAMES - 1, STEERING_COMMAND):
                writer.write(f'/{topic}', START_NS + number * PERIOD_NS, cdr)
    writer.close()
    assert writer.messages == FRAMES
    images = sorted(folder.glob('*.jpg'))
    assert [image.read_bytes() for image in images] == [jpeg_of(n) for n in range(FRAMES)]
    assert images[1].name == '2026_11_18_11_06_40_050.jpg'
    recording = open_recording(folder)
    assert recording.camera == 'autonomous'
    assert recording.steering_rad.tolist() == pytest.approx(
        [steering_rad(number) for number in range(FRAMES - 1)], abs=1e-6
    )
    assert recording.frame_names[1] == images[1].name
    row = read_log(folder / 'driving_log.csv').rows[0]
    assert (row.speed_mps, row.throttle) == pytest.approx((SPEED_MPS, 0.5), abs=1e-4)


def test_topics_of_a_second_car_are_refused(tmp_path):
    writer = FrameFolder(tmp_path)
    for topic in FRAME_TOPICS:
        writer.add_topic(f'/car_1/{topic}', TOPICS[topic].type, Offer())
    for topic in FRAME_TOPICS:
        with pytest.raises(BagError, match=f'^/car_2/{topic} is not recorded: a folder holds'):
            writer.add_topic(f'/car_2/{topic}', TOPICS[topic].type, Offer())
    writer.close()


def test_a_command_that_is_read_before_its_frame_has_its_row(tmp_path):
    """The recorder reads topic after topic, so a frame may come after its command."""
    writer = FrameFolder(tmp_path)
    for topic, _ in messages(0):
        writer.add_topic(topic, TOPICS[topic].type, Offer())
    for number in range(FRAMES):
        for topic, cdr in reversed(list(messages(number))):
            writer.write(topic, 0, cdr)
    writer.close()
    assert len(open_recording(tmp_path)) == FRAMES


def test_the_log_has_the_commands_of_the_person_who_drove(tmp_path):
    writer = FrameFolder(tmp_path)
    for topic in (*(topic for topic, _ in messages(0)), PERSON_COMMAND):
        writer.add_topic(topic, TOPICS[topic].type, Offer())
    for number in range(4):
        sent = list(messages(number))
        person = (PERSON_COMMAND, command_cdr(START_NS + number * PERIOD_NS, 0.25))
        if number in (1, 2):  # Before and after the command of the network.
            sent.insert(len(sent) - number + 1, person)
        for topic, cdr in sent:
            writer.write(topic, 0, cdr)
    writer.close()
    wanted = [steering_rad(0), 0.25, 0.25, steering_rad(3)]
    assert open_recording(tmp_path).steering_rad.tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ('names', 'positions'),
    [(['steering'], []), (['wheel'], [0.2]), ([], [0.2]), (['steering'], [math.nan])],
)
def test_a_command_that_the_bridge_ignores_is_skipped(tmp_path, names, positions):
    writer = FrameFolder(tmp_path)
    for topic, _ in messages(0):
        writer.add_topic(topic, TOPICS[topic].type, Offer())
    good = TYPES.deserialize_cdr(command_cdr(START_NS, 0.0), TOPICS[STEERING_COMMAND].type)
    bad = replace(good, name=names, position=np.array(positions, np.float64))
    for topic, cdr in messages(0):
        writer.write(topic, 0, cdr)
    writer.write(STEERING_COMMAND, 0, bytes(TYPES.serialize_cdr(bad, bad.__msgtype__)))
    writer.close()
    assert open_recording(tmp_path).steering_rad.tolist() == pytest.approx([steering_rad(0)])


def test_frames_of_one_millisecond_are_all_kept(tmp_path):
    writer = FrameFolder(tmp_path)
    topic, cdr = next(iter(messages(0)))
    writer.add_topic(topic, TOPICS[topic].type, Offer())
    for _ in range(3):
        writer.write(topic, 0, cdr)
    writer.close()
    assert len(list(tmp_path.glob('*.jpg'))) == 3


def test_name_of_a_frame_takes_no_longer_after_many_of_one_millisecond(tmp_path, monkeypatch):
    names, tried = ImageNames(tmp_path), []
    exists = Path.exists
    monkeypatch.setattr(Path, 'exists', lambda path: tried.append(path) or exists(path))
    for stamp in range(100):
        names.unused(stamp).touch()
    assert len(list(tmp_path.iterdir())) == len(tried) == 100


def test_full_disk_leaves_no_half_image(tmp_path):
    writer = FrameFolder(tmp_path)
    topic, cdr = next(iter(messages(0)))
    writer.add_topic(topic, TOPICS[topic].type, Offer())
    writer.write(topic, 0, cdr)
    # The system sends the signal before it returns the error.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match='File too large'):
            writer.write(topic, 0, cdr)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    writer.close()
    assert [path.stat().st_size for path in tmp_path.glob('*.jpg')] == [len(jpeg_of(0))]


@pytest.mark.parametrize(
    ('name', 'told'), [('x.jpg', 'is not empty'), ('.hidden', 'is not empty')]
)
def test_folder_that_holds_something_is_never_written_to(tmp_path, name, told):
    (tmp_path / name).write_text('mine', encoding='utf-8')
    with pytest.raises(BagError, match=f'{tmp_path} is not empty; name a new folder'):
        FrameFolder(tmp_path)
    with pytest.raises(BagError, match='is a file; name a new folder'):
        FrameFolder(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_drives_in_simulated_time_keep_their_rows_and_follow_each_other(tmp_path):
    writer = FrameFolder(tmp_path)
    sent = [(topic, cdr) for topic, _, cdr in simulated_drives(2) if topic in FRAME_TOPICS]
    for topic in dict(sent):
        writer.add_topic(topic, TOPICS[topic].type, Offer())
    for topic, cdr in sent:
        writer.write(topic, 0, cdr)
    writer.close()
    recording = open_recording(tmp_path)
    assert recording.steering_rad.tolist() == pytest.approx([0.1] * 20 + [0.2] * 20, abs=1e-6)
    steps_s = np.diff(recording.times_s)
    assert [*np.unique(steps_s.round(3))] == [0.05, 5.0]


def test_of_frames_with_one_stamp_the_first_has_the_row(tmp_path):
    writer = FrameFolder(tmp_path)
    sent = list(messages(0))
    for topic, _ in sent:
        writer.add_topic(topic, TOPICS[topic].type, Offer())
    for topic, cdr in [sent[0], *sent]:
        writer.write(topic, 0, cdr)
    writer.close()
    first, _ = sorted(path.name for path in tmp_path.glob('*.jpg'))
    assert open_recording(tmp_path).frame_names == [first]


def test_folder_that_cannot_be_looked_at_is_told(tmp_path):
    # As in a folder that may not be entered, which would not stop root.
    with pytest.raises(BagError, match=r'cannot write frames to .*: File name too long'):
        FrameFolder(tmp_path / ('x' * 300))
