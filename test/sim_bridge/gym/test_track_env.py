# SPDX-License-Identifier: Apache-2.0
"""The Gymnasium environment: its interface, its world, its ends and its seeds."""

import math
import re
import runpy
import subprocess
import sys
import warnings

import numpy as np
import pytest

from helpers.paths import DOCS
from sim_bridge.evaluation import closed_loop
from steering_net.vehicle import MAX_STEERING_RAD

gymnasium = pytest.importorskip('gymnasium', reason="needs gymnasium: pip install '.[gym]'")

NAME = 'sim_bridge.gym:sim_bridge/Track-v0'
LEFT = np.array([1.0, 1.0], np.float32)


def make(**options):
    return gymnasium.make(NAME, **options)


@pytest.fixture(scope='module')
def flat():
    """An environment with the throttle in the action, on one flat track."""
    env = make(tracks=1000)
    yield env
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    'options', [{'render_mode': 'rgb_array'}, {'with_speed': True, 'speed_limit_mps': 6.7}]
)
def test_checker_of_gymnasium_finds_nothing(options):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_env(make(tracks=1000, **options).unwrapped)


def run(env, seed, steps=12):
    """Everything that comes out of one run with random actions, as bytes and numbers."""
    frame, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    seen = [frame.tobytes(), info]
    for _ in range(steps):
        frame, *rest = env.step(env.action_space.sample())
        seen += [frame.tobytes(), rest]
    return seen


@pytest.mark.slow
def test_same_seed_gives_the_same_run_whatever_was_before():
    """Rain has other drops on each frame, and 60 frames/s are no whole physics steps."""
    options = {'tracks': '1000,1001', 'weather': 'rain:1', 'hz': 60.0}
    env, other = make(**options), make(**options)
    first = run(env, 7)
    assert run(env, 8) != first
    assert run(env, 7) == first
    assert run(other, 7) == first


@pytest.mark.slow
def test_world_is_that_of_the_closed_loop():
    actions = 0.2 * np.sin(np.arange(240, dtype=np.float32) / 20)
    angles = iter(MAX_STEERING_RAD * actions.astype(np.float64))
    driven = closed_loop.drive(3, 1, 8.0, lambda jpeg: next(angles), longest_s=3.99)
    env = make(tracks=3, hz=60.0, speed_limit_mps=8.0, random_start=False)
    env.reset(seed=0)
    path = []
    for action in actions:
        *_, info = env.step(np.array([action]))
        path.append((info['x_m'], info['y_m']))
    assert len(driven.path_m) == len(path) == 240
    assert np.array_equal(driven.path_m, path)
    report = env.unwrapped.report()
    assert report == {name: driven.report[name] for name in report}
    assert report['distance_m'] > 5.0


@pytest.mark.slow
def test_expert_completes_a_lap_and_is_paid_for_its_metres():
    env = make(tracks=1000, hz=10.0, speed_limit_mps=13.4, with_speed=True)
    seen, info = env.reset(seed=0)
    assert seen['speed_mps'] == 0.0
    total, ended = 0.0, False
    while not ended:
        seen, reward, ended, truncated, info = env.step(np.array([info['expert_steering']]))
        total += reward
        assert not truncated
    assert info['laps'] == 1
    assert info['lane_departures'] == 0
    length_m = env.unwrapped._simulator.track.length_m
    assert total == pytest.approx(length_m, abs=2.0)
    assert seen['speed_mps'][0] == pytest.approx(info['speed_mps'])


def test_lost_car_ends_the_episode_and_costs(flat):
    from sim_bridge.gym.track_env import DEPARTURE_COST, LOST_COST

    flat.reset(seed=0)
    rewards, ended = [], False
    while not ended:
        _, reward, ended, _, info = flat.step(LEFT)
        rewards.append(reward)
    assert len(rewards) < 200
    assert info['off_road']
    assert info['laps'] == 0
    assert rewards[-1] < -0.9 * LOST_COST
    assert sum(-DEPARTURE_COST - 1 < reward < 1 - DEPARTURE_COST for reward in rewards) == 1


def test_car_brakes_with_a_negative_throttle(flat):
    _, info = flat.reset(seed=1)
    for _ in range(50):
        *_, info = flat.step(np.array([info['expert_steering'], 1.0]))
    fast_mps = info['speed_mps']
    for _ in range(15):
        *_, info = flat.step(np.array([info['expert_steering'], -1.0]))
    assert fast_mps > 6.0
    assert 1.0 < info['speed_mps'] < fast_mps - 3.0


@pytest.mark.parametrize('action', [[math.nan, 0.0], [0.0, -math.inf], [0.0], [0.0, 0.0, 0.0]])
def test_action_that_no_car_can_follow_is_told(flat, action):
    """A network that has diverged would drive at full lock and full throttle otherwise."""
    flat.reset(seed=0)
    with pytest.raises(ValueError, match='the action is '):
        flat.unwrapped.step(np.array(action, np.float32))


def test_rendering_is_the_frame_that_was_observed():
    env = make(tracks=1000, render_mode='rgb_array', camera='training', random_start=False)
    frame, info = env.reset(seed=0)
    assert info['cross_track_m'] == pytest.approx(0.0, abs=1e-3)
    assert np.array_equal(env.render(), frame)
    other, _ = make(tracks=1000, random_start=False).reset(seed=0)
    assert not np.array_equal(other, frame), 'another camera sees another frame'


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'tracks': 'moon'}, 'track is moon'),
        ({'weather': 'hail'}, "weather is 'hail'"),
        ({'camera': 'pitch:90'}, 'pitch is 90'),
        ({'hz': 1.0}, 'hz is 1.0; it must be 10..1000'),
        ({'hz': float('nan')}, 'hz is nan; it must be 10..1000'),
        ({'laps': -1}, 'laps is -1'),
        ({'speed_limit_mps': 0.0}, 'speed_limit_mps is 0.0; it must be greater than 0'),
    ],
)
def test_wrong_option_is_named(options, named):
    with pytest.raises(ValueError, match=named):
        make(**options)


def test_programs_in_the_docs_run(monkeypatch, capsys, tmp_path):
    import sim_bridge.gym

    spec = gymnasium.spec(sim_bridge.gym.TRACK_ID)
    monkeypatch.setattr(spec, 'max_episode_steps', 20)
    page = (DOCS / 'gym.md').read_text(encoding='utf-8')
    for program in re.findall(r'```python\n(.*?)```', page, re.S):
        path = tmp_path / 'program.py'
        path.write_text(program, encoding='utf-8')
        runpy.run_path(str(path))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith('0.8 s, return ')
    assert "'lane_departures': 0" in second


def test_without_gymnasium_one_line_says_what_to_install():
    program = "import sys; sys.modules['gymnasium'] = None; import sim_bridge.gym"
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=False
    )
    last = result.stderr.splitlines()[-1]
    assert last == "ImportError: sim_bridge.gym needs gymnasium: pip install 'sim_bridge[gym]'"
