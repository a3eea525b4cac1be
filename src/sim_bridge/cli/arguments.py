# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs have, and the checks of their values."""

import argparse
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sim_bridge.cli.output import is_stream
from sim_bridge.errors import UsageError
from sim_bridge.limits import MAX_SPEED_LIMIT_MPS, USUAL_SPEED_LIMIT_MPS
from sim_bridge.simulator.track_names import TrackName, parse_tracks
from sim_bridge.simulator.weather import KINDS, Weather, parse_weather
from sim_bridge.workers.spread import MAX_WORKERS, Workers
from steering_net.cars import MAX_CARS
from steering_net.errors import SettingError
from steering_net.inference.caution import MODES
from steering_net.process import cores
from steering_net.vision.camera_names import AS_TRAINED, AUTONOMOUS, TRAINING

_ROS_NAME = r'[A-Za-z_]\w*(/[A-Za-z_]\w*)*'
WEATHER_HELP = f'clear, or {", ".join(KINDS)} with a strength from 1 to 3, as in fog:2'
TRACK_HELP = 'a seed of a flat track, lake, jungle, or hills:SEED'
BACKENDS = ('litert', 'keras')
"""Those of `predictor`, which is not imported because it needs OpenCV."""

_CAMERAS = 'training, autonomous, or a pose such as pitch:7.6/roll:1.2/height:1.255 (degrees, m)'


