"""Judge a network, on recordings or by letting it drive embedded tracks."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's subcommands and their options."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='KIND')
    _configure_open_loop(kinds.add_parser('open-loop', help='compare with a recorded driver'))
    _configure_closed_loop(kinds.add_parser('closed-loop', help='let it drive embedded tracks'))


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 on success, 2 with one line on stderr for bad input."""
    evaluate = args.evaluate
    try:
        report: dict[str, Any] = evaluate(args)
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    except (OSError, ValueError, RuntimeError) as error:
        print(f'sim-bridge evaluate: {error}', file=sys.stderr)
        return 2
    _print_table(report)
    return 0


def _configure_open_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(evaluate=_open_loop)
    parser.add_argument(
        '--recording',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder that holds IMG/ and driving_log.csv or frames.csv',
    )
    _add_common(parser)


def _configure_closed_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(evaluate=_closed_loop)
    add = parser.add_argument
    add('--tracks', default='0-9', metavar='A-B', help='seeds; the shipped network knows 1000-')
    add('--laps', type=int, default=1, metavar='N', help='laps on each track')
    add('--speed-limit', type=float, default=6.7, metavar='M/S', help='speed limit, m/s')
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--model', default='default', help='.keras, .h5 or .tflite file, or `default`')
    add('--profile', help='preprocessing; without it, as the model says')
    add('--backend', choices=('litert', 'keras'), default='litert', help='what runs the network')
    add('--json', type=Path, metavar='FILE', help='write the report there too')


def _open_loop(args: argparse.Namespace) -> dict[str, Any]:
    from steering_net.evaluate import open_loop
    from steering_net.predictor import load_predictor

    predictor = load_predictor(args.model, args.backend, args.profile)
    return open_loop(predictor, args.recording)


def _closed_loop(args: argparse.Namespace) -> dict[str, Any]:
    from sim_bridge.track_sim.closed_loop import drive, summarise
    from steering_net.predictor import load_predictor
    from steering_net.preprocess import decode_jpeg

    seeds = _seeds(args.tracks)
    if args.laps < 1:
        raise ValueError(f'--laps is {args.laps}, it must be at least 1')
    if not 0.0 < args.speed_limit <= 60.0:
        raise ValueError(f'--speed-limit is {args.speed_limit}, it must be in 0 .. 60 m/s')
    predictor = load_predictor(args.model, args.backend, args.profile)

    def steer(jpeg: bytes) -> float:
        return predictor.predict(decode_jpeg(jpeg))

    tracks = tqdm(seeds, desc='driving', unit='track', disable=None)
    return summarise([drive(seed, args.laps, args.speed_limit, steer).report for seed in tracks])


def _seeds(text: str) -> range:
    """Every seed of `A-B`, or the single one of `A`."""
    first, _, last = text.partition('-')
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(f'--tracks is {text!r}, it must be like 0-9')
    return range(int(first), int(last) + 1)


def _print_table(report: dict[str, Any]) -> None:
    for name, value in report.items():
        if isinstance(value, list):
            _print_tracks(value)
            continue
        text = f'{value:.4f}' if isinstance(value, float) else str(value)
        if isinstance(value, dict):
            text = ', '.join(f'{key} {number:.3f}' for key, number in value.items())
        print(f'{name:22}{text}')


def _print_tracks(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        print(
            f'track {report["track"]:<4} {report["laps"]} laps, '
            f'{report["lane_departures"]} lane departures, '
            f'{report["interventions"]} interventions, '
            f'{report["rms_cross_track_m"]:.3f} m RMS, {report["max_speed_mps"]:.1f} m/s at most'
        )
