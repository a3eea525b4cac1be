# SPDX-License-Identifier: Apache-2.0
"""Recordings are placed on the lake and the jungle, or the reason is told why not."""

import csv
import json
import math

import cv2
import numpy as np
import pytest

from helpers.drives import SPEED_MPS, driven, edges_seen, recording_of
from helpers.processes import run_verb
from sim_bridge.mapping import report
from sim_bridge.mapping.course import course_of
from sim_bridge.mapping.placement import Refusal, beyond_road_m, locate
from sim_bridge.mapping.reference import on_map
from sim_bridge.mapping.surface import RoadView, stand_on
from sim_bridge.simulator.tracks import open_track
from steering_net.data.driving_log import LogError
from steering_net.evaluation.data_driven import Offset
from steering_net.vehicle import REAR_AXLE_M, Pose
from steering_net.vision.camera_model import TRAINING_CAMERA


def placed(recording, seen=None):
    (result,) = locate(recording, seen or [None] * len(recording))
    return result


@pytest.fixture(scope='module')
def courses():
    return {name: course_of(open_track(name)) for name in ('lake', 'jungle')}


@pytest.mark.parametrize(
    ('name', 'start_m', 'length_m'), [('lake', 900.0, 700.0), ('jungle', 1300.0, 500.0)]
)
def test_a_drive_is_found_on_its_track_across_the_start_of_the_lap(
    courses, name, start_m, length_m
):
    recording, s_m, left_m = driven(courses[name], start_m, length_m)
    found = placed(recording)
    assert (found.track, found.is_reversed) == (name, False)
    assert found.correlation > 0.95
    # The origin is ahead of the rear axle.
    along_m = found.progress_m - s_m - REAR_AXLE_M
    assert np.sqrt(np.mean(along_m**2)) < 2.0
    assert np.sqrt(np.mean((found.left_m - left_m) ** 2)) < 0.7
    assert np.abs(found.heading_rad).max() < 0.4
    assert np.all(beyond_road_m(found) < 0.0)
    assert np.all((found.s_m >= 0.0) & (found.s_m < courses[name].length_m))


def test_sightings_of_the_middle_give_the_offset(courses):
    """Without frames the offset is a guess; with edges in the frames it is measured."""
    course = courses['lake']
    recording, s_m, left_m = driven(course, 750.0, 600.0, noise_rad=0.02, offset_m=1.5)
    edges = list(edges_seen(course, s_m, left_m))
    blind, seeing = placed(recording), placed(recording, edges)
    errors_m = [np.sqrt(np.mean((p.left_m - left_m) ** 2)) for p in (blind, seeing)]
    assert errors_m[1] < 0.25
    assert errors_m[1] < errors_m[0]
    assert (blind.sightings, seeing.sightings) == (0, len(s_m))
    assert np.median(seeing.sigma[:, 1]) < np.median(blind.sigma[:, 1])


def test_a_drive_against_the_direction_is_placed_with_offsets_of_its_driver(courses):
    course = course_of(open_track('lake'), is_reversed=True)
    recording, s_m, left_m = driven(course, 200.0, 600.0)
    found = placed(recording)
    assert (found.track, found.is_reversed) == ('lake', True)
    assert np.median(np.abs(found.left_m - left_m)) < 0.7
    # The lap counts in the direction of the track.
    assert found.s_m[0] == pytest.approx(course.length_m - s_m[0] - REAR_AXLE_M, abs=5.0)


@pytest.mark.parametrize(
    ('steering', 'reason'),
    [
        (lambda n: 0.05 * np.sin(np.arange(n) / 7.0), 'fits no known track'),
        (lambda n: np.zeros(n), 'fits'),
    ],
)
def test_a_drive_somewhere_else_is_not_placed(steering, reason):
    count = 600
    result = placed(recording_of(steering(count), np.full(count, SPEED_MPS)))
    assert isinstance(result, Refusal)
    assert reason in result.reason
    with pytest.raises(LogError, match='0% of the frames of drawn could be placed'):
        on_map(recording_of(steering(count), np.full(count, SPEED_MPS)))


@pytest.mark.slow
def test_a_drive_on_hills_like_the_jungle_is_not_placed_there():
    """The pieces of road are like those of the jungle, so that a short drive nearly fits."""
    recording, *_ = driven(course_of(open_track('hills:44')), 360.0, 300.0, offset_m=0.0)
    assert 'correlates with the driven one by' in placed(recording).reason


