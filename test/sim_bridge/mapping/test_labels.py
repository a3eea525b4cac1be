# SPDX-License-Identifier: Apache-2.0
"""Labels of placed recordings are the steering of the expert at the true poses."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from helpers.drives import driven, edges_seen, headings
from helpers.training import BELOW, PLAIN
from sim_bridge.mapping.course import course_of
from sim_bridge.mapping.labels import MapLabels, expert_rad
from sim_bridge.mapping.placement import Placement
from sim_bridge.simulator import expert
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.track import make_track
from sim_bridge.simulator.tracks import open_track
from steering_net.data.driving_log import LogError, read_log, recorder_row
from steering_net.training.labels import Labelling, of_log
from steering_net.training.recorded_frames import LogSource, recorded_frames
from steering_net.vehicle import REAR_AXLE_M, Pose
from steering_net.vision.camera_model import TRAINING_CAMERA


def against(track):
    """A flat track that runs against another one."""
    order = -np.arange(len(track.yaw_rad))
    return replace(
        track,
        centre_m=track.centre_m[order],
        yaw_rad=np.unwrap(track.yaw_rad[order] + np.pi),
        curvature_1pm=-track.curvature_1pm[order],
        surface=None,
    )


def road(name, is_reversed):
    """A course, and the track that a car on it drives forwards."""
    track = open_track(name)
    return course_of(track, is_reversed), against(track) if is_reversed else track


def poses(course, s_m, left_m):
    """Poses of the origin of a car whose rear axle moves through these places."""
    yaw_rad = headings(course, s_m, left_m)
    for x, y, yaw in zip(*course.beside(s_m, left_m), yaw_rad, strict=True):
        yield Pose(x + REAR_AXLE_M * np.cos(yaw), y + REAR_AXLE_M * np.sin(yaw), yaw)


def right_rad(track, course, s_m, left_m):
    """The steering of the embedded expert at the true poses."""
    places = zip(poses(course, s_m, left_m), s_m, strict=True)
    return np.array(
        [expert.pursuit_steering_rad(track, pose, s + REAR_AXLE_M) for pose, s in places]
    )


@pytest.mark.parametrize('is_reversed', [False, True])
@pytest.mark.parametrize(('name', 'rms_rad'), [('lake', 0.0005), ('jungle', 0.006)])
def test_labels_of_known_poses_are_those_of_rendered_frames(name, rms_rad, is_reversed):
    """Measured: 0.0002 and 0.0044 rad RMS, because rendered frames take the nearest sample."""
    course, track = road(name, is_reversed)
    rng, count = np.random.default_rng(0), 500
    s_m = rng.uniform(0.0, 2.0 * course.length_m, count)
    left_m, heading_rad = rng.uniform(-2.0, 2.0, count), rng.uniform(-0.3, 0.3, count)
    unused = np.zeros(count)
    placement = Placement(
        name, is_reversed, slice(0, count), course.on_track(s_m), left_m, heading_rad,
        np.zeros((count, 3)), s_m, unused, 1.0, count,
    )  # fmt: skip
    expected = [
        expert.pursuit_steering_rad(track, placement.pose(row), s) for row, s in enumerate(s_m)
    ]
    errors_rad = expert_rad(placement, expert.LOOK_AHEAD_M) - expected
    assert np.sqrt(np.mean(errors_rad**2)) < rms_rad


@pytest.mark.parametrize('is_reversed', [False, True])
def test_labels_of_a_drive_are_those_of_its_true_poses(is_reversed):
    """Measured: 0.008 rad RMS and a correlation of 0.987 and 0.993; labels deviate by 0.05."""
    course, track = road('lake', is_reversed)
    recording, s_m, left_m = driven(course, 750.0, 600.0, noise_rad=0.02, offset_m=1.5)
    seen = list(edges_seen(course, s_m, left_m))
    labels_rad = MapLabels()(recording, seen, expert.LOOK_AHEAD_M)
    expected = right_rad(track, course, s_m, left_m)
    assert np.sqrt(np.mean((labels_rad - expected) ** 2)) < 0.011
    assert np.corrcoef(labels_rad, expected)[0, 1] > 0.98


def test_a_longer_way_back_to_the_middle_steers_less():
    course, _ = road('lake', False)
    recording, s_m, left_m = driven(course, 750.0, 600.0, offset_m=1.5)
    seen = list(edges_seen(course, s_m, left_m))
    near, far = (MapLabels()(recording, seen, look_ahead_m) for look_ahead_m in (8.0, 16.0))
    aside = np.abs(left_m) > 1.0
    assert np.all((far - near)[aside] * left_m[aside] > 0.0)


def test_drives_on_a_flat_track_have_no_labels_and_the_reason_of_the_longest_is_told(logged):
    course, labels = course_of(make_track(1000)), MapLabels()
    labels.check()
    for length_m in (90.0, 350.0, 80.0):
        recording, s_m, _ = driven(course, 0.0, length_m)
        assert np.isnan(labels(recording, [None] * len(s_m), 8.0)).all()
    short, told, _ = logged.messages
    assert short == 'drawn: rows 0-99 not placed: it is 88 m long; it must be 240 m'
    assert 'not placed: its steering fits no known track; the best is' in told
    with pytest.raises(LogError) as refused:
        labels.check()
    assert str(refused.value) == f'no frame can be placed on a known track; {told}'
    known, s_m, _ = driven(road('jungle', False)[0], 300.0, 250.0)
    assert np.isfinite(labels(known, [None] * len(s_m), 8.0)).all()
    labels.check()


def test_samples_of_a_drive_get_the_labels_of_the_whole_run(tmp_path, logged):
    """Measured: 0.014 rad RMS, with the edges of the road in every sixth frame."""
    course, track = road('lake', False)
    recording, s_m, left_m = driven(course, 750.0, 600.0, offset_m=1.0)
    render = make_camera(track, TRAINING_CAMERA)
    times = [f'{i // 600:02}_{i // 10 % 60:02}_{i % 10}00' for i in range(len(recording))]
    names = [f'center_2026_11_17_12_{time}.jpg' for time in times]
    columns = (names, recording.steering_rad, recording.speed_mps)
    rows = [
        recorder_row(name, steering_rad, 0.5, speed_mps)
        for name, steering_rad, speed_mps in zip(*columns, strict=True)
    ]
    (tmp_path / 'whole.csv').write_text(''.join(rows), encoding='utf-8')
    samples = range(0, len(rows), 6)
    (tmp_path / 'samples.csv').write_text(''.join(rows[i] for i in samples), encoding='utf-8')
    places = list(zip(poses(course, s_m, left_m), s_m, strict=True))
    for i in samples:
        pose, s = places[i]
        frame = render(pose, s + REAR_AXLE_M)
        cv2.imwrite(str(tmp_path / names[i]), frame[..., ::-1])
    source = LogSource(tmp_path / 'samples.csv', (tmp_path / 'whole.csv',), camera='training')

    def labels(delay_s):
        words = {'labelling': Labelling('map', delay_s, expert.LOOK_AHEAD_M)}
        found = recorded_frames([source], PLAIN, BELOW, on_map=MapLabels(), **words)
        return found.steering_rad

    expected = right_rad(track, course, s_m, left_m)
    assert np.sqrt(np.mean((labels(0.0) - expected[samples]) ** 2)) < 0.018
    before = expected[np.maximum(np.array(samples) - 5, 0)]
    assert np.sqrt(np.mean((labels(0.5) - before) ** 2)) < 0.018
    assert logged.messages == []


def test_runs_of_several_folders_are_told_by_the_image_that_their_rows_count_from(
    tmp_path, logged
):
    path = tmp_path / 'frames.csv'
    names = [f'{folder}/{folder}{i}.jpg' for i in range(5) for folder in 'ab']
    rows = [f'{name},{i // 2 / 10},0,30' for i, name in enumerate(names)]
    path.write_text('\n'.join(['frame,timestamp_s,steering,speed_mph', *rows]), 'utf-8')
    log, seen = read_log(path), [None] * len(names)
    known = {f'a{i}.jpg': 0.1 * i for i in range(5)}
    labels = of_log(log, Labelling('map'), seen, known, MapLabels())
    np.testing.assert_array_equal(labels[::2], list(known.values()))
    assert np.isnan(labels[1::2]).all()
    reason = 'rows 0-4 not placed: it is 5 m long; it must be 240 m'
    assert logged.messages == [f'{path} from b/b0.jpg on: {reason}']
