# SPDX-License-Identifier: Apache-2.0
"""The options of `sim-bridge train`: data, training and augmentation."""

import argparse
from pathlib import Path

from sim_bridge.cli.arguments import (
    add_recorded_with,
    add_recording_options,
    add_workers,
    track_names,
)


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
        help='train N times, 4 without a number, on each frame of a bag that a person drove in '
        'place of the network, and not on the second before, in which the network erred',
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
        choices=('steering', 'middle', 'map'),
        default='steering',
        help='labels of recorded frames. steering: the recorded steering. middle: the steering '
        'to the middle of the road --look-ahead m ahead, which is measured in the frames. map: '
        'on the lake or the jungle, the steering of the expert at the place of the frame, as '
        '`data --locate` finds it',
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
    add(
        '--threads',
        type=int,
        metavar='N',
        help='CPU threads; if not given, one for each processor',
    )
    add(
        '--mixed-precision',
        action='store_true',
        help='compute in float16 on a GPU; the saved network is one of float32',
    )
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
        '`--labels middle` and `map` aim',
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
