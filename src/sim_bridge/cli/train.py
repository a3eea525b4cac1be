# SPDX-License-Identifier: Apache-2.0
"""Train a network on driving logs, bags and embedded tracks."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sim_bridge.cli.arguments import check_output_folder, check_range, in_options, workers_of
from sim_bridge.cli.train_options import configure
from sim_bridge.errors import UsageError
from steering_net.process import cores

if TYPE_CHECKING:
    from steering_net.data.recording import Recording
    from steering_net.training.config import TrainConfig
    from steering_net.training.recorded_frames import LogSource

__all__ = ['configure', 'run']

_OPTION_OF = {'delay_s': 'label-delay'}
"""Options by the fields of the settings that they set, where the names differ."""


def run(args: argparse.Namespace) -> int:
    """Train; 0 on success, 2 with one line on stderr for bad input."""
    from sim_bridge.mapping.labels import MapLabels
    from sim_bridge.training.dagger import Tracks, check_rounds, train_in_rounds
    from sim_bridge.workers.attempt import WorkError
    from steering_net.training.trainer import recorded_for

    try:
        _check(args)
        workers = workers_of(args)
        config = _config(args)
        logs, bags = _logs(args), _bags(args)
        for line in _corrections(bags):
            print(line)
        tracks = Tracks(args.tracks, args.samples_per_track, args.samples_per_round, args.rounds)
        check_rounds(config, args.rounds)
        recorded = recorded_for(config, logs, bags, MapLabels())
        trained = train_in_rounds(config, recorded, tracks, args.note, workers)
    except (OSError, ValueError, UsageError, WorkError) as error:
        print(f'sim-bridge train: {in_options(error, _OPTION_OF)}', file=sys.stderr)
        return 2
    print(f'{trained.model_path}: RMSE on held-out frames, rad:', end=' ')
    print(f'recorded {_shown(trained.recorded_rmse_rad)}', end=', ')
    print(f'rendered {_shown(trained.rendered_rmse_rad)}')
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for options that are not allowed, or not with one another."""
    from sim_bridge.recording.storage import is_bag

    check_range('--samples-per-track', args.samples_per_track, 1)
    check_range('--samples-per-round', args.samples_per_round, 1)
    check_range('--rounds', args.rounds, 0)
    check_range('--corrections', args.corrections, 1, 100)
    if args.rounds and not args.tracks:
        raise UsageError('--rounds needs --tracks: the network drives there')
    check_output_folder('--out', args.out)
    are_bags = [is_bag(path) for path in (*args.log, *args.bag)]
    if args.corrections > 1 and not any(are_bags):
        raise UsageError('--corrections needs a bag: in it a person took the wheel')
    for option, values in (('--label-log', args.label_log), ('--source', args.source)):
        if values and all(are_bags):
            raise UsageError(f'{option} needs a driving log: name one with --log')


def _config(args: argparse.Namespace) -> 'TrainConfig':
    from steering_net.training.augmentation import Augmentation
    from steering_net.training.config import TrainConfig
    from steering_net.training.labels import Labelling

    return TrainConfig(
        out=args.out,
        name=args.name,
        profile=args.profile or _profile_of(args.start_from),
        epochs=args.epochs,
        steps_per_epoch=args.steps_per_epoch,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        rendered_share=args.rendered_share,
        rendered_light=args.rendered_light,
        patience=args.patience,
        seed=args.seed,
        threads=cores() if args.threads is None else args.threads,
        mixed_precision=args.mixed_precision,
        resume=args.resume,
        start_from=tuple(args.start_from),
        keep_straight=args.keep_straight,
        average=args.average,
        tensorboard=args.tensorboard,
        labelling=Labelling(
            kind=args.labels, delay_s=args.label_delay, look_ahead_m=args.look_ahead
        ),
        augmentation=Augmentation(
            look_ahead_m=args.look_ahead,
            max_shift_m=args.max_shift,
            max_yaw_rad=args.max_yaw,
            max_pitch_rad=args.max_pitch,
            max_roll_rad=args.max_roll,
            max_height_m=args.max_height,
        ),
    )


def _logs(args: argparse.Namespace) -> 'list[LogSource]':
    from sim_bridge.recording.sources import log_camera
    from sim_bridge.recording.storage import is_bag
    from steering_net.data.recording import find_log
    from steering_net.training.recorded_frames import LogSource

    def source(path: Path) -> LogSource:
        camera = args.recorded_with or log_camera(path, args.steering_unit)
        return LogSource(find_log(path), camera=camera, steering_unit=args.steering_unit)

    labelled = [source(path) for path in (*args.log, *args.bag) if not is_bag(path)]
    return [
        replace(log, label_logs=tuple(args.label_log), only_sources=tuple(args.source))
        for log in labelled
    ] + [replace(source(path), as_steered=True) for path in args.log_as_steered]


def _bags(args: argparse.Namespace) -> 'list[Recording]':
    from sim_bridge.recording.sources import open_recording
    from sim_bridge.recording.storage import is_bag

    return [
        open_recording(path, args.recorded_with, car=args.car, corrections=args.corrections)
        for path in (*args.log, *args.bag)
        if is_bag(path)
    ]


def _profile_of(networks: Sequence[Path]) -> str:
    """Return the profile that the sidecars of networks name; `course` without any.

    Prints a line for each sidecar that is not used. Raises UsageError if they name different ones.
    """
    from steering_net.model_io.model_config import unrelated_json
    from steering_net.model_io.network_files import network_path
    from steering_net.model_io.profiles import from_sidecar
    from steering_net.vision.profile import format_profile

    paths = [network_path(path) for path in networks]
    for line in filter(None, map(unrelated_json, paths)):
        print(line)
    choices = [choice for path in paths if (choice := from_sidecar(path))]
    profiles = sorted({format_profile(choice.profile) for choice in choices})
    if len(profiles) > 1:
        raise UsageError(
            f'the networks of --start-from have the profiles {", ".join(profiles)}; '
            'choose one with --profile'
        )
    return profiles[0] if profiles else 'course'


def _corrections(bags: 'list[Recording]') -> Iterator[str]:
    """Yield one line about the corrections in each bag, for bags read with corrections."""
    for bag in bags:
        times = bag.times_to_train
        if times is not None:
            corrected, mistakes = int((times > 1).sum()), int((times == 0).sum())
            yield (
                f'{bag.name}: a person corrected {corrected} of {len(bag)} frames; {mistakes} '
                'frames before that are left out'
            )


def _shown(rmse_rad: float) -> str:
    return f'{rmse_rad:.4f}' if math.isfinite(rmse_rad) else '(none held out)'