def test_short_runs_and_recordings_without_speed_are_not_placed(courses):
    recording, *_ = driven(courses['jungle'], 0.0, 60.0)
    assert 'it is 59 m long' in placed(recording).reason
    assert 'holds no speed' in placed(recording_of(np.zeros(50), np.zeros(50))).reason


def test_the_report_names_places_and_reasons_and_writes_table_and_map(courses, tmp_path):
    recording, s_m, _ = driven(courses['jungle'], 300.0, 250.0)
    results = [placed(recording), Refusal(slice(300, 320), 'it is 9 m long')]
    text = '\n'.join(report.lines(results))
    assert 'rows 0-277 on jungle, 301 m to 550 m, 0.17 laps' in text
    assert 'rows 300-319 not placed: it is 9 m long' in text
    found, refused = report.figures(results)
    assert found['track'] == 'jungle'
    assert json.dumps([found, refused])
    table, picture = report.write(tmp_path, 'drawn', recording, results)
    rows = list(csv.DictReader(table.open(encoding='utf-8')))
    assert len(rows) == len(s_m)
    assert float(rows[0]['s_m']) == pytest.approx(301.6, abs=3.0)
    assert picture.read_bytes().startswith(b'\x89PNG')
    assert report.write(tmp_path, 'none', recording, results[1:]) == []


def test_the_middle_of_the_map_is_the_reference_line(courses):
    recording, *_ = driven(courses['jungle'], 300.0, 250.0)
    line, see = on_map(recording)
    found = placed(recording)
    assert line.name == 'map'
    np.testing.assert_allclose(line.left_m * np.cos(found.heading_rad), -found.left_m)
    frame = np.repeat(np.add.outer(np.arange(160), np.arange(320) // 4)[..., None], 3, axis=2)
    frame = frame.astype(np.uint8)
    assert np.abs(see(5, frame, Offset()).astype(int) - frame).max() <= 2


def test_places_of_a_hilly_road_are_seen_where_the_other_car_sees_them(courses):
    track = open_track('jungle')
    recording, *_ = driven(courses['jungle'], 300.0, 250.0)
    found = placed(recording)
    view = RoadView(found, 'training')
    slopes = np.abs(track.surface.slope[(found.s_m / track.step_m).astype(int)])
    rows = np.flatnonzero(slopes > 0.2)[::12]
    assert len(rows) > 3
    offset = Offset(0.5, 0.03)
    for row in rows:
        s_m, own = float(found.s_m[row]), found.pose(row)
        sideways = REAR_AXLE_M * (math.cos(offset.yaw_rad) - 1.0)
        cos, sin = math.cos(own.yaw_rad), math.sin(own.yaw_rad)
        other = Pose(
            own.x_m + sideways * cos - offset.origin_m * sin,
            own.y_m + sideways * sin + offset.origin_m * cos,
            own.yaw_rad + offset.yaw_rad,
        )
        index = round((s_m + 6.0) / track.step_m)
        point = np.array([*track.centre_m[index], track.height_m[index]])[:, None]
        was, now = (
            stand_on(track, pose, s_m).image_of(TRAINING_CAMERA, point)[:, 0]
            for pose in (own, other)
        )
        frame = np.zeros((160, 320, 3), np.uint8)
        cv2.circle(frame, tuple(int(value) for value in was), 3, (255, 255, 255), -1)
        seen = np.argwhere(view(row, frame, offset)[..., 0] > 100).mean(axis=0)
        assert math.dist(seen, now[::-1]) < 2.0
        assert math.dist(was, now) > 3.0


def test_locate_prints_why_a_recording_has_no_place(tmp_path):
    rows = ['frame,timestamp_s,steering,throttle,brake,speed_mph']
    rows += [f'{index}.jpg,{0.1 * index:.1f},0.0,0.3,0,20' for index in range(40)]
    (tmp_path / 'frames.csv').write_text('\n'.join(rows), encoding='utf-8')
    done = run_verb('data', str(tmp_path), '--locate', '--json', str(tmp_path / 'out.json'))
    assert done.returncode == 0
    assert 'on a map  rows 0-39 not placed: it is 35 m long; it must be 240 m' in done.stdout
    written = json.loads((tmp_path / 'out.json').read_text(encoding='utf-8'))
    assert written['sources'][0]['places'][0]['rows'] == [0, 40]
