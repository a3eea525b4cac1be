# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge improve`: its table, its networks, and what it refuses."""

import shutil
from dataclasses import replace

import pytest

from sim_bridge.cli.main import main
from sim_bridge.training import dagger
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
