"""Judge networks: on recordings, driving recorded laps, or driving embedded tracks."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from sim_bridge.cli.arguments import add_recorded_with
from sim_bridge.errors import UsageError, check_target
from sim_bridge.evaluation.evaluator import Trial


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's subcommands and their options."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='KIND')
    _configure_open_loop(kinds.add_parser('open-loop', help='compare with a recorded driver'))
    _configure_data_driven(
        kinds.add_parser('data-driven', help='let it drive a recorded lap, frames re-projected')
    )
    _configure_closed_loop(kinds.add_parser('closed-loop', help='let it drive embedded tracks'))


def run(args: argparse.Namespace) -> int:
    """Evaluate; 1 if a requirement is not met, 2 with one line on stderr for bad input."""
    from sim_bridge.evaluation.evaluator import contestants, judge_all
    from sim_bridge.evaluation.report import parse_requirement, table, unmet

    try:
        required = dict(map(parse_requirement, args.require))
        check_target('--json', args.json)
        networks = contestants(args.model, args.compare, args.profile)
        reports = judge_all(networks, args.backend, args.trial(args))
        print('\n'.join(table(reports)))
        if args.json:
            named = [{'model': name, **report} for name, report in reports.items()]
            content = {'models': named} if args.compare else next(iter(reports.values()))
            args.json.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
        # Last, for a field that the report lacks must not cost the evaluation.
        failures = {name: unmet(report, required) for name, report in reports.items()}
    except (OSError, ValueError, RuntimeError) as error:
        print(f'sim-bridge evaluate: {error}', file=sys.stderr)
        return 2
    for name, lines in failures.items():
        for line in lines:
            print(f'sim-bridge evaluate: {name}: {line}', file=sys.stderr)
    return 1 if any(failures.values()) else 0


def _configure_open_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(trial=_open_loop)
    _add_recording(parser, 'per-frame CSV, plot of recorded and predicted, worst frames')
    parser.add_argument(
        '--turned-down',
        type=float,
        default=0.0,
        metavar='DEGREES',
        help='judge by frames that are re-projected to a camera that looks so much further down, '
        'by -20 to 20',
    )
    _add_common(parser)


def _configure_data_driven(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(trial=_data_driven)
    _add_recording(parser, 'CSV and plot of the offset from the yardstick')
    parser.add_argument(
        '--yardstick',
        choices=('middle', 'way'),
        default='middle',
        help='1 m off what it is put back: the middle of the road, which is measured in the '
        'frames, or the way of the recorded driver',
    )
    _add_common(parser)


def _configure_closed_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(trial=_closed_loop)
    add = parser.add_argument
    add('--tracks', default='0-9', metavar='A-B', help='seeds; the shipped network knows 1000-')
    add('--laps', type=int, default=1, metavar='N', help='laps on each track')
    add('--speed-limit', type=float, default=6.7, metavar='M/S', help='speed limit, m/s')
    _add_common(parser)


def _add_recording(parser: argparse.ArgumentParser, papers: str) -> None:
    parser.add_argument(
        '--recording',
        type=Path,
        required=True,
        metavar='PATH',
        help='a bag, a log, or a folder with IMG/ and driving_log.csv or frames.csv',
    )
    add_recorded_with(parser)
    parser.add_argument('--out', type=Path, metavar='DIR', help=f'write there: {papers}')


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--model', help='.keras, .h5 or .tflite file; without it, the shipped network')
    add(
        '--compare',
        nargs='+',
        default=[],
        metavar='MODEL',
        help='judge these, after --model if given, side by side: `default` or files; '
        'FILE@PROFILE names the preprocessing of one',
    )
    add('--profile', help='preprocessing; without it, as the model says')
    add('--backend', choices=('litert', 'keras'), default='litert', help='what runs the network')
    add('--json', type=Path, metavar='FILE', help='write the report there too')
    add(
        '--require',
        action='append',
        default=[],
        metavar='FIELD=X',
        help='exit 1 if a field is worse, as in correlation_smoothed=0.8; may be repeated',
    )


def _open_loop(args: argparse.Namespace) -> Trial:
    from sim_bridge.evaluation.evaluator import on_recording
    from sim_bridge.recording.sources import open_recording, turned_down

    recording = open_recording(args.recording, args.recorded_with)
    if not -20.0 <= args.turned_down <= 20.0:
        raise UsageError(f'--turned-down is {args.turned_down:g}, it must be -20 to 20 degrees')
    if args.turned_down:
        recording = turned_down(recording, math.radians(args.turned_down))
    return on_recording(recording, args.out)


def _data_driven(args: argparse.Namespace) -> Trial:
    from sim_bridge.evaluation.evaluator import on_recorded_frames
    from sim_bridge.recording.sources import open_recording

    recording = open_recording(args.recording, args.recorded_with)
    return on_recorded_frames(recording, args.yardstick, args.out)


def _closed_loop(args: argparse.Namespace) -> Trial:
    from sim_bridge.evaluation.evaluator import on_tracks

    return on_tracks(_seeds(args.tracks), args.laps, args.speed_limit)


def _seeds(text: str) -> range:
    """Every seed of `A-B`, or the single one of `A`."""
    first, _, last = text.partition('-')
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(f'--tracks is {text!r}, it must be like 0-9')
    return range(int(first), int(last) + 1)
