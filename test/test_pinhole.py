"""Frames seen from elsewhere, checked against frames that were rendered there."""

import numpy as np
import pytest

from sim_bridge.track_sim.camera import Camera
from sim_bridge.track_sim.track import make_track
from steering_net.pinhole import TRAINING_CAMERA, above_horizon, reprojected

TRACK = make_track(3)
CAMERA = Camera(TRACK, TRAINING_CAMERA)
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
