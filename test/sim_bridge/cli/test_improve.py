# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge improve`: its table, its networks, and what it refuses."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sim_bridge.cli.main import main
from sim_bridge.evaluation import evaluator
from sim_bridge.evaluation.evaluator import Trial
from sim_bridge.training import dagger
from steering_net.errors import ModelError
from steering_net.inference.predictor import default_model
from steering_net.model_io.model_config import read_sidecar, write_sidecar
from steering_net.vision.profile import find_profile


def test_tracks_that_are_learnt_on_do_not_judge(tmp_path, capsys):
    words = ['--out', str(tmp_path), '--tracks', '1000-1003,lake', '--judge', '0,1003,lake']
    assert main(['improve', *words]) == 2
    told = capsys.readouterr().err
    assert told == (
        'sim-bridge improve: --judge has the tracks 1003, lake of --tracks; name other ones\n'
    )


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--rounds', '0'], '--rounds is 0; it must be 1 or greater'),
        (['--samples', '9'], '--samples is 9; it must be 10 or greater'),
        (['--seed', '-1'], '--seed is -1; it must be 0..2**32 - 1'),
        (['--model', 'no.keras'], '--model: there is no file no.keras'),
        (['--speed-limit', '0'], '--speed-limit is 0.0'),
    ],
)
def test_mistake_is_told_in_one_line(words, reason, tmp_path, capsys):
    assert main(['improve', '--out', str(tmp_path / 'out'), *words]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_each_network_is_judged_and_the_best_one_is_named(tmp_path, capsys, monkeypatch):
    """The training has its own tests; here its networks are the shipped one."""
    calls = []

    def train_in_rounds(config, recorded, tracks, workers, on_network):
        calls.append((config, len(recorded.steering_rad), tracks))
        for _ in range(1 + tracks.rounds):
            on_network(default_model())

    monkeypatch.setattr(dagger, 'train_in_rounds', train_in_rounds)
    words = ['--out', str(tmp_path), '--tracks', '1000', '--judge', '0', '--seconds', '1']
    words += ['--rounds', '1', '--workers', '1']
    assert main(['improve', *words]) == 0
    title, *rows, best = capsys.readouterr().out.splitlines()
    assert title.split('  ')[-1].strip() == 'max m'
    assert [' '.join(row.split()[:-4]) for row in rows] == ['before', 'round 0', 'round 1']
    assert {tuple(row.split()[-4:-2]) for row in rows} == {('0', '0')}
    assert {len(row) for row in (title, *rows)} == {75}
    assert best == f'best: before, {default_model()}'
    ((config, recorded, tracks),) = calls
    assert (config.start_from, config.profile) == ((default_model(),), 'course')
    assert (recorded, tracks.names, tracks.rounds) == (0, [1000], 1)


@pytest.mark.slow
def test_a_network_keeps_the_unit_of_its_output(tmp_path, monkeypatch):
    network = tmp_path / 'radians.keras'
    shutil.copy(default_model(), network)
    sidecar = read_sidecar(default_model())
    write_sidecar(network, replace(sidecar, litert_sha256='', steering_scale_rad=1.0))
    configs = []

    def train_in_rounds(config, *_, **__):
        configs.append(config)

    monkeypatch.setattr(dagger, 'train_in_rounds', train_in_rounds)
    words = ['--out', str(tmp_path / 'out'), '--tracks', '1000', '--judge', '0', '--seconds', '1']
    assert main(['improve', '--model', str(network), *words, '--workers', '1']) == 0
    assert find_profile(configs[0].profile).steering_scale_rad == 1.0


def copied(folder):
    """Copy the shipped network to `pilotnet.keras` in a folder."""
    folder.mkdir(parents=True)
    return Path(shutil.copy(default_model(), folder / 'pilotnet.keras'))


@pytest.mark.slow
@pytest.mark.parametrize('folder', ['better', 'better/round-0'])
def test_the_network_to_improve_is_not_replaced(folder, tmp_path, capsys):
    network = copied(tmp_path / folder)
    before = network.read_bytes()
    words = ['--model', str(network), '--out', str(tmp_path / 'better'), '--rounds', '1']
    assert main(['improve', *words]) == 2
    told = capsys.readouterr()
    assert f'starts from {network} and would replace {network}' in told.err
    assert 'departures' not in told.out
    assert network.read_bytes() == before


@pytest.fixture
def judged(monkeypatch):
    """Judge with the reports in the returned list, in place of drives."""
    reports = []
    counts = {'lane_departures': 0, 'interventions': 0, 'max_cross_track_m': 1.0}

    def on_tracks(*_, **__):
        return Trial(lambda *_: counts | reports.pop(0), 'autonomous')

    monkeypatch.setattr(evaluator, 'on_tracks', on_tracks)
    return reports


def improve(folder, *words):
    return main(['improve', '--out', str(folder), '--rounds', '1', '--workers', '1', *words])


@pytest.mark.slow
def test_an_interrupted_run_is_found_before_the_judging_and_resumed(
    tmp_path, capsys, monkeypatch, judged
):
    (tmp_path / 'round-0' / 'pilotnet.resume').mkdir(parents=True)
    assert improve(tmp_path) == 2
    told = capsys.readouterr()
    assert 'round-0/pilotnet.resume is an unfinished training: resume it' in told.err
    assert not told.out
    resumed = []
    monkeypatch.setattr(dagger, 'train_in_rounds', lambda config, *_, **__: resumed.append(config))
    judged.append({'rms_cross_track_m': 0.2})
    assert improve(tmp_path, '--resume') == 0
    assert resumed[0].resume


@pytest.mark.slow
def test_a_network_that_fails_on_a_track_is_not_the_best(tmp_path, capsys, monkeypatch, judged):
    def train_in_rounds(*_, on_network, **__):
        for name in ('a', 'b'):
            on_network(copied(tmp_path / name))

    monkeypatch.setattr(dagger, 'train_in_rounds', train_in_rounds)
    judged += [
        {'lane_departures': 3, 'rms_cross_track_m': 0.9},
        {'lane_departures': 1, 'rms_cross_track_m': 0.5},
        {'rms_cross_track_m': 0.1, 'tracks': [{'track': 3, 'error': 'it broke'}]},
    ]
    assert improve(tmp_path) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == f'best: round 0, {tmp_path / "a" / "pilotnet.keras"}'
    assert 'round 1: track 3 failed: it broke' in told.err


@pytest.mark.slow
@pytest.mark.parametrize('end', [ModelError('the output is nan'), KeyboardInterrupt()])
def test_the_best_network_is_named_if_a_later_round_fails(
    end, tmp_path, capsys, monkeypatch, judged
):
    def train_in_rounds(*_, on_network, **__):
        on_network(copied(tmp_path / 'round-0'))
        raise end

    monkeypatch.setattr(dagger, 'train_in_rounds', train_in_rounds)
    judged += [{'rms_cross_track_m': 0.9}, {'rms_cross_track_m': 0.5}]
    assert improve(tmp_path) != 0
    best = f'best: round 0, {tmp_path / "round-0" / "pilotnet.keras"}'
    assert capsys.readouterr().out.splitlines()[-1] == best
