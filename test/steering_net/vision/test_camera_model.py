# SPDX-License-Identifier: Apache-2.0
"""Frames seen from elsewhere, checked against frames that were rendered there."""

import math

import numpy as np
import pytest

from helpers.lazy import Lazy
from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.vision.camera_model import (
    AUTONOMOUS_CAMERA,
    TRAINING_CAMERA,
    Pinhole,
    above_horizon,
    find_camera,
    image_from_image,
    reprojected,
    turned,
)

TRACK = Lazy(lambda: make_track(3))
CAMERA = Lazy(lambda: Camera(TRACK, TRAINING_CAMERA))
PLACE_M = 60.0
# Where both frames show ground that neither the frame's edge nor the bonnet hides.
SEEN = (slice(80, 130), slice(100, 220))


def difference(a, b):
    return float(np.abs(a[SEEN].astype(float) - b[SEEN]).mean())


@pytest.mark.parametrize('left_m', [-0.8, 0.0, 0.8])
@pytest.mark.parametrize('yaw_rad', [-0.08, 0.0, 0.08])
def test_reprojected_frame_is_what_the_camera_sees_there(left_m, yaw_rad):
    frame = CAMERA.render(TRACK.pose(PLACE_M))
    here = TRACK.pose(PLACE_M)
    sin, cos = np.sin(here.yaw_rad), np.cos(here.yaw_rad)
    there = here._replace(
        x_m=here.x_m - sin * left_m,
        y_m=here.y_m + cos * left_m,
        yaw_rad=here.yaw_rad + yaw_rad,
    )
    expected = CAMERA.render(there)
    made = reprojected(frame, 0.0, left_m, yaw_rad)
    assert (made.shape, made.dtype) == (frame.shape, np.uint8)
    if left_m == yaw_rad == 0.0:
        np.testing.assert_allclose(made, frame, atol=1)
    else:
        assert difference(made, expected) < 0.5 * difference(frame, expected)
        mirrored = reprojected(frame, 0.0, -left_m, -yaw_rad)
        assert difference(made, expected) < 0.5 * difference(mirrored, expected)


def test_hills_turn_with_the_car_and_stay_where_it_moves_aside():
    frame = CAMERA.render(TRACK.pose(PLACE_M))
    sky = above_horizon(TRAINING_CAMERA) > 0
    np.testing.assert_allclose(reprojected(frame, 0.0, 0.7, 0.0)[sky], frame[sky], atol=1)
    turned = CAMERA.render(TRACK.pose(PLACE_M, heading_error_rad=0.1))
    sky = (slice(30, 60), slice(60, 260))
    wrong = np.abs(frame[sky].astype(float) - turned[sky]).mean()
    right = np.abs(reprojected(frame, 0.0, 0.0, 0.1)[sky].astype(float) - turned[sky]).mean()
    assert right < 0.5 * wrong


def test_the_two_cameras_are_where_the_simulator_has_them():
    assert (TRAINING_CAMERA.height_m, AUTONOMOUS_CAMERA.height_m) == (1.255, 1.264)
    for camera, pitch in ((TRAINING_CAMERA, 7.6), (AUTONOMOUS_CAMERA, 9.2)):
        assert math.degrees(camera.pitch_down_rad) == pytest.approx(pitch)
        assert math.degrees(camera.roll_right_up_rad) == pytest.approx(1.2)
        assert camera.forward_m == 1.0
    assert TRAINING_CAMERA.horizon_px == pytest.approx(61.5, abs=0.1)
    assert AUTONOMOUS_CAMERA.horizon_px == pytest.approx(57.6, abs=0.1)


def test_a_camera_with_its_right_side_up_sees_the_horizons_right_end_lower():
    far = TRAINING_CAMERA.project(np.array([[1e6, 1e6], [1e6, -1e6]]))
    (left, left_row), (right, right_row) = far
    assert left < right
    assert (right_row - left_row) / (right - left) == pytest.approx(math.tan(math.radians(1.2)))
    assert 320 * TRAINING_CAMERA.horizon_slope == pytest.approx(6.7, abs=0.1)
    rows = above_horizon(TRAINING_CAMERA).sum(axis=0) / 255
    columns_px = np.arange(320) + 0.5 - TRAINING_CAMERA.cx_px
    horizon = TRAINING_CAMERA.horizon_px + TRAINING_CAMERA.horizon_slope * columns_px
    assert np.abs(rows - horizon).max() <= 0.5


