# SPDX-License-Identifier: Apache-2.0
"""Improve a network in rounds: it drives, an expert labels what it saw, and it is trained on that.

The network of each round is judged on tracks that no training used, and a table shows the results.
`sim-bridge train --rounds` is the same training with all its options, and without the judging.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sim_bridge.cli.arguments import (
    add_longest_drive,
    add_speed_limit,
    add_workers,
    check_model,
    check_output_folder,
    check_range,
    check_speed_limit,
    in_options,
    track_names,
    workers_of,
)
from sim_bridge.errors import UsageError

_COLUMNS = ('network', 'departures', 'interventions', 'rms m', 'max m')


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('--model', default='default', help='.keras network to improve; `default`: the shipped one')
    add('--out', type=Path, required=True, metavar='DIR', help='folder to write networks to')
    add('--rounds', type=int, default=2, metavar='N', help='how often the network drives')
    add(
        '--tracks',
        type=track_names,
        default='1000-1009',
        metavar='LIST',
        help='embedded tracks to learn on, as in 1000-1019,hills:1000-1009',
    )
    add(
        '--judge',
        type=track_names,
        default='0-4',
        metavar='LIST',
        help='other tracks, on which each network drives one lap',
    )
    add_speed_limit(parser)
    add_longest_drive(parser)
    add(
        '--samples',
        type=int,
        default=150,
        metavar='N',
        help='frames per track at random places, and again in each round',
    )
    add('--epochs', type=int, default=6, metavar='N', help='largest number of epochs a round')
    add('--learning-rate', type=float, default=3e-4, metavar='X', help='first learning rate')
    add('--seed', type=int, default=0, metavar='N', help='seed of all random numbers')
    add(
        '--resume',
        action='store_true',
        help='go on with an interrupted run; its finished rounds, but not the last one, are only '
        'judged',
    )
    add_workers(parser, 'the tracks')


def run(args: argparse.Namespace) -> int:
    """Improve; 0 on success, 2 with one line on stderr for bad input or a round that failed."""
    from sim_bridge.evaluation.evaluator import on_tracks
    from sim_bridge.evaluation.report import failed_tracks
    from sim_bridge.simulator.weather import CLEAR
    from sim_bridge.training.dagger import Tracks, check_rounds, train_in_rounds
    from sim_bridge.workers.attempt import WorkError
    from steering_net.inference.predictor import load_predictor, model_path
    from steering_net.training.config import TrainConfig
    from steering_net.training.trainer import recorded_for
    from steering_net.vision.profile import format_profile

    judged: list[tuple[int, int, float, str, Path]] = []
    try:
        _check(args)
        workers = workers_of(args)
        start = model_path(args.model)
        trial = on_tracks(args.judge, 1, args.speed_limit, CLEAR, args.seconds, workers)

        def judge(model: Path) -> None:
            name = f'round {len(judged) - 1}' if judged else 'before'
            report = trial.evaluate(load_predictor(model, camera=trial.camera), name)
            failed = failed_tracks(report)
            faults = report['lane_departures'] + report['interventions']
            # A network that fails on a track has fewer faults, because it drives fewer tracks.
            judged.append((len(failed), faults, report['rms_cross_track_m'], name, model))
            _print_row(name, report)
            for line in failed:
                print(f'{name}: {line}', file=sys.stderr)

        config = TrainConfig(
            out=args.out,
            profile=format_profile(load_predictor(start).profile),
            epochs=args.epochs,
            learning_rate=args.learning_rate,
            seed=args.seed,
            resume=args.resume,
            start_from=(start,),
        )
        check_rounds(config, args.rounds)
        print(''.join(f'{title:>15}' for title in _COLUMNS), flush=True)
        judge(start)
        tracks = Tracks(args.tracks, args.samples, args.samples, args.rounds)
        recorded = recorded_for(config, [], [])
        train_in_rounds(config, recorded, tracks, workers=workers, on_network=judge)
    except (OSError, ValueError, UsageError, WorkError) as error:
        print(f'sim-bridge improve: {in_options(error, {})}', file=sys.stderr)
        return 2
    finally:
        # Also if a later round failed or was interrupted, because the earlier ones count.
        if len(judged) > 1:
            *_, name, model = min(judged)
            print(f'best: {name}, {model}')
    return 0


def _check(args: argparse.Namespace) -> None:
    check_model('--model', args.model)
    check_output_folder('--out', args.out)
    check_range('--rounds', args.rounds, 1)
    check_range('--samples', args.samples, 10)
    check_range('--seconds', args.seconds, 1.0, unit='s')
    check_speed_limit(args.speed_limit)
    both = set(args.tracks) & set(args.judge)
    if both:
        names = ', '.join(sorted(map(str, both)))
        raise UsageError(f'--judge has the tracks {names} of --tracks; name other ones')


def _print_row(name: str, report: dict[str, Any]) -> None:
    counts = f'{report["lane_departures"]:>15}{report["interventions"]:>15}'
    offsets = f'{report["rms_cross_track_m"]:>15.3f}{report["max_cross_track_m"]:>15.3f}'
    print(f'{name:>15}{counts}{offsets}', flush=True)
