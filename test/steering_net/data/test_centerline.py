# SPDX-License-Identifier: Apache-2.0
"""The road's middle, measured in frames: where the truth is drawn, and on the real lap."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sim_bridge.simulator.camera import Camera
from sim_bridge.simulator.track import make_track
from steering_net.data import centerline
from steering_net.data.centerline import (
    directions,
    edges_ahead,
    edges_in,
    middle_beside,
    towards_middle_rad,
)
from steering_net.data.driving_log import LogError
from steering_net.data.recording import Recording, read_folder
from steering_net.data.trajectory import runs, trajectory_of
from steering_net.evaluation.data_driven import recorded_way, road_middle
from steering_net.training.labels import Labelling, of_recording
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M
from steering_net.vision.camera_model import TRAINING_CAMERA, reprojected
from steering_net.vision.crop import crop_of
from steering_net.vision.jpeg import encode_jpeg

STEP_S, SPEED_MPS = 0.1, 10.0


def straight_trajectory(rows=60, steering_rad=0.0):
    return trajectory_of(
        STEP_S * np.arange(rows), np.full(rows, steering_rad), np.full(rows, SPEED_MPS)
    )


def road_at(left_m):
    """Sightings of a 7 m wide road whose middle is so far left of a car that goes straight on."""
    return [np.array([[ahead_m, left_m + 3.5, left_m - 3.5] for ahead_m in (5.0, 7.0)])] * 60


@pytest.mark.slow
@pytest.mark.parametrize('seed', [1, 2, 3, 4])
def test_the_middle_is_found_where_the_track_has_it(seed):
    track = make_track(seed)
    camera = Camera(track, TRAINING_CAMERA)
    rng = np.random.default_rng(seed)
    errors_m, frames = [], 40
    for _ in range(frames):
        s_m, aside_m = rng.uniform(0, track.length_m), rng.uniform(-1.5, 1.5)
        pose = track.pose(s_m, aside_m, rng.uniform(-0.1, 0.1))
        for ahead_m, *edges_m in edges_ahead(crop_of(camera.render(pose))):
            left_m = np.mean(edges_m)
            x_m = pose.x_m + ahead_m * math.cos(pose.yaw_rad) - left_m * math.sin(pose.yaw_rad)
            y_m = pose.y_m + ahead_m * math.sin(pose.yaw_rad) + left_m * math.cos(pose.yaw_rad)
            errors_m.append(track.project(x_m, y_m, s_m).cross_track_m)
    errors_m = np.array(errors_m)[np.isfinite(errors_m)]
    assert len(errors_m) > 2 * frames
    assert abs(np.median(errors_m)) < 0.1
    assert np.median(np.abs(errors_m)) < 0.2


def test_no_road_shows_no_middle():
    assert edges_ahead(np.full((95, 320, 3), 90, np.uint8)).shape == (0, 3)
    noise = np.random.default_rng(0).integers(0, 255, (95, 320, 3), np.uint8)
    assert len(edges_ahead(noise)) <= 3


def test_the_edges_of_a_recording_are_in_its_order_and_none_where_a_frame_is_missing():
    track = make_track(1)
    camera = Camera(track, TRAINING_CAMERA)
    frames = [camera.render(track.pose(20.0 + 9 * i)) for i in range(6)]
    jpegs = [encode_jpeg(rgb, 95) for rgb in frames]
    jpegs[2] = b'no jpeg'
    names, values = [str(i) for i in range(6)], np.arange(6.0)
    recording = Recording('drawn', values, values, values, values, names, jpegs.__getitem__)
    seen = edges_in(recording)
    assert [edges is None for edges in seen] == [index == 2 for index in range(6)]
    for index in (0, 1, 3, 4, 5):
        np.testing.assert_array_equal(seen[index], edges_ahead(crop_of(recording.frame(index))))


def test_a_trajectory_is_the_circle_of_the_bicycle_model():
    trajectory = straight_trajectory(steering_rad=0.1)
    radius_m = WHEELBASE_M / math.tan(0.1)
    np.testing.assert_allclose(
        np.hypot(trajectory.x_m, trajectory.y_m - radius_m), radius_m, rtol=1e-12
    )
    np.testing.assert_allclose(trajectory.yaw_rad, trajectory.along_m / radius_m)
    x_m, y_m = trajectory.from_car(30, np.array([2.0]), np.array([-1.0]))
    np.testing.assert_allclose(np.ravel(trajectory.from_world(30, x_m, y_m)), [2.0, -1.0])


def test_runs_end_at_pauses_and_where_time_goes_back():
    times_s = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 4.0])
    assert runs(times_s) == [slice(0, 3), slice(3, 5), slice(5, 6)]
    assert runs(np.empty(0)) == []


def test_the_middle_beside_is_what_most_frames_say():
    seen = road_at(0.7)
    seen[20] = seen[21] = None
    seen[30] = np.array([[5.0, 7.5, 0.5], [7.0, 7.5, 0.5]])
    seen[40] = np.array([[5.0, 4.2, np.nan], [7.0, np.nan, -2.8]])
    middle_m = middle_beside(straight_trajectory(), seen)
    np.testing.assert_allclose(middle_m[8:], 0.7, atol=0.02)
    assert np.isnan(middle_beside(straight_trajectory(), [None] * 60)).all()


def test_one_edge_says_where_the_middle_is_if_others_say_how_wide_the_road_is():
    seen = road_at(0.7)
    seen[20:50] = [np.array([[6.0, np.nan, -2.8]])] * 30
    np.testing.assert_allclose(middle_beside(straight_trajectory(), seen)[8:], 0.7, atol=0.02)
    only_one = [np.array([[6.0, np.nan, -2.8]])] * 60
    assert np.isnan(middle_beside(straight_trajectory(), only_one)).all()


def test_whoever_is_right_of_the_middle_is_led_left_as_pure_pursuit_leads():
    trajectory, middle_m = straight_trajectory(), np.full(60, 0.7)
    rad = towards_middle_rad(trajectory, middle_m, 16.0)
    # The target is 16 m ahead of the origin, which is 1.6 m ahead of the rear axle.
    expected = math.atan(WHEELBASE_M * 2 * 0.7 / ((16.0 + REAR_AXLE_M) ** 2 + 0.7**2))
    np.testing.assert_allclose(rad[:43], expected)
    assert np.isnan(rad[44:]).all()


def test_directions_follow_the_middle():
    trajectory = straight_trajectory()
    np.testing.assert_allclose(directions(trajectory, 0.1 * trajectory.along_m), math.atan(0.1))
    np.testing.assert_allclose(
        directions(straight_trajectory(steering_rad=0.05), np.zeros(60)), 0.0, atol=0.1
    )


def test_a_road_that_is_not_seen_is_no_reference_line_and_the_error_says_what_is():
    zeros, times_s = np.zeros(30), STEP_S * np.arange(30)
    grey = cv2.imencode('.jpg', np.full((160, 320, 3), 90, np.uint8))[1].tobytes()
    recording = Recording(
        'dark', times_s, zeros, zeros, zeros + 10.0, ['x.jpg'] * 30, lambda index: grey
    )
    with pytest.raises(LogError, match='known at only 0% of the frames of dark: ') as refused:
        road_middle(recording)
    assert '--reference driver' in str(refused.value)
    assert recorded_way(recording).left_m.tolist() == zeros.tolist()


def test_of_a_road_half_seen_here_and_half_there_no_width_is_made_up(monkeypatch):
    lines = len(centerline._AHEAD_M)
    one = np.where(np.arange(lines) % 2, 8.0, np.nan)
    edges = iter((one, np.where(np.isnan(one), -8.0, np.nan)))
    monkeypatch.setattr(centerline, '_first', lambda *words: next(edges))
    assert edges_ahead(np.zeros((95, 320, 3), np.uint8)).shape == (0, 3)


def test_one_edge_in_sight_is_seen():
    crop = np.full((95, 320, 3), 90, np.uint8)
    # Grass right of a line from 2 m beside the car to the vanishing point.
    near, far = TRAINING_CAMERA.project(np.array([[4.0, -2.0], [1e5, -2.0]])) - [0.0, 50.0]
    corners = np.array([near, far, [320.0, far[1]], [320.0, 95.0]]).astype(np.int32)
    cv2.fillPoly(crop, [corners], (60, 140, 40))
    found = edges_ahead(crop)
    assert len(found) > 2
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, 2], -2.0, atol=0.3)


@pytest.mark.slow
def test_whatever_a_recording_begins_with_its_middle_is_the_same(shared_data):
    recording = read_folder(shared_data / 'lake_lap_a')
    seen = [edges_ahead(crop_of(recording.frame(i))) for i in range(len(recording))]

    def middle(rows):
        series = recording.times_s, recording.steering_rad, recording.speed_mps
        return middle_beside(trajectory_of(*(values[rows] for values in series)), seen[rows])

    whole = middle(slice(None))
    errors_m = [middle(slice(i, i + 60)) - whole[i : i + 60] for i in range(100, 900, 40)]
    # What no frame has shown yet is not known.
    assert all(np.isnan(errors[:3]).all() for errors in errors_m)
    known = np.array([errors[5:40] for errors in errors_m])
    assert np.sqrt(np.nanmean(known**2)) < 0.15
    assert np.isfinite(known).mean() > 0.95


@pytest.mark.parametrize(
    ('field', 'value'), [('kind', 'lane'), ('delay_s', 1.1), ('look_ahead_m', 0.0)]
)
def test_a_bad_labelling_is_named(field, value):
    with pytest.raises(ValueError, match=f'^{field} is '):
        Labelling(**{field: value})


@pytest.mark.slow
def test_on_the_real_lap_towards_the_middle_is_how_its_driver_steered(shared_data):
    recording = read_folder(shared_data / 'lake_lap_a')
    seen = [edges_ahead(crop_of(recording.frame(i))) for i in range(len(recording))]
    labels = of_recording(recording, Labelling('middle', 0.3, 20.0), seen)
    known = np.isfinite(labels)
    assert known.mean() > 0.95
    assert np.corrcoef(labels[known], recording.target_rad[known])[0, 1] > 0.85


def test_what_was_driven_shows_where_the_real_camera_is(shared_data):
    recording = read_folder(shared_data / 'lake_lap_a')
    steps_m = recording.speed_mps[:-1] * np.diff(recording.times_s)
    straight = np.flatnonzero((np.abs(recording.steering_rad[:-1]) < 1e-9) & (steps_m > 1.2))[::20]
    rows = slice(int(TRAINING_CAMERA.horizon_px) + 14, int(TRAINING_CAMERA.horizon_px) + 50)

    def likeness(camera):
        pairs = [
            (
                reprojected(recording.frame(i), steps_m[i], 0.0, 0.0, camera)[rows],
                recording.frame(i + 1)[rows],
            )
            for i in straight
        ]
        return np.mean(
            [np.corrcoef(a.mean(axis=2).ravel(), b.mean(axis=2).ravel())[0, 1] for a, b in pairs]
        )

    here = likeness(TRAINING_CAMERA)
    others = [
        {'height_m': 0.97},
        {'height_m': 1.6},
        {'pitch_down_rad': 0.0693},
        {'pitch_down_rad': 0.17},
    ]
    assert all(likeness(replace(TRAINING_CAMERA, **other)) < here for other in others)
