# SPDX-License-Identifier: Apache-2.0
"""Frames for training are the same from one process and from several."""

import numpy as np
import pytest

from helpers.tracks import TRAIN_SEEDS
from sim_bridge.simulator.samples import samples
from sim_bridge.training.rendering import AtRandom, Driven, rendered
from sim_bridge.training.visits import visited
from sim_bridge.workers.attempt import WorkError
from sim_bridge.workers.spread import ONE_PROCESS, Workers
from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor
from steering_net.vision.camera_model import find_camera
from steering_net.vision.camera_names import AUTONOMOUS, TRAINING

pytestmark = pytest.mark.slow

TRACKS = TRAIN_SEEDS[:2]


@pytest.fixture(scope='module')
def predictor():
    return load_predictor(camera=AUTONOMOUS)


def same(found, wanted):
    frames, steering_rad = zip(*found, strict=True)
    assert list(steering_rad) == [sample.steering_rad for sample in wanted]
    np.testing.assert_array_equal(frames, [sample.rgb for sample in wanted])


def test_frames_at_random_places_come_in_the_order_of_the_tracks():
    found = rendered(AtRandom(3, 7, TRAINING), TRACKS, Workers(2))
    camera = find_camera(TRAINING)
    wanted = [
        sample
        for number, track in enumerate(TRACKS)
        for sample in samples(track, 3, np.random.default_rng([7, number]), camera)
    ]
    same(found, wanted)


def test_frames_of_where_a_network_drives(predictor):
    # The camera is that of the drive, so the frames are not turned.
    found = rendered(Driven(pack(predictor), 1, 3, 7, AUTONOMOUS), TRACKS, Workers(2))
    wanted = [
        sample
        for number, track in enumerate(TRACKS)
        for sample in visited(
            track, 3, predictor.predict, 0.5, np.random.default_rng([7, 1, number])
        )
    ]
    same(found, wanted)


def test_a_track_that_cannot_be_rendered_is_named():
    with pytest.raises(WorkError, match='track nowhere:1: KeyError'):
        list(rendered(AtRandom(3, 7, TRAINING), ['nowhere:1'], ONE_PROCESS))
