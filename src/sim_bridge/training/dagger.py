# SPDX-License-Identifier: Apache-2.0
"""DAgger: train, let the network drive, add the frames of where it came, train again.

Ross, Gordon and Bagnell, A Reduction of Imitation Learning and Structured Prediction to No-Regret
Online Learning, 2011. The expert is that of the embedded simulator, so its labels are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np

from sim_bridge.simulator.track_names import TrackName
from sim_bridge.training.rendering import AtRandom, Driven, rendered
from sim_bridge.workers.spread import ONE_PROCESS, Workers
from steering_net.errors import check_field
from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor
from steering_net.training.config import TrainConfig
from steering_net.training.frames import Frames
from steering_net.training.trainer import (
    Trained,
    backup_of,
    check_output,
    check_start,
    rendered_for,
    train_on,
)
from steering_net.vision.camera_names import AUTONOMOUS


@dataclass(frozen=True)
class Tracks:
    """Embedded tracks to render, and frames per track: at random places, and in each round."""

    names: Sequence[TrackName] = ()
    random_frames: int = 150
    driven_frames: int = 150
    rounds: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value outside its range."""
        for name, least in (('random_frames', 0), ('driven_frames', 1), ('rounds', 0)):
            value = getattr(self, name)
            check_field(value >= least, name, value, f'{least} or greater')
        if self.rounds and not self.names:
            raise ValueError(f'{self.rounds} rounds need tracks that the network drives')


def check_rounds(config: TrainConfig, rounds: int) -> None:
    """Raise ValueError if a training in rounds could not begin, as `check_output` says.

    Raises ModelError if a network to start from cannot be used. Imports TensorFlow if there are
    such networks.
    """
    for stage in _stages(config, rounds):
        check_output(stage)
    check_start(config)


def train_in_rounds(
    config: TrainConfig,
    recorded: Frames,
    tracks: Tracks,
    notes: Sequence[str] = (),
    workers: Workers = ONE_PROCESS,
    on_network: Callable[[Path], None] = lambda _: None,
) -> Trained:
    """Train on recorded frames and tracks; write the last network, and those of earlier rounds.

    The first training uses frames at random places. In each round the last network drives every
    track, which adds frames, and the training goes on from that network. Networks of earlier
    rounds are written to `round-0`, `round-1` and so on in the folder `config.out`. The order of
    the tracks is random, because the last tenth of them validates. `config.resume` keeps the
    networks of earlier rounds that are finished; without it, the rounds of an earlier training in
    that folder do not count as finished any more. The workers share the tracks to render.
    `on_network` gets the file of each network, the last one too. Raises WorkError if a track
    cannot be rendered.
    """
    notes = [*notes, *_note(tracks)]
    order = np.random.default_rng(config.seed).permutation(len(tracks.names))
    tracks = replace(tracks, names=[tracks.names[index] for index in order])
    stages = _stages(config, tracks.rounds)
    for stage in stages:
        check_output(stage)
    if tracks.rounds and not config.resume:
        _forget_rounds(config)
    # A later round cannot be finished if this one is not.
    finished = sum(1 for _ in takewhile(_is_finished, stages[:-1])) if config.resume else 0
    count = len(tracks.names) * tracks.random_frames
    at_random = AtRandom(tracks.random_frames, config.seed, config.camera)
    pool = rendered_for(config, rendered(at_random, tracks.names, workers), count)
    for number, stage in enumerate(stages[:-1], 1):
        if number > finished:
            train_on(stage, recorded, pool, notes)
        model = stage.model_path
        on_network(model)
        count = len(tracks.names) * tracks.driven_frames
        network = pack(load_predictor(model, camera=AUTONOMOUS))
        driven = Driven(network, number, tracks.driven_frames, config.seed, config.camera)
        frames = rendered_for(config, rendered(driven, tracks.names, workers), count)
        pool = Frames.joined([pool, frames])
        stages[number] = replace(stages[number], start_from=(model,))
    trained = train_on(stages[-1], recorded, pool, notes)
    on_network(trained.model_path)
    return trained


def _is_finished(stage: TrainConfig) -> bool:
    """Whether a training has written all its files; the model card is the last one."""
    return stage.model_path.with_suffix('.md').is_file() and not backup_of(stage).exists()


def _forget_rounds(config: TrainConfig) -> None:
    """Remove the model cards of rounds, because a round with a card counts as finished.

    Those of networks to start from stay.
    """
    kept = {path.resolve().parent for path in config.start_from}
    for folder in config.out.glob('round-*'):
        if folder.resolve() not in kept:
            (folder / f'{config.name}.md').unlink(missing_ok=True)


def _stages(config: TrainConfig, rounds: int) -> list[TrainConfig]:
    """Return the config of each training; each has other random numbers."""
    folders = [*(config.out / f'round-{number}' for number in range(rounds)), config.out]
    return [
        replace(config, out=folder, seed=config.seed + number)
        for number, folder in enumerate(folders)
    ]


def _note(tracks: Tracks) -> Iterator[str]:
    """Yield the paragraph of the model card on the rendered frames."""
    if not tracks.names:
        return
    note = (
        f'Rendered on the embedded tracks {", ".join(map(str, tracks.names))}: '
        f'{tracks.random_frames} frames each at random places'
    )
    if tracks.rounds:
        rounds = 'round' if tracks.rounds == 1 else 'rounds'
        note += (
            f', and {tracks.driven_frames} frames each in {tracks.rounds} {rounds} '
            'of where the network came when it drove'
        )
    yield f'{note}.'
