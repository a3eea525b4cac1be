# SPDX-License-Identifier: Apache-2.0
import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.errors import ModelError
from steering_net.inference.predictor import load_predictor
from steering_net.inference.self_check import (
    Calibration,
    Deviation,
    Nearest,
    SelfCheck,
    World,
    calibrate,
    calibration_of,
    calibration_path,
    changes,
    write_calibration,
)
from steering_net.model_io.files import sha256_of
from steering_net.vision.camera_model import TRAINING_CAMERA
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg
from steering_net.vision.profile import find_profile

CALIBRATION = Calibration((World((-0.05, 0.05), (0.003, 0.004)),), 2.5, 'abc')
STEP_S = 0.05


def frames(seed, count):
    """Frames of a car that drives along the middle of a track."""
    track = make_track(seed)
    camera = Camera(track)
    for k in range(count):
        rgb = camera.render(track.pose(60.0 + 0.4 * k))
        yield decode_jpeg(encode_jpeg(rgb))


@pytest.fixture(scope='module')
def network():
    return load_predictor(camera=AUTONOMOUS)


@pytest.fixture(scope='module')
def calibration(network):
    """The calibration of the shipped network by two short drives."""
    drives = []
    for seed in (40,):
        check, rows = SelfCheck(network), []
        for k, rgb in enumerate(frames(seed, 200)):
            rows.append((*check.sum_rad(network.predict(rgb)), k * STEP_S))
        side, sum_rad, time_s = map(np.array, zip(*rows, strict=True))
        drives.append((side, sum_rad, time_s))
    return calibrate(drives, network.sha256)


def uncertainty(network, calibration, seen):
    check = SelfCheck(network, calibration)
    values = [check.uncertainty(network.predict(rgb), k * STEP_S) for k, rgb in enumerate(seen)]
    assert all(0.0 <= value <= 1.0 for value in values)
    return np.array(values)


@pytest.mark.slow
def test_the_network_is_sure_on_a_road_that_it_knows_and_unsure_without_one(network, calibration):
    known = list(frames(42, 30))
    blurred = [cv2.GaussianBlur(rgb, (0, 0), 20.0) for rgb in known]
    assert uncertainty(network, calibration, known).max() < 0.5
    lost = uncertainty(network, calibration, known[:10] + blurred[10:])
    assert lost[9] < 0.5
    assert (lost[22:] > 0.5).all()


def test_the_sides_take_turns_and_a_displaced_car_steers_back(network):
    (rgb,) = frames(42, 1)
    check = SelfCheck(network)
    sums = [check.sum_rad(network.predict(rgb)) for _ in range(4)]
    assert [side for side, _ in sums] == [0, 1, 0, 1]
    assert sums[2:] == sums[:2]
    # A car that stands to the left has to steer to the right, which is negative.
    assert sums[0][1] < -0.01 < 0.01 < sums[1][1]


def test_frames_are_mirrored_and_seen_from_a_displaced_car():
    profile = find_profile('custom:rows=0-160,columns=0-320,colour=rgb,blur=0,camera=training')
    there, mirrored = TRAINING_CAMERA.project(np.array([(9.0, 1.5), (9.0, -1.5 - 0.8)]))
    picture = np.zeros((160, 320, 3), np.float32)
    cv2.circle(picture, (round(there[0] - 0.5), round(there[1] - 0.5)), 3, (1.0, 1.0, 1.0), -1)
    seen = cv2.remap(picture, *changes(profile)[0], cv2.INTER_LINEAR)[..., 0]
    rows, columns = np.nonzero(seen > 0.5)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(tuple(mirrored), abs=1.0)


def test_a_calibration_holds_the_sums_of_each_side_and_bounds_their_deviations():
    rng = np.random.default_rng(0)
    side = np.arange(4000) % 2
    sum_rad = np.where(side == 0, -0.05, 0.04) + rng.normal(0.0, np.where(side == 0, 0.002, 0.004))
    found = calibrate([(side, sum_rad, np.arange(4000) * STEP_S)], 'abc')
    (world,) = found.worlds
    assert world.mean_rad == pytest.approx((-0.05, 0.04), abs=3e-4)
    assert world.spread_rad == pytest.approx((0.002, 0.004), rel=0.1)
    assert 1.2 < found.threshold < 3.5
    with pytest.raises(ValueError, match='40 frames is too short'):
        calibrate([(side[:40], sum_rad[:40], np.arange(40) * STEP_S)], 'abc')


def test_deviations_are_forgotten_within_seconds_whatever_the_clock_does():
    mean = Deviation()
    for k in range(40):
        mean.add(10.0, k * STEP_S)
    assert mean.add(10.0, 1.0) == pytest.approx(10.0, rel=0.02)
    assert mean.add(0.0, 0.5) > 9.0
    for k in range(60):
        last = mean.add(0.0, 0.5 + k * STEP_S)
    assert last < 1.0


def test_the_nearest_of_several_known_worlds_counts():
    worlds = [World((mean, mean), (0.01, 0.01)) for mean in (0.0, 0.5)]
    nearest = Nearest(worlds)
    for k in range(60):
        there = nearest.add(k % 2, 0.5, k * STEP_S)
    for k in range(60, 120):
        between = nearest.add(k % 2, 0.3, k * STEP_S)
    assert there < 0.1
    assert between == pytest.approx(20.0, rel=0.05)


def test_a_calibration_belongs_to_one_network(tmp_path):
    model = tmp_path / 'net.keras'
    model.write_bytes(b'weights')
    assert calibration_of(model) is None
    write_calibration(model, CALIBRATION)
    assert calibration_of(model) is None
    own = replace(CALIBRATION, sha256=sha256_of(model))
    write_calibration(model, own)
    assert calibration_of(model) == own


WORLD = {'mean_rad': [0.0, 0.0], 'spread_rad': [0.01, 0.01]}


@pytest.mark.parametrize(
    'fields',
    [
        {'mean_rad': [1]},
        {'worlds': [], 'threshold': 2.0},
        {'worlds': [WORLD], 'threshold': 0.0},
        {'worlds': [WORLD], 'threshold': math.nan},
        {'worlds': [WORLD | {'spread_rad': [0.01, 0.0]}], 'threshold': 2.0},
        {'worlds': [WORLD | {'mean_rad': [math.nan, 0.0]}], 'threshold': 2.0},
    ],
)
def test_a_calibration_by_which_nothing_can_be_judged_is_refused(tmp_path, fields):
    """It would end the node at its first frame, or find every frame known."""
    model = tmp_path / 'net.keras'
    model.write_bytes(b'weights')
    content = fields | {'sha256': sha256_of(model)}
    calibration_path(model).write_text(json.dumps(content), encoding='utf-8')
    with pytest.raises(ModelError, match=r'net.monitor.json is no calibration'):
        calibration_of(model)


def test_the_shipped_network_is_calibrated():
    """`sim-bridge evaluate monitor --calibrate` makes it so, after each new network."""
    assert calibration_of('default') is not None
