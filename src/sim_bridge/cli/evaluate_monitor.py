# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge evaluate monitor`: calibrate the monitor of the steering node, or judge it."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sim_bridge.cli.arguments import (
    add_recorded_with,
    add_recording_options,
    add_speed_limit,
    add_workers,
    check_range,
    check_speed_limit,
    check_weather,
    refuse_given,
    track_names,
    workers_of,
)
from sim_bridge.errors import UsageError
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import CLEAR
from sim_bridge.workers.spread import Workers

_OF_JUDGING: dict[str, Any] = {
    'tracks': '10-11',
    'weather': 'fog:2,fog:3,rain:2,rain:3,sun:2,sun:3,dusk:2,dusk:3,snow:2,snow:3,night:2,night:3',
    'mutants': None,
    'workers': None,
    'ray': '',
    'json': None,
    'require': [],
}
"""Options that cannot be used with --calibrate, with their defaults."""

_OF_CALIBRATING: dict[str, Any] = {
    'recording': [],
    'recorded_with': '',
    'steering_unit': '',
    'car': 0,
}
"""Options that need --calibrate, with their defaults."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this kind of evaluation, besides those that all kinds have."""
    add = parser.add_argument
    add(
        '--calibrate',
        action='store_true',
        help='write the calibration of the network beside it, by drives in known worlds, and end',
    )
    add(
        '--known',
        type=track_names,
        metavar='LIST',
        help='tracks that the network knows and drives; if not given, 500-507 to calibrate and '
        '0-4 to judge; judge on other tracks than those of the calibration',
    )
    add(
        '--recording',
        type=Path,
        action='append',
        default=[],
        metavar='PATH',
        help='with --calibrate: a recording is a further known world; may be repeated',
    )
    add_recorded_with(parser)
    add_recording_options(parser)
    add(
        '--tracks',
        type=track_names,
        default=_OF_JUDGING['tracks'],
        metavar='LIST',
        help='tracks that get weather, and that mutated networks drive',
    )
    add(
        '--weather',
        default=_OF_JUDGING['weather'],
        metavar='LIST',
        help='kinds of weather with their strengths',
    )
    add(
        '--mutants',
        type=Path,
        metavar='DIR',
        help='folder of mutated networks, see `sim-bridge mutate`',
    )
    add('--seconds', type=float, default=30.0, metavar='S', help='length of each drive, s')
    add_speed_limit(parser)
    add_workers(parser, 'the drives')


