# SPDX-License-Identifier: Apache-2.0
"""The places to which a network drives, with the steering of the expert there."""

import numpy as np
import pytest

from helpers.tracks import TRAIN_SEEDS
from sim_bridge.training.visits import visited
from steering_net.vehicle import MAX_STEERING_RAD

TRACK = TRAIN_SEEDS[0]
LEFT_RAD = 0.3


def drive(expert_share, count=30, track=TRACK):
    """The samples of a network that always steers left, and how often it was asked."""
    asked = []

    def steer(rgb):
        asked.append(rgb.shape)
        return LEFT_RAD

    rng = np.random.default_rng(3)
    return list(visited(track, count, steer, expert_share, rng)), asked


def test_where_the_network_errs_the_label_leads_back():
    samples, asked = drive(expert_share=0.0)
    assert [(sample.rgb.shape, sample.rgb.dtype.name) for sample in samples] == [
        ((160, 320, 3), 'uint8')
    ] * 30
    labels = np.array([sample.steering_rad for sample in samples])
    assert np.abs(labels).max() <= MAX_STEERING_RAD
    assert labels.mean() < -0.1
    assert len(asked) >= 30


def test_the_expert_alone_asks_no_network_and_stays_in_the_middle():
    samples, asked = drive(expert_share=1.0)
    assert not asked
    assert abs(np.mean([sample.steering_rad for sample in samples])) < 0.1


def test_both_share_the_frames():
    _, asked = drive(expert_share=0.5)
    assert 10 < len(asked) < 50


def test_wheels_turn_no_further_than_the_lock():
    def labels(wanted_rad):
        rng = np.random.default_rng(3)
        found = visited(TRACK, 30, lambda rgb: wanted_rad, 0.0, rng)
        return [sample.steering_rad for sample in found]

    assert labels(1.57) == labels(MAX_STEERING_RAD)


@pytest.mark.slow
def test_a_track_with_hills_is_driven_too():
    samples, _ = drive(expert_share=0.9, count=4, track='hills:1000')
    assert len({sample.steering_rad for sample in samples}) == 4
