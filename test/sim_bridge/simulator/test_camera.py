# SPDX-License-Identifier: Apache-2.0
"""The camera's geometry, checked against the pinhole formula on rendered pixels."""

import math

import numpy as np
import pytest

from helpers.lazy import Lazy
from sim_bridge.simulator.camera import FAR_M, Camera
from sim_bridge.simulator.look import make_look
from sim_bridge.simulator.track import make_track
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import (
    AUTONOMOUS_CAMERA,
    Pinhole,
    above_horizon,
    find_camera,
)
from steering_net.vision.jpeg import encode_jpeg

TRACK = Lazy(lambda: make_track(0))


def project_ground(forward_m: float, left_m: float) -> tuple[float, float]:
    """Image coordinates (column, row) of a ground point given in the car's frame."""
    column, row = AUTONOMOUS_CAMERA.project(np.array([[forward_m, left_m]]))[0]
    return float(column), float(row)


def plain_camera(params: Pinhole = AUTONOMOUS_CAMERA) -> Camera:
    """Bright road, black surroundings, no decoration: its edges can be measured."""
    look = make_look(0)
    black = (0.0, 0.0, 0.0)
    look = look.__class__(
        **{
            **vars(look),
            'road': (220.0, 220.0, 220.0),
            'shoulder': black,
            'ground': (black, black),
            'edge': 'bare',
            'dashes': False,
            'light': (1.0, 1.0, 1.0),
            'grain': 0.0,
            'shade': 0.0,
        }
    )
    return Camera(TRACK, params, look)


PLAIN = Lazy(plain_camera)


def beside_edge(pose: Pose, side: float, outside_m: float) -> list[tuple[int, int]]:
    """Pixels (row, column) of a line along one edge of the road, up to 9 m ahead of the car."""
    s_m = TRACK.project(pose.x_m, pose.y_m).s_m
    pixels = []
    for ahead_m in np.arange(2.0, 9.0, 0.25):
        half_width_m = float(TRACK.half_width_m[int((s_m + ahead_m) / TRACK.step_m)])
        point = TRACK.pose(s_m + ahead_m, side * (half_width_m + outside_m))
        dx_m, dy_m = point.x_m - pose.x_m, point.y_m - pose.y_m
        cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
        forward_m, left_m = dx_m * cos + dy_m * sin, dy_m * cos - dx_m * sin
        if forward_m > 3.0:
            column, row = project_ground(forward_m, left_m)
            pixels.append((int(row), int(column)))
    return [(row, column) for row, column in pixels if 0 <= column < 320 and row < 134]


@pytest.mark.parametrize('side', [1.0, -1.0])
@pytest.mark.parametrize('heading_rad', [-0.3, 0.0, 0.3])
@pytest.mark.parametrize(('s_m', 'offset_m'), [(20.0, 0.0), (110.0, 2.5), (250.0, -2.5)])
def test_road_ends_where_the_pinhole_formula_says(
    s_m: float, offset_m: float, heading_rad: float, side: float
) -> None:
    pose = TRACK.pose(s_m, offset_m, heading_rad)
    brightness = PLAIN.render(pose).astype(float).mean(axis=-1)
    assert all(brightness[pixel] > 110.0 for pixel in beside_edge(pose, side, -0.3))
    assert all(brightness[pixel] < 110.0 for pixel in beside_edge(pose, side, 0.3))


@pytest.mark.parametrize(
    ('pose', 'seen'),
    [
        ('pitch:45', 5), ('pitch:29', 5), ('pitch:-10', 5), ('pitch:-25', 0), ('pitch:-45', 0),
        ('roll:45', 5), ('roll:-45', 5), ('height:10', 5), ('height:0.2', 5),
        ('pitch:45/roll:-45/height:10', 5), ('pitch:-45/roll:45/height:0.2', 0),
    ],
)  # fmt: skip
def test_every_pose_renders_and_shows_the_road_where_it_is(pose: str, seen: int) -> None:
    params = find_camera(pose)
    car = TRACK.pose(20.0)
    camera = plain_camera(params)
    image, depth_m = camera.render(car), camera.depth_m()
    assert (depth_m[:130][above_horizon(params)[:130] > 0] == FAR_M).all()
    assert 0.0 <= depth_m.min() <= depth_m.max() <= FAR_M
    assert (image.shape, image.dtype) == ((160, 320, 3), np.uint8)
    middle = [TRACK.pose(20.0 + ahead_m) for ahead_m in np.arange(2.0, 25.0, 0.5)]
    points_m = np.array([(point.x_m - car.x_m, point.y_m - car.y_m) for point in middle])
    cos, sin = math.cos(car.yaw_rad), math.sin(car.yaw_rad)
    columns, rows = params.project(points_m @ [[cos, -sin], [sin, cos]]).T.astype(int)
    inside = (rows >= 0) & (rows < 134) & (columns >= 0) & (columns < 320)
    brightness = image.astype(float).mean(axis=-1)[rows[inside], columns[inside]]
    assert len(brightness) >= seen
    assert (brightness > 110.0).all()


