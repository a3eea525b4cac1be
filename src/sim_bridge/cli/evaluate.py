# SPDX-License-Identifier: Apache-2.0
"""Measure how well networks steer: on recordings, on recorded laps, or on embedded tracks.

`monitor` measures how well the steering node notices worlds that its network does not know.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sim_bridge.cli import evaluate_monitor
from sim_bridge.cli.arguments import (
    WEATHER_HELP,
    add_backend,
    add_json,
    add_longest_drive,
    add_recorded_with,
    add_recording_options,
    add_speed_limit,
    add_workers,
    check_output_file,
    check_output_folder,
    check_range,
    check_speed_limit,
    check_weather,
    track_names,
    workers_of,
)
from sim_bridge.cli.output import is_stream, write_json

if TYPE_CHECKING:
    from sim_bridge.evaluation.evaluator import NetworkChoice, Trial


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of this verb and their options."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='KIND')
    for name, configure_kind, summary in (
        ('open-loop', _configure_open_loop, 'compare with the steering of a recorded driver'),
        ('data-driven', _configure_data_driven, 'drive a recorded lap with re-projected frames'),
        ('closed-loop', _configure_closed_loop, 'drive embedded tracks'),
        ('monitor', _configure_monitor, 'calibrate or judge the monitor of unknown worlds'),
    ):
        kind = kinds.add_parser(
            name,
            help=summary,
            description=f'{summary[0].upper()}{summary[1:]}.',
            formatter_class=parser.formatter_class,
        )
        configure_kind(kind)


def run(args: argparse.Namespace) -> int:
    """Evaluate; 1 if a track or a requirement failed, 2 with one line on stderr for bad input."""
    from sim_bridge.evaluation.evaluator import evaluate_all, parse_networks
    from sim_bridge.evaluation.report import failed_tracks, parse_requirement, table, unmet

    try:
        required = dict(map(parse_requirement, args.require))
        check_output_file('--json', args.json)
        check_output_folder('--out', getattr(args, 'out', None))
        if args.kind == 'monitor':
            reports = evaluate_monitor.run(args)
        else:
            networks = parse_networks(args.model, args.compare, args.profile)
            _prepare(networks, args.backend)
            reports = evaluate_all(networks, args.backend, args.trial(args))
        if not reports:
            return 0
        print('\n'.join(table(reports)))
        if args.json:
            named = [{'model': name, **report} for name, report in reports.items()]
            content = {'models': named} if args.compare else next(iter(reports.values()))
            write_json(args.json, content)
        failed = {name: failed_tracks(report) for name, report in reports.items()}
        kept = _partial_results(args.json) if args.kind == 'closed-loop' else None
        if kept and not any(failed.values()):
            kept.unlink(missing_ok=True)
        # Last, so that an unknown field does not discard the evaluation.
        failures = {
            name: failed[name] + unmet(report, required) for name, report in reports.items()
        }
    except (OSError, ValueError, RuntimeError) as error:
        print(f'sim-bridge evaluate: {error}', file=sys.stderr)
        return 2
    for name, lines in failures.items():
        for line in lines:
            print(f'sim-bridge evaluate: {name}: {line}', file=sys.stderr)
    return 1 if any(failures.values()) else 0


def _prepare(networks: Iterable[NetworkChoice], backend: str) -> None:
    """Convert users' networks, measure their profiles, and print a line for each on stderr."""
    from steering_net.model_io.found_profile import prepare

    for network in networks:
        if network.model != 'default' and backend == 'litert':
            lines = prepare(Path(network.model).expanduser(), network.profile)
            print('\n'.join(lines), file=sys.stderr)


def _configure_open_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(trial=_open_loop)
    _add_recording(parser, 'CSV of every frame, plot of recorded and predicted, worst frames')
    parser.add_argument(
        '--turned-down',
        type=float,
        default=0.0,
        metavar='DEGREES',
        help='re-project the frames to a camera that looks further down by this angle, -20..20',
    )
    _add_common(parser)


