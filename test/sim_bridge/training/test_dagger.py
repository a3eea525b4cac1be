# SPDX-License-Identifier: Apache-2.0
"""Training in rounds: the network drives, and learns from the places where it came."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.tracks import TRAIN_SEEDS
from helpers.training import run_eagerly
from sim_bridge.training import dagger
from sim_bridge.training.dagger import Tracks, check_rounds, train_in_rounds
from steering_net.errors import ModelError
from steering_net.model_io.files import sha256_of
from steering_net.model_io.reader import load_keras
from steering_net.training import trainer
from steering_net.training.config import TrainConfig
from steering_net.training.frames import Frames
from steering_net.training.pilotnet import build_pilotnet
from steering_net.training.trainer import Trained, recorded_for
from steering_net.vision.crop import CROP_SHAPE

pytestmark = pytest.mark.slow

TRACKS = Tracks(TRAIN_SEEDS[:1], random_frames=20, driven_frames=30, rounds=1)
NO_FRAMES = Frames(
    np.empty((0, *CROP_SHAPE), np.uint8), np.empty(0, np.float32), np.empty(0, bool)
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('rounds')


@pytest.fixture(scope='module')
def networks():
    """The files that `on_network` gets."""
    return []


@pytest.fixture(scope='module')
def trained(folder, networks):
    config = TrainConfig(folder, epochs=1, steps_per_epoch=1, batch_size=4)
    recorded = recorded_for(config, [], [])
    with run_eagerly():
        return train_in_rounds(config, recorded, TRACKS, ['A note.'], on_network=networks.append)


def test_each_round_goes_on_from_the_network_of_the_last_one(trained, folder):
    assert trained.model_path == folder / 'pilotnet.keras'
    first = folder / 'round-0' / 'pilotnet.keras'
    card = trained.model_path.with_suffix('.md').read_text(encoding='utf-8')
    assert f'| started from | {sha256_of(first)} |' in card
    assert not (folder / 'round-1').exists()


def test_each_network_is_handed_on_when_it_is_written(trained, networks, folder):
    assert networks == [folder / 'round-0' / 'pilotnet.keras', trained.model_path]


def test_each_round_adds_frames_and_the_card_says_from_where(trained):
    before = Path(trained.model_path.parent, 'round-0', 'pilotnet.md').read_text(encoding='utf-8')
    after = trained.model_path.with_suffix('.md').read_text(encoding='utf-8')
    assert '| rendered frames | 18 trained on, 2 held out |' in before
    assert '| rendered frames | 45 trained on, 5 held out |' in after
    assert 'tracks 1000: 20 frames each at random places' in after
    assert '30 frames each in 1 round' in after
    assert 'A note.' in after


def test_an_unfinished_round_is_found_before_anything_is_rendered(tmp_path):
    (tmp_path / 'round-0' / 'pilotnet.resume').mkdir(parents=True)
    config = TrainConfig(tmp_path)
    with pytest.raises(ValueError, match=r'round-0.*unfinished training'):
        train_in_rounds(config, recorded_for(config, [], []), TRACKS)


def test_a_round_that_is_finished_is_not_trained_again(trained, folder, monkeypatch):
    first = folder / 'round-0' / 'pilotnet.keras'
    before = sha256_of(first)
    stages = []
    monkeypatch.setattr(dagger, 'train_on', lambda stage, *_: stages.append(stage) or trained)
    config = TrainConfig(folder, epochs=1, steps_per_epoch=1, batch_size=4, resume=True)
    train_in_rounds(config, recorded_for(config, [], []), TRACKS)
    assert [(stage.out, stage.start_from) for stage in stages] == [(folder, (first,))]
    assert sha256_of(first) == before


def test_a_round_whose_network_could_not_be_written_is_written_when_resumed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError('No space left on device')

    config = TrainConfig(tmp_path, epochs=1, steps_per_epoch=1, batch_size=4)
    recorded = recorded_for(config, [], [])
    with run_eagerly(), monkeypatch.context() as patch:
        patch.setattr(trainer, 'write_card', full)
        with pytest.raises(OSError, match='No space left'):
            train_in_rounds(config, recorded, TRACKS)
    first = tmp_path / 'round-0' / 'pilotnet.keras'
    weights = load_keras(first).get_weights()
    first.unlink()
    # With this rate, a further step would change the weights much.
    resumed = replace(config, resume=True, learning_rate=0.1)
    check_rounds(resumed, TRACKS.rounds)
    with run_eagerly():
        trained = train_in_rounds(resumed, recorded, TRACKS)
    for found, lost in zip(load_keras(first).get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, lost)
    assert trained.model_path.exists()
    assert not list(tmp_path.rglob('*.resume'))


@pytest.fixture
def quick(monkeypatch):
    """Trainings that write what they are given as `notes`; return the folders in their order."""
    folders = []

    def train_on(stage, recorded, pool, notes):
        stage.out.mkdir(parents=True, exist_ok=True)
        for suffix in ('.keras', '.md'):
            stage.model_path.with_suffix(suffix).write_text(notes[0], encoding='utf-8')
        folders.append(stage.out.name)
        return Trained(stage.model_path, '', 0.0, 0.0, {})

    monkeypatch.setattr(dagger, 'train_on', train_on)
    monkeypatch.setattr(dagger, 'rendered', lambda *_: iter(()))
    monkeypatch.setattr(dagger, 'load_predictor', lambda *_, **__: None)
    monkeypatch.setattr(dagger, 'pack', lambda _: None)
    return folders


def test_rounds_of_an_older_training_are_not_built_on(tmp_path, quick, monkeypatch):
    config, tracks = TrainConfig(tmp_path), Tracks(TRAIN_SEEDS[:1], 10, 10, 2)
    train_in_rounds(config, NO_FRAMES, tracks, ['old'])

    def interrupted(function, *_):
        if not isinstance(function, dagger.AtRandom):
            raise KeyboardInterrupt
        return iter(())

    with monkeypatch.context() as patch:
        patch.setattr(dagger, 'rendered', interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_in_rounds(config, NO_FRAMES, tracks, ['new'])
    quick.clear()
    train_in_rounds(replace(config, resume=True), NO_FRAMES, tracks, ['new'])
    assert quick == ['round-1', tmp_path.name]
    assert {path.read_text(encoding='utf-8') for path in tmp_path.rglob('*.keras')} == {'new'}


def test_the_network_to_start_from_is_not_replaced(tmp_path, quick):
    tracks = Tracks(TRAIN_SEEDS[:1], 10, 10, 1)
    train_in_rounds(TrainConfig(tmp_path), NO_FRAMES, tracks, ['old'])
    quick.clear()
    for path in (tmp_path / 'round-0' / 'pilotnet.keras', tmp_path / 'pilotnet.keras'):
        with pytest.raises(ValueError, match='would replace'):
            train_in_rounds(TrainConfig(tmp_path, start_from=(path,)), NO_FRAMES, tracks)
    assert not quick


def test_a_start_that_does_not_fit_is_found_by_the_check(tmp_path):
    path = tmp_path / 'small.keras'
    build_pilotnet((64, 64, 3)).save(path)
    config = TrainConfig(tmp_path / 'out', start_from=(path,))
    with pytest.raises(ModelError, match='not a network to start from'):
        check_rounds(config, 1)


def test_rounds_need_tracks():
    with pytest.raises(ValueError, match='2 rounds need tracks'):
        Tracks(rounds=2)


@pytest.mark.parametrize('field', ['random_frames', 'driven_frames', 'rounds'])
def test_a_negative_number_is_named(field):
    with pytest.raises(ValueError, match=f'{field} is -1; it must be . or greater'):
        Tracks((1000,), **{field: -1})