def test_edges_are_really_looked_at() -> None:
    poses = [TRACK.pose(s_m, o_m) for s_m, o_m in ((20.0, 0.0), (110.0, 2.5), (250.0, -2.5))]
    counts = [len(beside_edge(pose, side, 0.3)) for pose in poses for side in (1.0, -1.0)]
    assert sum(counts) > 40


def test_horizon_is_where_the_real_camera_has_it() -> None:
    assert AUTONOMOUS_CAMERA.horizon_px == pytest.approx(57.6, abs=0.1)
    column, row = project_ground(1e6, 0.0)
    # The camera looks a little to the right, so that straight ahead lies left of the middle.
    assert column == pytest.approx(158.7, abs=0.1)
    fall = (column - 160.0) * AUTONOMOUS_CAMERA.horizon_slope
    assert row == pytest.approx(AUTONOMOUS_CAMERA.horizon_px + fall, abs=0.01)


def test_the_horizons_right_end_is_lower_than_its_left_one() -> None:
    assert 320 * AUTONOMOUS_CAMERA.horizon_slope == pytest.approx(6.7, abs=0.1)


def test_what_lies_left_is_drawn_left() -> None:
    assert project_ground(10.0, 2.0)[0] < 160.0 < project_ground(10.0, -2.0)[0]
    from_the_left = PLAIN.render(TRACK.pose(40.0, 3.0))[90].astype(float).sum(axis=-1)
    assert from_the_left[160:].sum() > from_the_left[:160].sum()


def test_turning_left_moves_the_hills_right() -> None:
    before = PLAIN.render(TRACK.pose(40.0))[40:60]
    after = PLAIN.render(TRACK.pose(40.0, heading_error_rad=0.1))[40:60]
    shift = round(AUTONOMOUS_CAMERA.focal_px * np.tan(0.1))
    straight = np.abs(before[:, 130:170].astype(int) - after[:, 130:170]).mean()
    right = before[:, 130:170].astype(int) - after[:, 130 + shift : 170 + shift]
    left = before[:, 130:170].astype(int) - after[:, 130 - shift : 170 - shift]
    assert np.abs(right).mean() < min(straight, np.abs(left).mean())


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 3, 7, 1000])
def test_frames_are_rgb_and_compress_like_the_real_ones(seed: int) -> None:
    track = make_track(seed)
    camera = Camera(track)
    for s_m in (0.0, 120.0, 240.0):
        image = camera.render(track.pose(s_m))
        assert (image.shape, image.dtype) == ((160, 320, 3), np.uint8)
        assert 6_000 < len(encode_jpeg(image)) < 13_500
        assert image[:20].astype(int)[..., 2].mean() > 90


def test_same_seed_renders_the_same_bytes_and_another_does_not() -> None:
    track, other = make_track(5), make_track(6)
    first, again = Camera(track), Camera(track)
    assert np.array_equal(first.render(track.pose(9.0)), again.render(track.pose(9.0)))
    assert not np.array_equal(first.render(track.pose(9.0)), Camera(other).render(other.pose(9.0)))


def test_looks_differ_in_edges_road_and_light() -> None:
    looks = [make_look(seed) for seed in range(30)]
    assert {look.edge for look in looks} == {'line', 'kerb', 'bare'}
    assert len({look.road for look in looks}) == 30
    assert np.ptp([look.light[0] for look in looks]) > 0.2
