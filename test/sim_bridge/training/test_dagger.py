# SPDX-License-Identifier: Apache-2.0
"""Training in rounds: the network drives, and learns from the places where it came."""

from pathlib import Path

import pytest

from helpers.tracks import TRAIN_SEEDS
from helpers.training import run_eagerly
from sim_bridge.training import dagger
from sim_bridge.training.dagger import Tracks, train_in_rounds
from steering_net.model_io.files import sha256_of
from steering_net.training.config import TrainConfig
from steering_net.training.trainer import recorded_for

pytestmark = pytest.mark.slow

TRACKS = Tracks(TRAIN_SEEDS[:1], random_frames=20, driven_frames=30, rounds=1)


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


def test_rounds_need_tracks():
    with pytest.raises(ValueError, match='2 rounds need tracks'):
        Tracks(rounds=2)


@pytest.mark.parametrize('field', ['random_frames', 'driven_frames', 'rounds'])
def test_a_negative_number_is_named(field):
    with pytest.raises(ValueError, match=f'{field} is -1; it must be . or greater'):
        Tracks((1000,), **{field: -1})
