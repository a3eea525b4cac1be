# SPDX-License-Identifier: Apache-2.0
import errno
import json
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from helpers.training import PLAIN, road, run_eagerly, samples
from steering_net.inference.predictor import load_predictor
from steering_net.model_io.files import sha256_of
from steering_net.model_io.litert_converter import probe_frames
from steering_net.model_io.model_config import read_sidecar
from steering_net.model_io.reader import load_keras
from steering_net.training import trainer
from steering_net.training.augmentation import Augmentation
from steering_net.training.batches import BatchMaker
from steering_net.training.config import TrainConfig
from steering_net.training.pilotnet import build_pilotnet
from steering_net.training.trainer import check_output, recorded_for, rendered_for, train_on


def train(config, shown=(), notes=()):
    """Train on rendered samples, in the order of `train_in_rounds`."""
    check_output(config)
    return train_on(config, recorded_for(config, (), ()), rendered_for(config, shown), notes)


@pytest.fixture
def eager():
    with run_eagerly():
        yield


@pytest.mark.slow
def test_training_begins_without_the_notices_of_tensorflow():
    program = 'from steering_net.training.trainer import use_threads; use_threads(1)'
    environment = {name: value for name, value in os.environ.items() if 'TF_CPP' not in name}
    command = [sys.executable, '-c', program]
    begun = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert begun.stderr == ''


@pytest.mark.slow
def test_tensorboard_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    config = TrainConfig(out=tmp_path, tensorboard=tmp_path / 'board')
    with pytest.raises(ValueError, match='pip install tensorboard'):
        train(config, samples(20))


@pytest.mark.slow
def test_a_training_learns_and_leaves_its_papers(tmp_path):
    config = TrainConfig(
        out=tmp_path / 'out',
        epochs=2,
        steps_per_epoch=12,
        batch_size=24,
        learning_rate=2e-3,
        augmentation=Augmentation(**(vars(PLAIN) | {'flip': True})),
    )
    trained = train(config, samples(160), notes=['Drawn by the test.'])
    untrained = 0.3 / np.sqrt(3)
    assert trained.rendered_rmse_rad < untrained / 2
    assert np.isnan(trained.recorded_rmse_rad)
    path = config.model_path
    assert read_sidecar(path).sha256 == sha256_of(path) == trained.sha256
    card = path.with_suffix('.md').read_text(encoding='utf-8')
    assert 'Drawn by the test.' in card
    assert trained.sha256 in card
    for name in ('pilotnet_loss.png', 'pilotnet_predictions.png'):
        assert cv2.imread(str(path.with_name(name))) is not None
    predictor = load_predictor(path, cache_dir=tmp_path / 'cache')
    assert predictor.path.read_bytes() == path.with_suffix('.tflite').read_bytes()
    left, right = (predictor.predict(road(lean)) for lean in (-90, 90))
    assert left > 0.05
    assert right < -0.05
    assert path.stat().st_size < 1_200_000


@pytest.mark.slow
def test_a_training_can_start_from_another(eager, tmp_path):
    build_pilotnet(seed=9).save(tmp_path / 'first.keras')
    first = load_predictor(tmp_path / 'first.keras', 'keras', 'course')
    config = TrainConfig(
        out=tmp_path / 'out',
        epochs=1,
        steps_per_epoch=1,
        batch_size=4,
        learning_rate=1e-9,
        start_from=(tmp_path / 'first.keras',),
    )
    second = load_predictor(train(config, samples(20)).model_path)
    for frame in probe_frames():
        assert second.predict(frame) == pytest.approx(first.predict(frame), abs=1e-4)


@pytest.mark.slow
def test_a_training_can_start_from_the_mean_of_several(eager, tmp_path):
    paths = tuple(tmp_path / f'{seed}.keras' for seed in (8, 9))
    for seed, path in zip((8, 9), paths, strict=True):
        build_pilotnet(seed=seed).save(path)
    config = TrainConfig(
        out=tmp_path / 'out', epochs=1, steps_per_epoch=1, batch_size=4, learning_rate=1e-9,
        start_from=paths,
    )  # fmt: skip
    trained = load_keras(train(config, samples(20)).model_path)
    weights = [load_keras(path).get_weights() for path in paths]
    for got, *parents in zip(trained.get_weights(), *weights, strict=True):
        np.testing.assert_allclose(got, np.mean(parents, axis=0), atol=1e-6)


@pytest.mark.slow
def test_an_average_of_the_weights_is_kept_where_it_is_asked_for(eager, tmp_path):
    first = build_pilotnet(seed=9)
    first.save(tmp_path / 'first.keras')

    def moved_by(average):
        config = TrainConfig(
            out=tmp_path / str(average),
            epochs=1,
            steps_per_epoch=8,
            batch_size=2,
            average=average,
            start_from=(tmp_path / 'first.keras',),
        )
        weights = load_keras(train(config, samples(20)).model_path).get_weights()
        pairs = zip(weights, first.get_weights(), strict=True)
        return sum(float(np.abs(now - then).sum()) for now, then in pairs)

    assert moved_by(0.99) < 0.5 * moved_by(0.0)