@pytest.mark.parametrize('place', [(0.0, 0.0, 0.0), (0.5, -0.7, 0.1)])
def test_a_point_of_the_ground_is_where_the_homography_says(place):
    forward_m, left_m, yaw_rad = place
    points = np.array([[8.0, 1.0], [15.0, -4.0], [30.0, 0.0], [6.0, 2.0]])
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    away = points - [forward_m, left_m]
    there = np.stack((cos * away[:, 0] + sin * away[:, 1], cos * away[:, 1] - sin * away[:, 0]), 1)
    for seen_by, frame_of in (
        (TRAINING_CAMERA, AUTONOMOUS_CAMERA),
        (AUTONOMOUS_CAMERA, TRAINING_CAMERA),
        (Pinhole(height_m=0.9, pitch_down_rad=0.0, roll_right_up_rad=-0.1), TRAINING_CAMERA),
    ):
        _, ground = image_from_image(seen_by, frame_of, place)
        seen = np.column_stack((seen_by.project(there), np.ones(4)))
        u, v, scale = ground @ seen.T
        np.testing.assert_allclose(
            np.column_stack((u / scale, v / scale)), frame_of.project(points), atol=1e-6
        )


@pytest.mark.slow
@pytest.mark.parametrize('s_m', [10.0, 60.0, 150.0])
def test_a_turned_frame_is_what_the_other_camera_sees_and_turns_back(s_m):
    pose = TRACK.pose(s_m)
    cameras = (TRAINING_CAMERA, AUTONOMOUS_CAMERA)
    frames = [Camera(TRACK, camera).render(pose) for camera in cameras]
    for here, there in ((0, 1), (1, 0)):
        made = turned(frames[here], cameras[here], cameras[there])
        assert difference(made, frames[there]) < 0.6 * difference(frames[here], frames[there])
        back = turned(made, cameras[there], cameras[here])
        assert difference(back, frames[here]) < 0.6 * difference(made, frames[here])
        np.testing.assert_allclose(
            turned(frames[here][50:145], cameras[here], cameras[there], top=50)[20:70],
            made[70:120],
            atol=1,
        )
    assert turned(frames[0], TRAINING_CAMERA, TRAINING_CAMERA) is frames[0]


def test_what_lies_outside_of_the_frame_repeats_its_edge():
    frame = np.zeros((160, 320, 3), np.uint8)
    frame[-1] = 200
    made = turned(frame, TRAINING_CAMERA, find_camera('pitch:13'))
    assert (made[-5:] == 200).all()


def test_a_camera_is_found_by_name_or_by_pose():
    assert find_camera('training') is TRAINING_CAMERA
    assert find_camera('autonomous') is AUTONOMOUS_CAMERA
    assert find_camera('pitch:7.6/roll:1.2/height:1.255') == TRAINING_CAMERA
    assert find_camera('height:1.264/pitch:9.2') == AUTONOMOUS_CAMERA
    low = find_camera('height:0.5/roll:-3')
    assert (low.height_m, low.pitch_down_rad) == (0.5, TRAINING_CAMERA.pitch_down_rad)
    assert low.roll_right_up_rad == pytest.approx(math.radians(-3))


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('', "camera is ''; it must be training, autonomous, or pitch:DEGREES"),
        ('front', "camera is 'front'; it must be training, autonomous"),
        ('pitch:7.6/yaw:1', "camera is 'pitch:7.6/yaw:1'; it must be"),
        ('pitch:down', "camera: pitch is 'down', it must be a number"),
        ('height:0', 'camera: height is 0, it must be 0.2 to 10'),
        ('roll:nan', 'camera: roll is nan, it must be -45 to 45'),
    ],
)
def test_a_camera_that_is_not_known_is_named(text, told):
    with pytest.raises(ValueError, match=told):
        find_camera(text)


def test_rays_meet_the_ground_where_the_homography_says():
    ahead, left, down = TRAINING_CAMERA.rays()[:, 120, 40]
    ground = TRAINING_CAMERA.ground_from_image() @ (40.5, 120.5, 1.0)
    reach = TRAINING_CAMERA.height_m / down
    expected = (ahead * reach + TRAINING_CAMERA.forward_m, left * reach)
    assert ground[:2] / ground[2] == pytest.approx(expected)
    assert np.array_equal(TRAINING_CAMERA.rays(10), TRAINING_CAMERA.rays()[:, :10])
