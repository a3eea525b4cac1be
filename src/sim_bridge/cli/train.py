# SPDX-License-Identifier: Apache-2.0
"""Train a network on driving logs, bags and embedded tracks."""

import argparse
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim_bridge.cli.arguments import (
    add_recorded_with,
    add_recording_options,
    add_workers,
    check_output_folder,
    check_range,
    track_names,
    workers_of,
)
from sim_bridge.errors import UsageError

if TYPE_CHECKING:
    from steering_net.data.recording import Recording


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    _configure_data(parser.add_argument_group('data (at least one log, bag or track)'))
    _configure_fit(parser.add_argument_group('training'))
    _configure_augmentation(parser.add_argument_group('augmentation'))


def _configure_data(data: argparse._ArgumentGroup) -> None:
    add = data.add_argument
    add(
        '--log',
        action='append',
        default=[],
        type=Path,
        metavar='CSV',
        help='recording: a driving log, the folder with its images, or a bag; may be repeated',
    )
    add(
        '--log-as-steered',
        action='append',
        default=[],
        type=Path,
        metavar='CSV',
        help='as --log, but no bag, and its labels are the recorded steering without delay, for a '
        'road whose middle cannot be measured; --label-log and --source do not apply; may be '
        'repeated',
    )
    add(
        '--bag',
        action='append',
        default=[],
        type=Path,
        metavar='BAG',
        help='as --log; a bag frame is labelled with the command of its stamp; may be repeated',
    )
    add(
        '--corrections',
        type=int,
        nargs='?',
        const=4,
        default=1,
        metavar='N',
        help='train N times (4 if not given) on each frame of a bag that a person drove in place '
        'of the network, and not on the second before, in which the network erred',
    )
    add(
        '--label-log',
        action='append',
        default=[],
        type=Path,
        metavar='CSV',
        help='complete time series of a run of which a log holds samples; smooths its labels',
    )
    add(
        '--source',
        action='append',
        default=[],
        metavar='NAME',
        help='use only rows with NAME in their source column; may be repeated; if not given, all',
    )
    add_recorded_with(data)
    add_recording_options(data)
    add(
        '--tracks',
        type=track_names,
        default=[],
        metavar='LIST',
        help='embedded tracks to render, as in 1000-1019,hills:1000-1009: seeds and names',
    )
    add(
        '--samples-per-track',
        type=int,
        default=150,
        metavar='N',
        help='frames per track at random places',
    )
    add(
        '--rounds',
        type=int,
        default=0,
        metavar='N',
        help='after the first training, N times: let the network drive each track, add the frames '
        'that it saw with the steering of the expert, and train it further (DAgger); '
        '`sim-bridge improve` also judges each round',
    )
    add(
        '--samples-per-round',
        type=int,
        default=150,
        metavar='N',
        help='frames per track that each round adds',
    )
    add_workers(data, 'the tracks to render')
    add('--note', action='append', default=[], metavar='TEXT', help='paragraph for the model card')
    add(
        '--keep-straight',
        type=float,
        default=1.0,
        metavar='0..1',
        help='share of the recorded frames with a steering below 0.01 rad to train on',
    )
    add(
        '--labels',
        choices=('steering', 'middle'),
        default='steering',
        help='labels of recorded frames. steering: the recorded steering. middle: the steering '
        'to the middle of the road --look-ahead m ahead, which is measured in the frames',
    )
    add(
        '--label-delay',
        type=float,
        default=0.0,
        metavar='S',
        help='label recorded frames with the label of S seconds earlier, because a network sees '
        'the road ahead and steers earlier than people do',
    )


def _configure_fit(fit: argparse._ArgumentGroup) -> None:
    add = fit.add_argument
    add('--out', type=Path, required=True, metavar='DIR', help='folder to write to')
    add('--name', default='pilotnet', help='file name without its ending')
    add(
        '--profile',
        help='preprocessing; if not given, that of the sidecar of --start-from, or else `course`',
    )
    add(
        '--epochs',
        type=int,
        default=20,
        metavar='N',
        help='largest number of epochs, in each round',
    )
    add(
        '--steps-per-epoch',
        type=int,
        metavar='N',
        help='batches per epoch; if not given, as many as hold every image once',
    )
    add('--batch-size', type=int, default=128, metavar='N', help='images per batch')
    add(
        '--learning-rate',
        type=float,
        default=1e-3,
        metavar='X',
        help='first learning rate; it falls to zero',
    )
    add(
        '--rendered-share',
        type=float,
        default=0.5,
        metavar='0..1',
        help='share of rendered frames in a batch',
    )
    add(
        '--rendered-light',
        type=float,
        default=1.0,
        metavar='X',
        help='change the light of rendered frames X times as much as that of recorded ones, '
        '0.5..3, so that the network also knows real frames of tracks that it has not seen',
    )
    add(
        '--patience',
        type=int,
        default=8,
        metavar='N',
        help='stop after N epochs without improvement',
    )
    add(
        '--average',
        type=float,
        default=0.0,
        metavar='0..1',
        help='momentum of a moving average of the weights, which is saved instead; 0: none',
    )
    add('--seed', type=int, default=0, metavar='N', help='seed of all random numbers')
    add('--threads', type=int, default=2, metavar='N', help='CPU threads')
    add(
        '--start-from',
        action='append',
        default=[],
        type=Path,
        metavar='FILE',
        help='.keras network to start from; repeated: the mean of their weights',
    )
    add('--tensorboard', type=Path, metavar='DIR', help='write TensorBoard files there')
    add('--resume', action='store_true', help='continue an unfinished training')


