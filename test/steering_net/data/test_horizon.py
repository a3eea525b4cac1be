# SPDX-License-Identifier: Apache-2.0
"""The camera of a recording is found by the horizon in its frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.data.horizon import Horizon, camera_by, find_horizon, with_camera
from steering_net.data.recording import Recording, read_folder
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA
from steering_net.vision.camera_names import AUTONOMOUS, TRAINING
from steering_net.vision.jpeg import encode_jpeg

DATA = Path(__file__).parents[4] / 'shared' / 'data'
CAMERAS = {TRAINING: TRAINING_CAMERA, AUTONOMOUS: AUTONOMOUS_CAMERA}


def recording_of(jpegs, steering_rad=0.0):
    series = np.full(len(jpegs), steering_rad)
    names = [str(index) for index in range(len(jpegs))]
    return Recording(
        'drawn', 0.1 * np.arange(len(jpegs)), series, series, series, names, jpegs.__getitem__
    )


@pytest.fixture(scope='module', params=CAMERAS)
def drive(request):
    """A camera, and frames that it takes on a flat track, near the middle."""
    track = make_track(3)
    camera = Camera(track, CAMERAS[request.param])
    rng = np.random.default_rng(1)
    straight_m = track.step_m * np.flatnonzero(np.abs(track.curvature_1pm) < 0.02)
    places = straight_m[np.linspace(0, len(straight_m) - 1, 70).astype(int)]
    poses = [track.pose(s_m, rng.uniform(-1, 1), rng.uniform(-0.05, 0.05)) for s_m in places]
    return request.param, [encode_jpeg(camera.render(pose)) for pose in poses]


@pytest.mark.slow
def test_the_horizon_of_rendered_frames_tells_the_camera(drive):
    camera, jpegs = drive
    horizon = find_horizon(recording_of(jpegs))
    assert horizon.row_px == pytest.approx(CAMERAS[camera].horizon_px, abs=1.7)
    found = with_camera(recording_of(jpegs))
    assert found.camera == camera
    assert 'the horizon is in row' in found.camera_reason


def test_too_few_frames_or_only_curves_tell_nothing(drive):
    _, jpegs = drive
    for recording in (recording_of(jpegs[:30]), recording_of(jpegs, steering_rad=0.2)):
        assert find_horizon(recording) is None
        assumed = with_camera(replace(recording, camera=AUTONOMOUS))
        assert assumed.camera == AUTONOMOUS
        assert assumed.camera_reason.startswith('assumed, because fewer than 40 frames')


def test_a_horizon_between_both_cameras_is_no_answer():
    for unsure in (Horizon(60.6, 0.6, 50), Horizon(59.9, 0.08, 120)):
        assert camera_by(unsure, AUTONOMOUS)[0] == AUTONOMOUS
        assert camera_by(unsure, TRAINING)[0] == TRAINING
        assert 'between both cameras' in camera_by(unsure, TRAINING)[1]
    assert camera_by(Horizon(60.6, 0.1, 50), AUTONOMOUS)[0] == TRAINING
    assert camera_by(Horizon(58.5, 0.1, 50), TRAINING)[0] == AUTONOMOUS


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason='the recordings in ../shared are not here')
@pytest.mark.parametrize(
    ('folder', 'camera'), [('lake_lap_a', TRAINING), ('lake_autonomous', AUTONOMOUS)]
)
def test_the_camera_of_real_recordings_is_found(folder, camera):
    assert with_camera(read_folder(DATA / folder)).camera == camera
