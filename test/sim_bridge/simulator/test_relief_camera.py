# SPDX-License-Identifier: Apache-2.0
"""The camera of tracks with hills: geometry against the pinhole formula, and what hides what."""

import math
from functools import cache

import numpy as np
import pytest

from helpers.lazy import HILLS, JUNGLE, LAKE
from sim_bridge.simulator.camera import FAR_M
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.relief_camera import ReliefCamera
from sim_bridge.simulator.tracks import open_track
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA, find_camera
from steering_net.vision.jpeg import encode_jpeg


@pytest.mark.parametrize('pose', ['pitch:-45/roll:45', 'pitch:-45/roll:-45', 'pitch:-45'])
def test_camera_that_looks_beyond_the_zenith_sees_the_sky(pose: str) -> None:
    camera = ReliefCamera(HILLS, find_camera(pose))
    depth_m = np.empty((160, 320), np.float32)
    image = camera.render(HILLS.pose(20.0), 20.0, depth_m).astype(int)
    is_sky = depth_m == FAR_M
    assert is_sky[:130, 60:260].mean() > 0.7
    assert (image[is_sky][:, 2] > image[is_sky][:, 0] + 20).mean() > 0.95


@cache
def camera_of(track) -> ReliefCamera:
    return ReliefCamera(track)


def render(track, pose: Pose, s_m: float) -> np.ndarray:
    return camera_of(track).render(pose, s_m).astype(float)


def pixel_of(track, pose: Pose, s_m: float, point: tuple[float, float, float]) -> tuple[int, int]:
    """Row and column of a point in the world, by the pinhole formula and the car's posture."""
    posture = track.posture(track.project(pose.x_m, pose.y_m, s_m), pose.yaw_rad)
    dx, dy, dz = point[0] - pose.x_m, point[1] - pose.y_m, point[2] - posture.height_m
    cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
    ahead, left = dx * cos + dy * sin, dy * cos - dx * sin
    cos, sin = math.cos(posture.pitch_rad), math.sin(posture.pitch_rad)
    ahead, up = ahead * cos + dz * sin, dz * cos - ahead * sin
    camera = AUTONOMOUS_CAMERA
    down = camera.height_m - up
    # A ground point at another depth below the camera has the same pixel if it is scaled.
    scale = camera.height_m / down
    flat = np.array([[camera.forward_m + (ahead - camera.forward_m) * scale, left * scale]])
    column, row = camera.project(flat)[0]
    return int(row), int(column)


def on_road(track, s_m: float, offset_m: float) -> tuple[float, float, float]:
    place = track.pose(s_m, offset_m)
    height_m = float(np.interp(s_m, np.arange(len(track.height_m)) * track.step_m, track.height_m))
    return place.x_m, place.y_m, height_m


@pytest.mark.slow
@pytest.mark.parametrize('s_m', [120.0, 302.0, 640.0, 1060.0])
@pytest.mark.parametrize(('offset_m', 'heading_rad'), [(0.0, 0.0), (1.5, -0.1), (-1.5, 0.1)])
def test_edges_of_the_lakes_road_are_where_the_pinhole_formula_says(
    s_m: float, offset_m: float, heading_rad: float
) -> None:
    """The kerb is pale and the asphalt beside it grey, from 5 to 14 m ahead."""
    pose = LAKE.pose(s_m, offset_m, heading_rad)
    image = render(LAKE, pose, s_m)
    looked_at = 0
    for ahead_m in np.arange(5.0, 14.0, 1.0):
        left_m = float(LAKE.left_m[int((s_m + ahead_m) / LAKE.step_m)])
        kerb = pixel_of(LAKE, pose, s_m, on_road(LAKE, s_m + ahead_m, left_m + 0.5))
        road = pixel_of(LAKE, pose, s_m, on_road(LAKE, s_m + ahead_m, left_m - 2.0))
        if all(0 <= row < 130 and 2 <= column < 318 for row, column in (kerb, road)):
            looked_at += 1
            assert image[kerb].mean() > image[road].mean() + 25.0
    assert looked_at >= 3


@pytest.mark.parametrize('s_m', [5.0, 60.0, 470.0, 615.0, 1030.0])
def test_edge_lines_of_the_jungle_are_where_the_pinhole_formula_says(s_m: float) -> None:
    """White lines stand out from what is 0.6 m further inside, on slopes as on the level."""
    pose = JUNGLE.pose(s_m)
    image = render(JUNGLE, pose, s_m).mean(axis=2)
    contrasts = []
    for ahead_m in np.arange(5.0, 11.0, 0.5):
        for side in (1.0, -1.0):
            row, column = pixel_of(JUNGLE, pose, s_m, on_road(JUNGLE, s_m + ahead_m, 4.61 * side))
            inner = pixel_of(JUNGLE, pose, s_m, on_road(JUNGLE, s_m + ahead_m, 3.7 * side))
            if 40 <= row < 128 and 4 <= column < 316 and 0 <= inner[1] < 320:
                contrasts.append(image[row, column - 2 : column + 3].max() - image[inner])
    assert len(contrasts) >= 5
    assert np.median(contrasts) > 20.0