def _configure_augmentation(augmentation: argparse._ArgumentGroup) -> None:
    add = augmentation.add_argument
    add(
        '--look-ahead',
        type=float,
        default=16.0,
        metavar='M',
        help='distance, m, within which a displaced car returns to its path, and at which '
        '`--labels middle` aims',
    )
    add(
        '--max-shift',
        type=float,
        default=0.5,
        metavar='M',
        help='recorded views are shifted sideways by at most M metres',
    )
    add(
        '--max-yaw',
        type=float,
        default=0.06,
        metavar='RAD',
        help='recorded views are turned sideways by at most RAD',
    )
    add(
        '--max-pitch',
        type=float,
        default=0.026,
        metavar='RAD',
        help='the camera of every view is pitched by at most RAD',
    )
    add(
        '--max-roll',
        type=float,
        default=0.0175,
        metavar='RAD',
        help='the camera of every view is rolled by at most RAD',
    )
    add(
        '--max-height',
        type=float,
        default=0.1,
        metavar='M',
        help='the camera of every view is raised or lowered by at most M metres',
    )


def run(args: argparse.Namespace) -> int:
    """Train; 0 on success, 2 with one line on stderr for bad input."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    from sim_bridge.recording.sources import log_camera, open_recording
    from sim_bridge.recording.storage import is_bag
    from sim_bridge.training.dagger import Tracks, check_rounds, train_in_rounds
    from sim_bridge.workers.attempt import WorkError
    from steering_net.data.recording import find_log
    from steering_net.training.augmentation import Augmentation
    from steering_net.training.config import TrainConfig
    from steering_net.training.labels import Labelling
    from steering_net.training.recorded_frames import LogSource
    from steering_net.training.trainer import recorded_for

    try:
        check_range('--samples-per-track', args.samples_per_track, 1)
        check_range('--samples-per-round', args.samples_per_round, 1)
        check_range('--rounds', args.rounds, 0)
        check_range('--corrections', args.corrections, 1, 100)
        if args.rounds and not args.tracks:
            raise UsageError('--rounds needs --tracks: the network drives there')
        check_output_folder('--out', args.out)
        workers = workers_of(args)
        config = TrainConfig(
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
            threads=args.threads,
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
        data = [*args.log, *args.bag]
        logs = [
            LogSource(
                csv=find_log(path),
                label_logs=tuple(args.label_log),
                only_sources=tuple(args.source),
                camera=args.recorded_with or log_camera(path, args.steering_unit),
                steering_unit=args.steering_unit,
            )
            for path in data
            if not is_bag(path)
        ] + [
            LogSource(
                csv=find_log(path),
                camera=args.recorded_with or log_camera(path, args.steering_unit),
                steering_unit=args.steering_unit,
                as_steered=True,
            )
            for path in args.log_as_steered
        ]
        bags = [
            open_recording(path, args.recorded_with, car=args.car, corrections=args.corrections)
            for path in data
            if is_bag(path)
        ]
        if args.corrections > 1 and not bags:
            raise UsageError('--corrections needs a bag: in it a person took the wheel')
        for option, values in (('--label-log', args.label_log), ('--source', args.source)):
            if values and len(bags) == len(data):
                raise UsageError(f'{option} needs a driving log: name one with --log')
        for line in _corrections(bags):
            print(line)
        tracks = Tracks(args.tracks, args.samples_per_track, args.samples_per_round, args.rounds)
        check_rounds(config, args.rounds)
        recorded = recorded_for(config, logs, bags)
        trained = train_in_rounds(config, recorded, tracks, args.note, workers)
    except (OSError, ValueError, UsageError, WorkError) as error:
        print(f'sim-bridge train: {error}', file=sys.stderr)
        return 2
    print(f'{trained.model_path}: RMSE on held-out frames, rad:', end=' ')
    print(f'recorded {_shown(trained.recorded_rmse_rad)}', end=', ')
    print(f'rendered {_shown(trained.rendered_rmse_rad)}')
    return 0


def _profile_of(networks: Sequence[Path]) -> str:
    """Return the profile that the sidecars of networks name; `course` without any.

    Raises UsageError if they name different ones.
    """
    from steering_net.model_io.network_files import network_path
    from steering_net.model_io.profiles import from_sidecar
    from steering_net.vision.profile import format_profile

    choices = [choice for path in networks if (choice := from_sidecar(network_path(path)))]
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