def add_recorded_with(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --recorded-with; the empty default means that the recording itself decides."""
    parser.add_argument(
        '--recorded-with',
        type=_camera,
        default='',
        metavar='CAMERA',
        help=f'camera that took the frames: {_CAMERAS}; if not given: autonomous for a bag; for a '
        'log it is found by the horizon in its frames. Frames are turned to the camera of the '
        'network',
    )


def add_recording_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --steering-unit and --car: how a log and a bag of several cars are read."""
    from steering_net.data.driving_log import STEERING_UNITS

    parser.add_argument(
        '--steering-unit',
        choices=tuple(STEERING_UNITS),
        default='',
        help='unit of the steering in a log. recorder: 1 is 25 degrees to the right; degrees, '
        'radians: right is positive; -left: left is positive; if not given, recorder, unless the '
        'numbers look like another unit: then the command ends and asks',
    )
    parser.add_argument(
        '--car',
        type=_car,
        default=0,
        metavar='CAR',
        help='car to read from a bag of several cars: its number or namespace; 0: the only car',
    )


def add_camera(parser: argparse.ArgumentParser) -> None:
    """Add --camera: the camera of the simulator that drives."""
    parser.add_argument(
        '--camera',
        type=_camera_or_as_trained,
        default=AUTONOMOUS,
        help=f'camera of the simulator: {_CAMERAS}; frames are turned to the camera of the '
        f'network. {AS_TRAINED}: frames are not turned',
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add --backend: the library that runs the network."""
    parser.add_argument(
        '--backend', choices=BACKENDS, default='litert', help='what runs the network'
    )


def add_speed_limit(parser: argparse.ArgumentParser) -> None:
    """Add --speed-limit; see `check_speed_limit`."""
    parser.add_argument(
        '--speed-limit',
        type=float,
        default=USUAL_SPEED_LIMIT_MPS,
        metavar='M/S',
        help='speed limit, m/s',
    )


def add_monitor(parser: argparse.ArgumentParser) -> None:
    """Add --monitor: what the steering node does when the network is unsure."""
    parser.add_argument(
        '--monitor',
        choices=MODES,
        default='warn',
        help='when the network does not know the world: warn; slow: also drive slowly; hold: also '
        'stop the car; off: nothing is measured',
    )


def add_json(parser: argparse.ArgumentParser, content: str) -> None:
    """Add --json, which also writes `content` to a file; see `check_output_file`."""
    parser.add_argument(
        '--json', type=Path, metavar='FILE', help=f'also write {content} to this JSON file'
    )


def add_longest_drive(parser: argparse.ArgumentParser) -> None:
    """Add --seconds, the longest simulated time of a drive on an embedded track."""
    parser.add_argument(
        '--seconds',
        type=float,
        default=600.0,
        metavar='S',
        help='end a drive after S simulated seconds, even in the middle of a lap',
    )


def add_workers(parser: argparse.ArgumentParser | argparse._ArgumentGroup, work: str) -> None:
    """Add --workers and --ray, which share `work`; see `workers_of`."""
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help=f'processes on this machine that share {work}; if not given, one for each processor',
    )
    parser.add_argument(
        '--ray',
        default='',
        metavar='ADDRESS',
        help=f'let a Ray cluster share {work}: auto, HOST:PORT, or ray://HOST:PORT; each of its '
        'machines needs sim_bridge of the same version',
    )


def refuse_given(args: argparse.Namespace, defaults: Mapping[str, object], why: str) -> None:
    """Raise UsageError, `--OPTION why`, for the first of these options without its default."""
    for name, default in defaults.items():
        if getattr(args, name) != default:
            raise UsageError(f'--{name.replace("_", "-")} {why}')


def in_options(error: Exception, options: Mapping[str, str]) -> str:
    """Return the message of an error; a setting has the name of its option.

    That is the name of its field without the unit, unless `options` has another one.
    """
    if isinstance(error, SettingError) and error.name.isidentifier():
        name = re.sub('_(s|m|rad)$', '', error.name).replace('_', '-')
        return f'--{options.get(error.name, name)} {error.fault}'
    return str(error)


def workers_of(args: argparse.Namespace) -> Workers:
    """Return the workers of --workers and --ray; UsageError for bad values."""
    if args.ray and args.workers is not None:
        raise UsageError('--workers cannot be used with --ray; the cluster has its own processors')
    count = cores() if args.workers is None else args.workers
    check_range('--workers', count, 1, MAX_WORKERS)
    return Workers(count, args.ray)


def track_names(text: str) -> list[TrackName]:
    """Return the embedded tracks of a list such as `lake,0-9,hills:3`; for argparse."""
    try:
        return parse_tracks(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_range(
    option: str, value: float, low: float, high: float = math.inf, unit: str = ''
) -> None:
    """Raise UsageError unless low <= value <= high; NaN is never allowed."""
    if not low <= value <= high:
        allowed = f'{low:g}..{high:g} {unit}' if high < math.inf else f'{low:g} {unit} or greater'
        raise UsageError(f'{option} is {value}; it must be {" ".join(allowed.split())}')


def check_port(port: int) -> None:
    """Raise UsageError unless --port is a TCP port that the simulator can connect to."""
    check_range('--port', port, 1, 65535)


def check_cars(cars: int) -> None:
    """Raise UsageError unless --cars is a number of cars that one bridge serves."""
    check_range('--cars', cars, 1, MAX_CARS)


def check_speed_limit(limit_mps: float) -> None:
    """Raise UsageError unless --speed-limit lets the car drive."""
    if not 0.0 < limit_mps <= MAX_SPEED_LIMIT_MPS:
        raise UsageError(
            f'--speed-limit is {limit_mps}; it must be greater than 0 and at most '
            f'{MAX_SPEED_LIMIT_MPS:g} m/s'
        )


def check_model(option: str, model: str) -> None:
    """Raise UsageError unless the network is `default` or an existing file or folder."""
    if model != 'default' and not Path(model).exists():
        raise UsageError(
            f'{option}: there is no file {model}; name an existing network, or `default`'
        )


def check_weather(text: str) -> Weather:
    """Return the weather of --weather; UsageError that lists what is allowed otherwise."""
    try:
        return parse_weather(text)
    except ValueError as error:
        raise UsageError(f'--{error}') from error


def check_output_file(option: str, path: Path | None) -> None:
    """Raise UsageError unless the file can be written; for use before the work begins."""
    if path is not None:
        with _as_usage_error(option, path):
            _check_output_file(option, path)


def _check_output_file(option: str, path: Path) -> None:
    folder = path.resolve().parent
    if path.is_dir():
        raise UsageError(f'{option}: {path} is a folder; name a file in it')
    if not is_stream(path) and not folder.is_dir():
        raise UsageError(f'{option}: there is no folder {folder}; create it or name another file')
    # Of a file the folder counts too, because the file is replaced when it is complete.
    places = [path] if path.exists() else []
    places += [] if is_stream(path) else [folder]
    for place in places:
        if not os.access(place, os.W_OK):
            raise UsageError(f'{option}: {place} cannot be written; change its permissions')


def check_namespace(option: str, text: str) -> None:
    """Raise UsageError unless the text is a namespace of ROS 2, such as /ego, or empty."""
    if not re.fullmatch(f'/?({_ROS_NAME})?', text, re.ASCII):
        raise UsageError(f'{option} is {text!r}; it must be a name of ROS 2, such as /ego')


def check_topic(option: str, text: str) -> None:
    """Raise UsageError unless the text is a name of a topic of ROS 2."""
    if not re.fullmatch(f'(~?/)?{_ROS_NAME}', text, re.ASCII):
        raise UsageError(f'{option} has {text!r}; it must be a name such as /camera/image_raw')


def check_output_folder(option: str, path: Path | None) -> None:
    """Raise UsageError unless the folder exists or can be created; for use before the work."""
    if path is not None:
        with _as_usage_error(option, path):
            _check_output_folder(option, path)


def _check_output_folder(option: str, path: Path) -> None:
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise UsageError(f'{option}: {there} is a file; name a folder')
    if not os.access(there, os.W_OK):
        raise UsageError(f'{option}: {there} cannot be written to; change its permissions')


@contextmanager
def _as_usage_error(option: str, path: Path) -> Iterator[None]:
    """Turn an error of looking at a place, such as a closed folder, into a UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(f'{option}: {path} cannot be written: {error.strerror}') from error


def _car(text: str) -> int | str:
    is_name = re.fullmatch(r'/?[A-Za-z]\w*(/\w+)*', text)
    if not is_name and not (text.isdecimal() and int(text) <= MAX_CARS):
        raise argparse.ArgumentTypeError(
            f'it is {text}; it must be 0..{MAX_CARS}, or a namespace such as car_2'
        )
    return text.strip('/') if is_name else int(text)


def _camera(text: str) -> str:
    if text in ('', TRAINING, AUTONOMOUS):
        return text
    from steering_net.vision.camera_model import find_camera

    try:
        find_camera(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _camera_or_as_trained(text: str) -> str:
    return text if text == AS_TRAINED else _camera(text or AUTONOMOUS)
