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
    Answers,
    Calibration,
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

CALIBRATION = Calibration((World((0.0, 0.05, 0.02), (0.003, 0.004, 0.002)),), 2.5, 'abc')
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
            rows.append((check.answers(network.predict(rgb)), k * STEP_S))
        drives.append(rows)
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


def test_the_changes_take_turns_and_the_network_steers_against_them(network):
    (rgb,) = frames(42, 1)
    check = SelfCheck(network)
    answers = [check.answers(network.predict(rgb)) for _ in range(4)]
    assert [one.change for one in answers] == [0, 1, 0, 1]
    assert answers[2:] == answers[:2]
    turned, bent = answers[:2]
    # A car that is turned to the left has to steer to the right, which is negative.
    assert turned.response_rad < -0.01
    assert bent.response_rad > 0.005
    assert abs(turned.asymmetry_rad) < abs(turned.response_rad)


def seen(change, point):
    """Where a point of the ground, ahead and left in m, is in a changed frame: column, row."""
    profile = find_profile('custom:rows=0-160,columns=0-320,colour=rgb,blur=0,camera=training')
    (where,) = TRAINING_CAMERA.project(np.array([point]))
    picture = np.zeros((160, 320, 3), np.float32)
    cv2.circle(picture, (round(where[0] - 0.5), round(where[1] - 0.5)), 3, (1.0, 1.0, 1.0), -1)
    left, right = changes(profile)[change]
    found = []
    for maps in (left, right):
        rows, columns = np.nonzero(cv2.remap(picture, *maps, cv2.INTER_LINEAR)[..., 0] > 0.5)
        found.append((columns.mean() + 0.5, rows.mean() + 0.5))
    return found


def test_frames_are_mirrored_and_seen_from_a_turned_car():
    ahead_m, left_m = 14.0, 1.5
    for found, yaw_rad in zip(seen(0, (ahead_m, left_m)), (0.06, -0.06), strict=True):
        # Turned about the camera, which is 1 m ahead of the car's origin.
        away = np.array([ahead_m - 1.0, -left_m])
        cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
        turned = np.array([[cos, sin], [-sin, cos]]) @ away + (1.0, 0.0)
        assert found == pytest.approx(tuple(TRAINING_CAMERA.project(turned[None])[0]), abs=1.0)


def test_frames_are_mirrored_and_show_a_road_that_bends():
    ahead_m, left_m = 14.0, 1.5
    for found, per_m in zip(seen(1, (ahead_m, left_m)), (0.01, -0.01), strict=True):
        bent = np.array([(ahead_m, -left_m + per_m * (ahead_m - 1.0) ** 2 / 2)])
        assert found == pytest.approx(tuple(TRAINING_CAMERA.project(bent)[0]), abs=1.5)


def test_a_calibration_holds_the_answers_in_each_world_and_bounds_their_deviations():
    rng = np.random.default_rng(0)
    noise = rng.normal(0.0, (0.003, 0.002), (4000, 2))
    drive = [
        (Answers(k % 2, 0.01 + a, (-0.05, 0.04)[k % 2] + (1 + k % 2) * r), k * STEP_S)
        for k, (a, r) in enumerate(noise)
    ]
    found = calibrate([drive], 'abc')
    (world,) = found.worlds
    assert world.mean_rad == pytest.approx((0.01, -0.05, 0.04), abs=3e-4)
    assert world.spread_rad == pytest.approx((0.003, 0.002, 0.004), rel=0.1)
    assert 1.0 <= found.threshold < 1.5
    with pytest.raises(ValueError, match='40 frames is too short'):
        calibrate([drive[:40]], 'abc')


def added(nearest, mean_rad, times_s):
    """Add frames whose answers are all `mean_rad`; return the last deviation."""
    for k, time_s in enumerate(times_s):
        deviation = nearest.add(Answers(k % 2, mean_rad, mean_rad), time_s)
    return deviation


def test_deviations_are_forgotten_within_seconds_whatever_the_clock_does():
    nearest = Nearest([World((0.0,) * 3, (0.01,) * 3)])
    assert added(nearest, 0.1, STEP_S * np.arange(120)) == pytest.approx(10.0, rel=0.02)
    assert added(nearest, 0.0, [1.0, 1.0]) > 9.0
    assert added(nearest, 0.0, 1.0 + STEP_S * np.arange(120)) < 0.1


def test_a_pause_of_the_frames_gives_the_next_one_little_weight():
    nearest = Nearest([World((0.0,) * 3, (0.01,) * 3)])
    added(nearest, 0.0, STEP_S * np.arange(20))
    assert added(nearest, 0.1, [60.0]) < 5.0


def test_the_nearest_of_several_known_worlds_counts():
    nearest = Nearest([World((mean,) * 3, (0.01,) * 3) for mean in (0.0, 0.5)])
    assert added(nearest, 0.5, STEP_S * np.arange(120)) < 0.1
    between = added(nearest, 0.3, 6.0 + STEP_S * np.arange(120))
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


WORLD = {'mean_rad': [0.0, 0.0, 0.0], 'spread_rad': [0.01, 0.01, 0.01]}


@pytest.mark.parametrize(
    'fields',
    [
        {'mean_rad': [1]},
        {'worlds': [], 'threshold': 2.0},
        {'worlds': [WORLD], 'threshold': 0.0},
        {'worlds': [WORLD | {'mean_rad': [0.0, 0.0]}], 'threshold': 2.0},
        {'worlds': [WORLD], 'threshold': math.nan},
        {'worlds': [WORLD | {'spread_rad': [0.01, 0.01, 0.0]}], 'threshold': 2.0},
        {'worlds': [WORLD | {'mean_rad': [math.nan, 0.0, 0.0]}], 'threshold': 2.0},
    ],
)
def test_a_calibration_by_which_nothing_can_be_judged_is_refused(tmp_path, fields):
    """It would end the node at its first frame, or find every frame known."""
    model = tmp_path / 'net.keras'
    model.write_bytes(b'weights')
    content = fields | {'sha256': sha256_of(model)}
    calibration_path(model).write_text(json.dumps(content), encoding='utf-8')
    with pytest.raises(ModelError, match=r'net.monitor.json is not a calibration'):
        calibration_of(model)


def test_the_shipped_network_is_calibrated():
    """`sim-bridge evaluate monitor --calibrate` makes it so, after each new network."""
    assert calibration_of('default') is not None