def _configure_data_driven(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(trial=_data_driven)
    _add_recording(parser, 'CSV and plot of the offset from the line')
    parser.add_argument(
        '--reference',
        choices=('middle', 'map', 'driver'),
        default='middle',
        help='line that offsets are measured from; the car is put back on it at 1 m. middle: '
        'middle of the road, measured in the frames. map: middle of the lake or jungle track, on '
        'which the recording is placed; frames are re-projected over its hills. driver: path of '
        'the recorded driver',
    )
    _add_common(parser)


def _configure_closed_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(trial=_closed_loop)
    add = parser.add_argument
    add(
        '--tracks',
        type=track_names,
        default='0-9',
        metavar='LIST',
        help='tracks, as in lake,jungle,0-19,hills:0-3: seeds of flat tracks, and names; the '
        'shipped network was trained on tracks 1000 to 1999 and hills:1000 to hills:1999',
    )
    add('--weather', default='clear', metavar='KIND:N', help=WEATHER_HELP)
    add('--laps', type=int, default=1, metavar='N', help='laps on each track')
    add_longest_drive(parser)
    add_speed_limit(parser)
    add_workers(parser, 'the tracks')
    _add_common(parser)


def _configure_monitor(parser: argparse.ArgumentParser) -> None:
    evaluate_monitor.configure(parser)
    _add_common(parser)


def _add_recording(parser: argparse.ArgumentParser, files: str) -> None:
    parser.add_argument(
        '--recording',
        type=Path,
        required=True,
        metavar='PATH',
        help='a bag, a log, or a folder with IMG/ and driving_log.csv or frames.csv',
    )
    add_recorded_with(parser)
    add_recording_options(parser)
    parser.add_argument('--out', type=Path, metavar='DIR', help=f'write there: {files}')


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        '--model',
        help='network: a file or folder; the shipped one, if neither this nor --compare is given',
    )
    add(
        '--compare',
        nargs='+',
        default=[],
        metavar='MODEL',
        help='networks to compare, beside --model if it is given: files, or `default`; '
        'FILE@PROFILE names the preprocessing of one',
    )
    add(
        '--profile',
        help='preprocessing; if not given, that of the network; search: find it',
    )
    add_backend(parser)
    add_json(parser, 'the report')
    add(
        '--require',
        action='append',
        default=[],
        metavar='FIELD=X',
        help='exit with 1 if a field is worse, as in correlation_smoothed=0.8; may be repeated',
    )


def _open_loop(args: argparse.Namespace) -> Trial:
    from sim_bridge.evaluation.evaluator import on_recording
    from sim_bridge.recording.sources import open_recording, turned_down

    recording = open_recording(args.recording, args.recorded_with, args.steering_unit, args.car)
    check_range('--turned-down', args.turned_down, -20.0, 20.0, 'degrees')
    if args.turned_down:
        recording = turned_down(recording, math.radians(args.turned_down))
    return on_recording(recording, args.out)


def _data_driven(args: argparse.Namespace) -> Trial:
    from sim_bridge.evaluation.evaluator import on_recorded_frames
    from sim_bridge.recording.sources import open_recording

    recording = open_recording(args.recording, args.recorded_with, args.steering_unit, args.car)
    return on_recorded_frames(recording, args.reference, args.out)


def _closed_loop(args: argparse.Namespace) -> Trial:
    from sim_bridge.evaluation.evaluator import on_tracks

    check_range('--laps', args.laps, 1)
    check_speed_limit(args.speed_limit)
    check_range('--seconds', args.seconds, 1.0, unit='s')
    weather, workers = check_weather(args.weather), workers_of(args)
    conditions = args.laps, args.speed_limit, weather, args.seconds
    return on_tracks(args.tracks, *conditions, workers, _partial_results(args.json))


def _partial_results(report: Path | None) -> Path | None:
    """Return the file beside a report that keeps the results of single tracks until it is done.

    None without a report, or if it goes to a pipe or a device.
    """
    if report is None or is_stream(report):
        return None
    return report.with_name(f'{report.name}.partial')