def run(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Calibrate and return nothing, or print a line for each drive and return the report."""
    known = args.known or track_names('500-507' if args.calibrate else '0-4')
    check_range('--seconds', args.seconds, _shortest_s() if args.calibrate else 5.0, 600.0, 's')
    check_speed_limit(args.speed_limit)
    weathers = [check_weather(part) for part in args.weather.split(',')]
    if args.compare:
        raise UsageError('--compare cannot be used with monitor; judge one network at a time')
    if args.calibrate:
        usual = {**_OF_JUDGING, 'tracks': track_names(_OF_JUDGING['tracks'])}
        refuse_given(args, usual, 'cannot be used with --calibrate')
    else:
        refuse_given(args, _OF_CALIBRATING, 'needs --calibrate')
    mutants, workers = _mutants(args.mutants), workers_of(args)
    if args.calibrate:
        _calibrate(args, known)
        return {}
    return {'monitor': _judge(args, known, weathers, mutants, workers)}


def _shortest_s() -> float:
    """Return the length, s, of a drive with as many frames as a calibration needs."""
    from sim_bridge.evaluation.monitor_drives import FRAMES_PER_S
    from steering_net.inference.self_check import LEAST_FRAMES

    return LEAST_FRAMES / FRAMES_PER_S


def _mutants(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    found = sorted(path for path in folder.glob('*.keras'))
    if not found:
        raise UsageError(f'--mutants: {folder} holds no .keras file; see `sim-bridge mutate`')
    return found


def _load(args: argparse.Namespace, camera: str) -> Any:
    from steering_net.inference.predictor import load_predictor

    return load_predictor(args.model or 'default', args.backend, args.profile, camera=camera)


def _calibrate(args: argparse.Namespace, known: list[TrackName]) -> None:
    from tqdm import tqdm

    from sim_bridge.evaluation.monitor_drives import known_drive, known_recording
    from sim_bridge.recording.sources import open_recording
    from steering_net.inference.self_check import (
        MEASURES,
        CheckedDrive,
        calibrate,
        check_length,
        write_calibration,
    )
    from steering_net.vision.camera_names import AUTONOMOUS

    predictor = _load(args, AUTONOMOUS)
    recorded: dict[str, CheckedDrive] = {}
    # Before the drives, because those take minutes.
    for path in args.recording:
        recording = open_recording(path, args.recorded_with, args.steering_unit, args.car)
        drive = known_recording(_load(args, recording.camera), recording)
        check_length(drive, f'{path}: a recording')
        recorded[str(path)] = drive
    driven: dict[str, CheckedDrive] = {}
    for track in tqdm(known, desc='calibrating', unit='track', disable=None):
        drive = known_drive(predictor, track, args.seconds, args.speed_limit)
        check_length(drive, f'track {track}: a drive')
        driven[f'track {track}'] = drive
    drives = driven | recorded
    calibration = calibrate(list(drives.values()), predictor.sha256)
    path = write_calibration(args.model or 'default', calibration)
    for name, world in zip(drives, calibration.worlds, strict=True):
        parts = zip(MEASURES, world.mean_rad, world.spread_rad, strict=True)
        shown = (f'{part} {mean:+.4f} ± {spread:.4f} rad' for part, mean, spread in parts)
        print(f'{name}: {", ".join(shown)}')
    print(f'threshold: {calibration.threshold:.2f} spreads')
    print(f'wrote {path}')


def _judge(
    args: argparse.Namespace,
    known: list[TrackName],
    weathers: list[Any],
    mutants: list[Path],
    workers: Workers,
) -> dict[str, Any]:
    from tqdm import tqdm

    from sim_bridge.evaluation.monitor_drives import Conditions, Plan, Watch
    from sim_bridge.evaluation.monitor_score import judge, lines
    from steering_net.inference.packed_network import pack
    from steering_net.inference.predictor import Predictor, load_predictor
    from steering_net.inference.self_check import calibration_of
    from steering_net.vision.camera_names import AUTONOMOUS
    from steering_net.vision.profile import format_profile

    predictor = _load(args, AUTONOMOUS)
    calibration = calibration_of(args.model or 'default')
    if calibration is None:
        raise UsageError(f'{predictor.name} is not calibrated; run it with --calibrate first')
    profile = format_profile(predictor.profile)
    plan = Plan(args.seconds, args.speed_limit, calibration)

    def conditions(driver: Predictor, places: Iterable[tuple[TrackName, Any]]) -> list[Conditions]:
        network = pack(driver)
        return [Conditions(driver.name, network, *place) for place in places]

    def drive(on: list[Conditions], mode: str, what: str) -> list[Any]:
        driven = workers.in_order(Watch(plan, mode), on)
        return list(tqdm(driven, desc=what, total=len(on), unit='drive', disable=None))

    clear = list(itertools.product(args.tracks, [CLEAR]))
    unknown = conditions(predictor, itertools.product(args.tracks, weathers))
    for path in mutants:
        unknown += conditions(
            load_predictor(path, args.backend, profile, camera=AUTONOMOUS), clear
        )
    sound = drive(conditions(predictor, itertools.product(known, [CLEAR])), 'warn', 'known worlds')
    watched = drive(unknown, 'warn', 'unknown worlds')
    held = drive(unknown, 'hold', 'unknown worlds, hold')
    print('\n'.join(lines(watched, held)))
    return judge(sound, watched, held)
