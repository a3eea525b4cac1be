# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge train`: what its options mean, and what it refuses before it works."""

import multiprocessing
import shutil
from dataclasses import replace

import pytest

from helpers.training import drawn_log
from sim_bridge.cli.main import main
from sim_bridge.training import dagger
from steering_net.inference.predictor import default_model
from steering_net.model_io.model_config import read_sidecar, write_sidecar
from steering_net.training import trainer


@pytest.fixture
def working(monkeypatch):
    """Collect the configs of trainings in place of the work."""
    configs = []
    monkeypatch.setattr(trainer, 'recorded_for', lambda config, *_: configs.append(config))
    monkeypatch.setattr(dagger, 'check_start', lambda _: None)

    def train_in_rounds(config, *_):
        return trainer.Trained(config.model_path, '', 0.0, 0.0, {})

    monkeypatch.setattr(dagger, 'train_in_rounds', train_in_rounds)
    return configs


def train(folder, *words):
    return main(['train', '--out', str(folder / 'out'), *map(str, words)])


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        (['--start-from', 'nope.keras'], 'there is no model file nope.keras'),
        (['--label-log', 'whole.csv'], '--label-log needs a driving log: name one with --log'),
        (['--source', 'lake'], '--source needs a driving log: name one with --log'),
        (['--batch-size', '0'], '--batch-size is 0; it must be 1 or greater'),
        (['--label-delay', '2'], '--label-delay is 2.0; it must be 0..1 s'),
        (['--max-yaw', '-1'], '--max-yaw is -1.0; it must be 0..0.5'),
        (['--name', 'a/b'], "--name is 'a/b'; it must be the name of a file without a folder"),
    ],
)
def test_a_mistake_is_told_before_anything_is_rendered(words, reason, tmp_path, capsys, working):
    assert train(tmp_path, '--tracks', '1000', *words) == 2
    assert capsys.readouterr().err == f'sim-bridge train: {reason}\n'
    assert not working


def test_a_source_and_the_log_of_a_whole_run_are_used_with_a_log(tmp_path, working):
    log = drawn_log(tmp_path)
    assert train(tmp_path, '--log', log, '--label-log', log, '--source', 'lake') == 0


def test_a_training_without_a_place_on_a_map_tells_why(tmp_path, capsys):
    log = drawn_log(tmp_path)
    words = ['--log', log, '--labels', 'map']
    reason = f'{log}: rows 0-39 not placed: it is 52 m long; it must be 240 m'
    assert train(tmp_path, *words, '--log-as-steered', log) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f'sim-bridge train: no frame can be placed on a known track; {reason}'
    )
    log.write_text(log.read_text(encoding='utf-8').replace(',30', ',0'), encoding='utf-8')
    assert train(tmp_path, *words) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .endswith(
            f'rows 0-39 not placed: {log} holds no speed: record vehicle/speed, or give the log a '
            'column speed (mph)'
        )
    )


def network(folder, profile):
    path = folder / f'{profile}.keras'
    shutil.copy(default_model(), path)
    sidecar = read_sidecar(default_model())
    write_sidecar(path, replace(sidecar, profile=profile, litert_sha256=''))
    return path


def test_the_profile_is_that_of_the_network_to_start_from(tmp_path, capsys, working):
    first, other = (network(tmp_path, name) for name in ('course_noblur', 'course'))
    start = ['--tracks', '1000', '--start-from', first]
    assert train(tmp_path, *start) == 0
    assert train(tmp_path, *start, '--profile', 'course') == 0
    assert train(tmp_path, '--tracks', '1000') == 0
    assert [config.profile for config in working] == ['course_noblur', 'course', 'course']
    capsys.readouterr()
    assert train(tmp_path, *start, '--start-from', other) == 2
    told = 'have the profiles course, course_noblur; choose one with --profile'
    assert told in capsys.readouterr().err


def test_the_profile_of_another_network_is_not_that_to_start_from(tmp_path, capsys, working):
    path = network(tmp_path, 'course_noblur')
    with path.open('ab') as file:
        file.write(b' ')
    assert train(tmp_path, '--tracks', '1000', '--start-from', path) == 0
    assert [config.profile for config in working] == ['course']
    assert capsys.readouterr().out.startswith('course_noblur.json is not used, because its sha256')


@pytest.mark.parametrize('size', [10**9, 10**18])
def test_batch_that_no_memory_holds_is_told_before_anything_is_rendered(size, tmp_path, capsys):
    assert train(tmp_path, '--tracks', '1000', '--batch-size', size) == 2
    told = f'there is not enough memory: batch_size is {size}; make it smaller'
    assert capsys.readouterr().err == f'sim-bridge train: {told}\n'


@pytest.mark.slow
def test_mixed_precision_without_a_gpu_is_told_before_anything_is_rendered(tmp_path, capsys):
    assert train(tmp_path, '--tracks', '1000', '--mixed-precision') == 2
    told = 'sim-bridge train: --mixed-precision needs a GPU, and TensorFlow sees none'
    assert capsys.readouterr().err.startswith(told)


@pytest.mark.slow
def test_a_killed_worker_is_told_with_what_to_do(tmp_path, capsys, monkeypatch):
    def kill(*_, **__):
        for process in multiprocessing.active_children():
            process.kill()

    monkeypatch.setattr(trainer.tqdm, 'write', kill)
    words = ['--tracks', '1000', '--samples-per-track', '20', '--batch-size', 8]
    assert train(tmp_path, *words, '--workers', 1, '--threads', 3) == 2
    told = 'sim-bridge train: a process that prepares batches was killed'
    assert capsys.readouterr().err.splitlines()[-1].startswith(told)
