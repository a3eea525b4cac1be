"""Fit a network to driving logs, bags and the embedded tracks."""

import argparse
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim_bridge.cli.arguments import add_recorded_with
from sim_bridge.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    data = parser.add_argument_group('data (at least a log, a bag or some tracks)')
    data.add_argument(
        '--log',
        action='append',
        default=[],
        type=Path,
        metavar='CSV',
        help='driving log beside its IMG folder, or that folder; may be repeated',
    )
    data.add_argument(
        '--bag',
        action='append',
        default=[],
        type=Path,
        metavar='BAG',
        help='recorded drive: its frames and the commands with their stamps; may be repeated',
    )
    data.add_argument(
        '--label-log',
        action='append',
        default=[],
        type=Path,
        metavar='CSV',
        help='whole time series of a run that a log samples: smooths its labels',
    )
    data.add_argument(
        '--source',
        action='append',
        default=[],
        metavar='NAME',
        help='use only rows whose source column says NAME; may be repeated; without it, all',
    )
    add_recorded_with(data)
    data.add_argument(
        '--tracks', type=seed_range, metavar='A-B', help='seeds of embedded tracks to render'
    )
    data.add_argument(
        '--samples-per-track', type=int, default=150, metavar='N', help='frames per track'
    )
    data.add_argument(
        '--note', action='append', default=[], metavar='TEXT', help='paragraph for the model card'
    )
    data.add_argument(
        '--keep-straight',
        type=float,
        default=1.0,
        metavar='0..1',
        help='share of the recorded frames with less than 0.01 rad to train with',
    )
    data.add_argument(
        '--labels',
        choices=('steering', 'middle'),
        default='steering',
        help='what recorded frames teach: what was steered, or what leads to the middle of the '
        'road --look-ahead m ahead, which is measured in the frames',
    )
    data.add_argument(
        '--label-delay',
        type=float,
        default=0.0,
        metavar='S',
        help='label recorded frames with what was right so many s before: a network, which sees '
        'the road ahead, steers earlier than people do',
    )
    _configure_fit(parser.add_argument_group('training'))


def _configure_fit(fit: argparse._ArgumentGroup) -> None:
    fit.add_argument('--out', type=Path, required=True, metavar='DIR', help='where to write')
    fit.add_argument('--name', default='pilotnet', help='file name stem')
    fit.add_argument('--profile', default='course', help='preprocessing')
    fit.add_argument('--epochs', type=int, default=20, metavar='N', help='passes at most')
    fit.add_argument(
        '--steps-per-epoch',
        type=int,
        metavar='N',
        help='batches; without it, as many as hold every image once',
    )
    fit.add_argument('--batch-size', type=int, default=128, help='images per batch')
    fit.add_argument(
        '--learning-rate', type=float, default=1e-3, help='at the start; it falls to zero'
    )
    fit.add_argument(
        '--rendered-share',
        type=float,
        default=0.5,
        metavar='0..1',
        help='share of rendered frames in a batch',
    )
    fit.add_argument(
        '--patience', type=int, default=8, metavar='N', help='epochs without gain before it stops'
    )
    fit.add_argument(
        '--average',
        type=float,
        default=0.0,
        metavar='0..1',
        help='momentum of a moving average of the weights, which is kept instead; 0: none',
    )
    fit.add_argument('--seed', type=int, default=0, help='of everything random')
    fit.add_argument('--threads', type=int, default=2, help='CPU threads')
    fit.add_argument(
        '--start-from',
        action='append',
        default=[],
        type=Path,
        metavar='FILE',
        help='.keras network to go on from; repeated: from the mean of their weights',
    )
    fit.add_argument(
        '--look-ahead',
        type=float,
        default=16.0,
        metavar='M',
        help='distance in m within which a displaced car is to be back on its way, and at which '
        '`--labels middle` aims',
    )
    fit.add_argument(
        '--max-shift',
        type=float,
        default=0.5,
        metavar='M',
        help='recorded views are moved aside by up to so many m; less: closer to what people did',
    )
    fit.add_argument(
        '--max-yaw',
        type=float,
        default=0.06,
        metavar='RAD',
        help='recorded views are turned by up to so many rad',
    )
    fit.add_argument(
        '--max-pitch',
        type=float,
        default=0.026,
        metavar='RAD',
        help='the camera of every view is tilted up or down by up to so many rad',
    )
    fit.add_argument(
        '--max-roll',
        type=float,
        default=0.0175,
        metavar='RAD',
        help='the camera of every view is rolled by up to so many rad',
    )
    fit.add_argument(
        '--max-height',
        type=float,
        default=0.1,
        metavar='M',
        help='the camera of every view is raised or lowered by up to so many m',
    )
    fit.add_argument(
        '--tensorboard', type=Path, metavar='DIR', help="write TensorBoard's files there"
    )
    fit.add_argument('--resume', action='store_true', help='go on with an unfinished training')