def test_flat_road_meets_the_sky_at_the_horizon_of_the_real_camera() -> None:
    """A long straight of the lake leads to the horizon's row within a few pixels."""
    row, column = pixel_of(LAKE, LAKE.pose(300.0), 300.0, on_road(LAKE, 380.0, 0.0))
    assert row == pytest.approx(AUTONOMOUS_CAMERA.horizon_px, abs=4.0)
    image = render(LAKE, LAKE.pose(300.0), 300.0)
    asphalt = image[row + 6, column]
    assert abs(asphalt[0] - asphalt[2]) < 25.0


def test_a_crest_hides_the_road_behind_it() -> None:
    """At s 624 the road falls away 16 m ahead; 30 m ahead it lies below the line of sight."""
    s_m = 624.0
    pose = JUNGLE.pose(s_m)
    image = render(JUNGLE, pose, s_m)
    crest, behind = (
        pixel_of(JUNGLE, pose, s_m, on_road(JUNGLE, s_m + m, 0.0))[0] for m in (16.0, 30.0)
    )
    assert behind > crest + 6
    colourful = np.ptp(image[:, 145:175], axis=2).mean(axis=1)
    assert colourful[crest + 4 : crest + 20].mean() < 12.0
    assert colourful[crest - 14 : crest - 4].mean() > 18.0


def test_nose_up_shows_more_sky_than_nose_down() -> None:
    slope = JUNGLE.surface.slope
    up_m, down_m = slope.argmax() * JUNGLE.step_m, slope.argmin() * JUNGLE.step_m
    climbing, falling = (
        JUNGLE.posture(JUNGLE.project(*JUNGLE.pose(s_m)[:2], s_m), JUNGLE.pose(s_m).yaw_rad)
        for s_m in (up_m, down_m)
    )
    assert climbing.pitch_rad > 0.2 > -0.2 > falling.pitch_rad
    far = LAKE.pose(300.0)
    skies = [
        (camera_of(LAKE).render_from(far, posture._replace(height_m=1.66))[:, :, 2] > 170).sum()
        for posture in (climbing, falling)
    ]
    assert skies[0] > 2 * skies[1]


def test_the_bridge_carries_the_car_and_is_seen_from_below() -> None:
    on_top = render(JUNGLE, JUNGLE.pose(830.0), 830.0)
    row, column = pixel_of(JUNGLE, JUNGLE.pose(830.0), 830.0, on_road(JUNGLE, 840.0, 1.5))
    assert np.ptp(on_top[row, column]) < 25.0
    bridge = camera_of(HILLS)._bridges[0]
    middle = np.array([bridge.x_m + 20 * bridge.cos, bridge.y_m + 20 * bridge.sin])
    away = np.hypot(*(HILLS.centre_m - middle).T)
    away[np.abs(HILLS.height_m - bridge.z_m) < 5.0] = 99.0
    below_m = float(away.argmin()) * HILLS.step_m
    s_m = below_m - 18.0
    posture = HILLS.posture(HILLS.project(*HILLS.pose(s_m)[:2], s_m), HILLS.pose(s_m).yaw_rad)
    looking_up = posture._replace(pitch_rad=0.7)
    image = camera_of(HILLS).render_from(HILLS.pose(s_m), looking_up)
    assert (image[:130] == (62, 62, 66)).all(axis=2).sum() > 500


@pytest.mark.parametrize('track', [LAKE, JUNGLE, HILLS], ids=['lake', 'jungle', 'hills'])
def test_frames_are_rgb_and_compress_like_the_real_ones(track) -> None:
    for s_m in np.arange(0.0, track.length_m, track.length_m / 7):
        image = camera_of(track).render(track.pose(float(s_m)), float(s_m))
        assert (image.shape, image.dtype) == ((160, 320, 3), np.uint8)
        assert 5_000 < len(encode_jpeg(image)) < 18_000


def test_every_pose_beside_and_across_the_road_can_be_rendered() -> None:
    rng = np.random.default_rng(0)
    for track in (LAKE, JUNGLE, HILLS):
        for _ in range(25):
            s_m = float(rng.uniform(0.0, track.length_m))
            pose = track.pose(s_m, float(rng.uniform(-6.0, 6.0)), float(rng.uniform(-3.1, 3.1)))
            assert camera_of(track).render(pose, s_m).std() > 10.0


@pytest.mark.slow
def test_the_same_world_renders_the_same_bytes_and_another_does_not() -> None:
    again, other = ReliefCamera(open_track('hills:0')), open_track('hills:1')
    pose = HILLS.pose(100.0)
    assert np.array_equal(again.render(pose), camera_of(HILLS).render(pose))
    assert not np.array_equal(again.render(pose), ReliefCamera(other).render(other.pose(100.0)))


def test_the_training_camera_sees_the_horizon_lower() -> None:
    training = ReliefCamera(LAKE, TRAINING_CAMERA)
    pose = LAKE.pose(300.0)
    one, other = training.render(pose), camera_of(LAKE).render(pose)
    assert not np.array_equal(one, other)
    rows = [int((image[:, 40, 2] > image[:, 40, 0] + 40).sum()) for image in (one, other)]
    assert rows[0] >= rows[1] + 2


def test_each_kind_of_track_has_its_camera() -> None:
    flat = open_track(0)
    with pytest.raises(ValueError, match='flat'):
        ReliefCamera(flat)
    assert make_camera(flat)(flat.pose(0.0), 0.0).shape == (160, 320, 3)
    assert make_camera(HILLS)(HILLS.pose(0.0), 0.0).shape == (160, 320, 3)