@pytest.mark.slow
def test_an_unfinished_training_is_resumed(eager, tmp_path, monkeypatch):
    import tensorflow as tf

    config = TrainConfig(out=tmp_path, epochs=2, steps_per_epoch=2, batch_size=4, threads=1)
    batch = BatchMaker.batch

    def interrupted(self, epoch, step):
        if epoch == 1:
            raise RuntimeError('the power went')
        return batch(self, epoch, step)

    monkeypatch.setattr(BatchMaker, 'batch', interrupted)
    with pytest.raises(tf.errors.OpError, match='the power went'):
        train(config, samples(20))
    monkeypatch.setattr(BatchMaker, 'batch', batch)
    with pytest.raises(ValueError, match='unfinished training'):
        train(config, samples(20))
    trained = train(replace(config, resume=True), samples(20))
    assert len(trained.history['loss']) == 2
    assert not (tmp_path / 'pilotnet.resume').exists()


@pytest.mark.slow
@pytest.mark.parametrize('fails', ['convert', 'write_card'])
def test_a_network_that_could_not_be_written_is_not_lost(fails, eager, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    config = TrainConfig(out=tmp_path, epochs=2, steps_per_epoch=2, batch_size=4, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, fails, full)
        with pytest.raises(OSError, match='No space left'):
            train(config, samples(20))
    with pytest.raises(ValueError, match='epochs is 1, but 2 are done already: give 2 or more'):
        train(replace(config, epochs=1, resume=True), samples(20))
    lost = load_keras(config.model_path).get_weights()
    config.model_path.unlink()
    # With this rate, a further step would change the weights much.
    trained = train(replace(config, resume=True, learning_rate=0.1), samples(20))
    assert len(trained.history['loss']) == 2
    for weights, others in zip(load_keras(trained.model_path).get_weights(), lost, strict=True):
        np.testing.assert_array_equal(weights, others)
    assert not (tmp_path / 'pilotnet.resume').exists()


@pytest.mark.slow
def test_a_batch_that_memory_does_not_hold_is_told_with_what_to_do(eager, tmp_path, monkeypatch):
    def batch(self, epoch, step):
        raise MemoryError

    monkeypatch.setattr(BatchMaker, 'batch', batch)
    config = TrainConfig(out=tmp_path, epochs=1, steps_per_epoch=1, batch_size=4, threads=1)
    with pytest.raises(MemoryError, match='batch_size is 4; make it smaller'):
        train(config, samples(20))


@pytest.mark.slow
def test_mixed_precision_leaves_a_network_of_float32(tmp_path):
    config = TrainConfig(
        tmp_path, epochs=1, steps_per_epoch=3, batch_size=4, average=0.9, mixed_precision=True
    )
    trained = train(config, samples(20))
    assert np.isfinite(trained.history['loss']).all()
    saved = load_keras(trained.model_path)
    assert {layer.dtype_policy.name for layer in saved.layers} == {'float32'}
    assert trained.model_path.stat().st_size < 1_200_000


def test_nothing_to_train_on_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='nothing to train on'):
        train(TrainConfig(out=tmp_path))


def test_frames_that_only_validate_are_nothing_to_train_on(tmp_path):
    config = TrainConfig(out=tmp_path, steps_per_epoch=1)
    frames = rendered_for(config, samples(20)).part(held_out=True)
    with pytest.raises(ValueError, match='all frames that are left are held out'):
        train_on(config, recorded_for(config, (), ()), frames)


@pytest.mark.slow
def test_the_verb_trains_on_embedded_tracks(eager, tmp_path, capsys):
    import argparse

    from sim_bridge.cli import train as verb

    parser = argparse.ArgumentParser()
    verb.configure(parser)
    words = ['--out', str(tmp_path), '--tracks', '1000-1001', '--samples-per-track', '10']
    words += ['--epochs', '1', '--steps-per-epoch', '2', '--batch-size', '4', '--name', 'tiny']
    assert verb.run(parser.parse_args(words)) == 0
    assert f'{tmp_path}/tiny.keras: RMSE' in capsys.readouterr().out
    sidecar = json.loads((tmp_path / 'tiny.json').read_text(encoding='utf-8'))
    assert sidecar['profile'] == 'course'
    predictor = load_predictor(tmp_path / 'tiny.tflite')
    assert np.isfinite(predictor.predict(probe_frames()[0]))


def test_the_verb_says_what_is_wrong_in_one_line(tmp_path, capsys):
    import argparse

    from sim_bridge.cli import train as verb

    parser = argparse.ArgumentParser()
    verb.configure(parser)
    missing = tmp_path / 'driving_log.csv'
    args = parser.parse_args(['--out', str(tmp_path), '--log', str(missing)])
    assert verb.run(args) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'sim-bridge train: cannot read the log {missing}')
    assert error.count('\n') == 1
    args = parser.parse_args(['--out', str(tmp_path), '--tracks', '0', '--samples-per-track', '0'])
    assert verb.run(args) == 2
    told = 'sim-bridge train: --samples-per-track is 0; it must be 1 or greater\n'
    assert capsys.readouterr().err == told
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--out', str(tmp_path), '--tracks', 'nine'])
