# SPDX-License-Identifier: Apache-2.0
"""Weather: what each kind does to a frame, and where `--weather` is accepted."""

import numpy as np
import pytest

from sim_bridge.cli.main import main
from sim_bridge.simulator.air import GroundTile, scene_maker
from sim_bridge.simulator.camera import FAR_M, Camera
from sim_bridge.simulator.cameras import make_camera
from sim_bridge.simulator.relief_camera import ReliefCamera
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from sim_bridge.simulator.tracks import open_track
from sim_bridge.simulator.weather import CLEAR, KINDS, Weather, parse_weather
from sim_bridge.simulator.weather_effects import WeatherEffect
from steering_net.vehicle import Pose
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA

SHAPE = (160, 320, 3)
GREY = np.full(SHAPE, 100, np.uint8)
FLAT = np.full(SHAPE[:2], 20.0, np.float32)


@pytest.fixture(scope='module')
def flat():
    """A frame of a flat track and its depths."""
    track = open_track(3)
    camera = Camera(track)
    return camera.render(track.pose(60.0)), camera.depth_m()


@pytest.mark.parametrize('text', ['hail:1', 'fog', 'fog:0', 'fog:4', 'fog:x', '', 'clear:1'])
def test_what_is_no_weather_is_named_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=f"weather is '{text}'; .*fog, rain, sun.*from 1 to 3"):
        parse_weather(text)


def test_weather_is_read_and_written_alike():
    for text in ('clear', 'fog:1', 'night:3'):
        assert str(parse_weather(text)) == text
    assert parse_weather('clear') == CLEAR


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_the_same_seed_gives_the_same_frames_and_more_strength_changes_them_more(kind, flat):
    frame, depth_m = flat
    pose, changes = Pose(1.0, 2.0, 0.5), []
    for strength in (1, 3):
        effect, again = (
            WeatherEffect(Weather(kind, strength), AUTONOMOUS_CAMERA, 7) for _ in range(2)
        )
        frames = [effect(frame, depth_m, pose) for _ in range(3)]
        assert all(np.array_equal(one, again(frame, depth_m, pose)) for one in frames)
        assert (frames[0].shape, frames[0].dtype) == (SHAPE, np.uint8)
        changes.append(np.abs(frames[0].astype(int) - frame).mean())
    assert 3.0 < changes[0] < changes[1]
    is_moving = not np.array_equal(frames[0], frames[1])
    assert is_moving == (kind in ('rain', 'snow', 'dusk', 'night'))


def test_fog_takes_the_contrast_of_what_is_far():
    frame = GREY.copy()
    frame[:, ::2] = 60
    depth_m = np.repeat(np.linspace(60.0, 2.0, 160, dtype=np.float32)[:, None], 320, axis=1)
    foggy = WeatherEffect(Weather('fog', 2), AUTONOMOUS_CAMERA, 0)(frame, depth_m, Pose())
    contrast = np.abs(np.diff(foggy.astype(int), axis=1)).mean(axis=(1, 2))
    assert contrast[0] < 2.0
    assert contrast[-1] > 30.0
    assert (np.diff(contrast) >= -1.0).all()


def test_headlights_reach_the_road_ahead_and_nothing_far():
    depth_m = np.repeat(np.linspace(80.0, 3.0, 160, dtype=np.float32)[:, None], 320, axis=1)
    lit = WeatherEffect(Weather('night', 1), AUTONOMOUS_CAMERA, 0)(GREY, depth_m, Pose())
    near, far, beside = lit[140, 140:180].mean(), lit[40, 140:180].mean(), lit[140, :20].mean()
    assert near > 2 * beside
    assert near > 4 * far


def test_snow_lies_still_while_the_car_moves():
    tile = GroundTile.blotches(np.random.default_rng(0), texel_m=0.3, scales=(6,), stretch=2.0)
    scenes = scene_maker(AUTONOMOUS_CAMERA)
    yaw_rad = 0.7
    there = tile.at(scenes(GREY, FLAT, Pose(4.0, -3.0, yaw_rad), 0))
    moved = Pose(4.0 + 5.0 * np.cos(yaw_rad), -3.0 + 5.0 * np.sin(yaw_rad), yaw_rad)
    closer = scenes(GREY, FLAT - 5.0, moved, 1)
    closer.left_m = closer.left_m * (20.0 / 15.0)
    assert np.allclose(tile.at(closer), there, atol=0.02)
    assert there.std() > 0.03


def test_the_sun_dazzles_only_towards_it():
    effect = WeatherEffect(Weather('sun', 3), AUTONOMOUS_CAMERA, 0)
    depth_m = np.full(SHAPE[:2], FAR_M, np.float32)
    means = [effect(GREY, depth_m, Pose(0, 0, yaw)).mean() for yaw in np.arange(-3.1, 3.1, 0.1)]
    assert max(means) > 1.3 * np.median(means)


def test_depths_of_hills_are_those_of_the_ground_and_of_the_trees():
    track = open_track('hills:1')
    camera = ReliefCamera(track)
    depth_m = np.zeros(SHAPE[:2], np.float32)
    frame = camera.render(track.pose(150.0), 150.0, depth_m)
    assert np.array_equal(frame, camera.render(track.pose(150.0), 150.0))
    assert depth_m[159, 160] == 0.5
    assert depth_m[0].max() == FAR_M
    road_m = depth_m[95:135, 160]
    assert (np.diff(road_m) < 0.0).all()
    assert 1.0 < road_m[-1] < road_m[0] < 30.0
    # On level ground below the camera a pixel is as far as in the picture of a flat track.
    flat_m = Camera(open_track(3)).depth_m()
    assert depth_m[130, 160] == pytest.approx(flat_m[130, 160], rel=0.15)
    sprite_m = np.unique(depth_m[:60][depth_m[:60] < 200.0])
    assert any((depth_m[:60] == m).sum() > 15 for m in sprite_m)


@pytest.mark.slow
def test_a_drive_has_its_weather_on_flat_tracks_and_on_hills():
    for name in (3, 'hills:1'):
        track = open_track(name)
        s_m, pose = 60.0, track.pose(60.0)
        clear, foggy = (
            make_camera(track, weather=w)(pose, s_m) for w in (CLEAR, Weather('fog', 3))
        )
        assert clear[100:].std() > 1.3 * foggy[100:].std()
    options = SimulatorOptions(track=3, weather=Weather('night', 3))
    dark, light = Simulator(options).jpeg(), Simulator(SimulatorOptions(track=3)).jpeg()
    assert len(dark) < len(light)


@pytest.mark.parametrize(
    'words',
    [
        ['simulate', '--weather', 'hail:1'],
        ['drive', '--weather', 'hail:1'],
        ['drive', '--weather', 'fog:2', '--simulator', 'external'],
        ['evaluate', 'closed-loop', '--weather', 'fog:7'],
    ],
)
def test_a_bad_weather_ends_a_verb_with_one_line(words, capfd):
    assert main(words) == 2
    line = capfd.readouterr().err
    assert line.count('\n') == 1
    assert '--weather' in line
