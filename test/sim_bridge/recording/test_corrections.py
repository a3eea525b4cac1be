# SPDX-License-Identifier: Apache-2.0
"""Corrections of a person: how often each frame of a bag is trained on."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.recordings import PERIOD_NS, START_NS, jpeg_of
from sim_bridge.recording.bag import BagWriter, Offer, command_cdr, frame_cdr
from sim_bridge.recording.corrections import MISTAKE_S, times_to_train
from sim_bridge.recording.sources import read_bag
from sim_bridge.topics import COMPRESSED_FRAME, PERSON_COMMAND, STEERING_COMMAND, TOPICS
from steering_net.training.augmentation import Augmentation
from steering_net.training.recorded_frames import recorded_frames
from steering_net.vision.crop import CROP_TOP
from steering_net.vision.profile import find_profile

NETWORK_RAD, PERSON_RAD = 0.1, -0.2
COUNT, TAKEN = 60, range(40, 50)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A bag of 3 s at 20 frames/s in which a person drives half a second, from 2 s on."""
    path = tmp_path_factory.mktemp('corrected') / 'drive'
    writer = BagWriter(path)
    for topic in (COMPRESSED_FRAME, STEERING_COMMAND, PERSON_COMMAND):
        writer.add_topic(f'/{topic}', TOPICS[topic].type, Offer())
    for number in range(COUNT):
        stamp = START_NS + number * PERIOD_NS
        writer.write(f'/{COMPRESSED_FRAME}', stamp, frame_cdr(stamp, jpeg_of(number)))
        writer.write(f'/{STEERING_COMMAND}', stamp, command_cdr(stamp, NETWORK_RAD))
        if number in TAKEN:
            writer.write(f'/{PERSON_COMMAND}', stamp, command_cdr(stamp, PERSON_RAD))
    writer.close()
    return path


def test_frames_of_a_person_count_more_and_the_mistake_before_them_does_not_count():
    times_s = np.arange(0.0, 4.0, 0.5)
    by_person = np.array([False, False, False, False, True, True, False, False])
    assert times_to_train(times_s, by_person, 5).tolist() == [1, 1, 0, 0, 5, 5, 1, 1]
    by_person[:] = False
    assert times_to_train(times_s, by_person, 5).tolist() == [1] * 8
    by_person[:] = True
    assert times_to_train(times_s, by_person, 5).tolist() == [5] * 8


def test_corrections_that_follow_each_other_keep_the_frames_of_the_person():
    times_s = np.arange(0.0, 2.0, 0.25)
    by_person = np.array([True, False, True, False, False, False, False, True])
    assert times_to_train(times_s, by_person, 3).tolist() == [3, 0, 3, 0, 0, 0, 0, 3]


def test_bag_is_read_with_its_corrections_only_if_that_is_wanted(bag):
    assert read_bag(bag).times_to_train is None
    times = read_bag(bag, corrections=4).times_to_train
    mistake = round(MISTAKE_S / (1e-9 * PERIOD_NS))
    first = TAKEN.start
    assert times.tolist() == [1] * (first - mistake) + [0] * mistake + [4] * 10 + [1] * 10


def test_training_uses_each_frame_as_often_as_it_counts(bag):
    recording = read_bag(bag, corrections=4)
    profile = find_profile('course').below(CROP_TOP)
    frames = recorded_frames((), Augmentation(), profile, [recording])
    times = recording.times_to_train
    assert len(frames) == times.sum()
    used = np.repeat(recording.target_rad, times)
    assert frames.steering_rad == pytest.approx(used.astype(np.float32))
    once = recorded_frames((), Augmentation(), profile, [replace(recording, times_to_train=None)])
    assert len(once) == COUNT