def run(args: argparse.Namespace) -> int:
    """Train; 0 on success, 2 with one line on stderr for bad input."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    from sim_bridge.recording.sources import read_bag
    from steering_net.data.recording import find_log
    from steering_net.training.augmentation import Augmentation
    from steering_net.training.config import TrainConfig
    from steering_net.training.dataset import LogSource
    from steering_net.training.labels import Labelling
    from steering_net.training.trainer import train
    from steering_net.vision.camera_model import AUTONOMOUS, TRAINING

    try:
        if args.samples_per_track < 1:
            raise UsageError(
                f'--samples-per-track is {args.samples_per_track}, it must be at least 1'
            )
        config = TrainConfig(
            out=args.out,
            name=args.name,
            profile=args.profile,
            epochs=args.epochs,
            steps_per_epoch=args.steps_per_epoch,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            rendered_share=args.rendered_share,
            patience=args.patience,
            seed=args.seed,
            threads=args.threads,
            resume=args.resume,
            start_from=tuple(args.start_from),
            keep_straight=args.keep_straight,
            average=args.average,
            tensorboard=args.tensorboard,
            labelling=Labelling(args.labels, args.label_delay, args.look_ahead),
            augmentation=Augmentation(
                look_ahead_m=args.look_ahead,
                max_shift_m=args.max_shift,
                max_yaw_rad=args.max_yaw,
                max_pitch_rad=args.max_pitch,
                max_roll_rad=args.max_roll,
                max_height_m=args.max_height,
            ),
        )
        labels, only = tuple(args.label_log), tuple(args.source)
        logs = [
            LogSource(find_log(path), labels, only, args.recorded_with or TRAINING)
            for path in args.log
        ]
        bags = [read_bag(path, args.recorded_with or AUTONOMOUS) for path in args.bag]
        tracks, count = args.tracks or range(0), args.samples_per_track
        rendered = functools.partial(_samples, tracks, count, args.seed, config.camera)
        trained = train(config, logs, rendered, len(tracks) * count, args.note, bags)
    except (OSError, ValueError, UsageError) as error:
        print(f'sim-bridge train: {error}', file=sys.stderr)
        return 2
    print(f'{trained.model_path}: RMSE on held-out frames, rad:', end=' ')
    print(f'recorded {trained.recorded_rmse_rad:.4f}, rendered {trained.rendered_rmse_rad:.4f}')
    return 0


def _samples(
    tracks: range, count: int, seed: int, camera: str
) -> Iterator[tuple[NDArray[np.uint8], float]]:
    from sim_bridge.simulator.expert import samples
    from steering_net.vision.camera_model import find_camera

    for track in tracks:
        for sample in samples(
            track, count, np.random.default_rng([seed, track]), find_camera(camera)
        ):
            yield sample.rgb, sample.steering_rad


def seed_range(text: str) -> range:
    """Return every seed of `A-B`, or the single one of `A`, for argparse."""
    first, _, last = text.partition('-')
    try:
        seeds = range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is no seed or range A-B') from None
    if not seeds:
        raise argparse.ArgumentTypeError(f'{text!r} is an empty range')
    return seeds
