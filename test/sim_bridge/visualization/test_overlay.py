# SPDX-License-Identifier: Apache-2.0
"""The drawing on frames: where the predicted path lies, and that the frame is not changed."""

import math

import numpy as np
import pytest

from sim_bridge.visualization.overlay import SCALE, Reading, draw, predicted_path
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA

GREY = np.full((160, 320, 3), 90, np.uint8)


def test_straight_ahead_goes_to_the_vanishing_point():
    far = AUTONOMOUS_CAMERA.project(np.array([[1e6, 0.0]]))[0]
    # Of a camera that looks 9.2 degrees down and 0.72 to the right and is rolled by 1.2.
    right, down = -138.564 * math.tan(math.radians(0.72)), -138.564 * math.tan(math.radians(9.2))
    right /= math.cos(math.radians(9.2))
    cos, sin = math.cos(math.radians(1.2)), math.sin(math.radians(1.2))
    expected = (160.0 + cos * right - sin * down, 80.0 + sin * right + cos * down)
    assert far == pytest.approx(expected, abs=0.01)


def test_point_on_the_optical_axis_is_in_the_middle_of_the_image():
    away = 1.264 / math.tan(math.radians(9.2))
    right = math.radians(0.72)
    point = np.array([[1.0 + away * math.cos(right), -away * math.sin(right)]])
    assert AUTONOMOUS_CAMERA.project(point)[0] == pytest.approx((160.0, 80.0))


def test_left_of_the_car_is_left_in_the_image_and_behind_is_not_seen():
    pixels = AUTONOMOUS_CAMERA.project(np.array([[8.0, 1.0], [8.0, -1.0], [0.0, 0.0]]))
    assert len(pixels) == 2
    assert pixels[0, 0] < 160.0 < pixels[1, 0]
    # Along the tilted optical axis both are 7 m * cos + 1.264 m * sin = 7.112 m away.
    assert pixels[1, 0] - pixels[0, 0] == pytest.approx(2 * 138.6 / 7.112, abs=0.1)


@pytest.mark.parametrize('steering_rad', [-0.4, -0.1, 0.05, 0.43])
def test_arc_has_the_radius_of_the_bicycle_model(steering_rad):
    path = predicted_path(steering_rad)
    centre = np.array([-1.60, 2.87 / math.tan(steering_rad)])
    radii = np.linalg.norm(path - centre, axis=1)
    assert radii == pytest.approx(abs(centre[1]), rel=1e-9)
    assert np.sign(path[-1, 1]) == np.sign(steering_rad), 'left is positive'


@pytest.mark.parametrize('steering_rad', [-0.2, 0.0, 1e-7, 0.2])
def test_wheel_tracks_keep_their_distance(steering_rad):
    gap = np.linalg.norm(
        predicted_path(steering_rad, 1.0) - predicted_path(steering_rad, -1.0), axis=1
    )
    assert gap == pytest.approx(2.0)


def changed(image, plain):
    return np.abs(image.astype(int) - plain).sum(axis=2) > 30


def test_path_bends_to_the_side_of_the_steering():
    plain = draw(GREY, Reading())
    columns = []
    for steering_rad in (0.2, -0.2):
        drawing = draw(GREY, Reading(commanded_rad=steering_rad))
        middle = changed(drawing, plain)[170:215]
        columns.append(np.nonzero(middle)[1].mean())
    assert columns[0] < 300 < 340 < columns[1]


def test_nothing_known_draws_no_figures_and_the_frame_is_left_as_it_was():
    frame = GREY.copy()
    drawing = draw(frame, Reading())
    assert drawing.shape == (160 * SCALE, 320 * SCALE, 3)
    assert not changed(drawing, 90)[:200].any()
    draw(frame, Reading(0.1, 0.1, 5.0, 6.0, 0.3, 2.0))
    assert (frame == GREY).all()


def test_too_fast_is_red():
    box = (slice(8, 40), slice(8, 178))
    slow = draw(GREY, Reading(speed_mps=5.0, limit_mps=6.0))[box].astype(int)
    fast = draw(GREY, Reading(speed_mps=7.0, limit_mps=6.0))[box].astype(int)

    def redness(image):
        return (image[..., 0] - image[..., 1]).max()

    assert redness(slow) < 20 < 80 < redness(fast)


def test_zero_has_no_minus():
    drawn = [
        draw(GREY, Reading(commanded_rad=0.1, recorded_rad=z, throttle=z)) for z in (0.0, -0.0)
    ]
    assert np.array_equal(*drawn)
