# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: checks of their arguments, and how they start programs.

This module does not know the package `launch`, so it can be tested where ROS 2 has no launch.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from sim_bridge.cli.arguments import (
    check_model,
    check_namespace,
    check_range,
)
from sim_bridge.errors import UsageError
from sim_bridge.limits import MAX_SPEED_LIMIT_MPS
from sim_bridge.simulator.track_names import parse_track
from sim_bridge.simulator.weather import parse_weather
from sim_bridge.topics import frame_prefix, namespaces_of_cars
from steering_net.cars import MAX_CARS
from steering_net.model_io.found_profile import wished_profile
from steering_net.vision.camera_model import find_camera
from steering_net.vision.camera_names import AS_TRAINED

Check = Callable[[str, str], None]
"""Raises UsageError unless the text is a value of the argument; the first text names it."""

_TRUTHS = ('true', 'false', '1', '0')


def check_arguments(values: Mapping[str, str]) -> None:
    """Raise UsageError, in one line that names the launch argument, for a value that is not valid.

    Call this before anything is started. Arguments in `_OPTIONAL` may be empty.
    """
    for name, check in _CHECKS.items():
        if name in values and (values[name] or name not in _OPTIONAL):
            check(f'launch argument {name}', values[name])


def bridge_address(content: object, namespace: str) -> tuple[str, str]:
    """Return host and port that a parameters file gives the bridge of a namespace; '' for neither.

    content: what YAML reads in the file; nothing is found in content of another kind.
    """
    node = f'/{frame_prefix(namespace)}bridge'
    found: dict[str, object] = {}
    for name, values in _parameters_in(content):
        if _names(name, node):
            found |= values  # As in ROS 2, the last entry counts.
    return str(found.get('host', '')), str(found.get('port', ''))


def _parameters_in(content: object, name: str = '') -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each full name of a node in a parameters file, which may be nested, and its values."""
    for key, inner in content.items() if isinstance(content, dict) else ():
        if key != 'ros__parameters':
            yield from _parameters_in(inner, f'{name}/{str(key).lstrip("/")}')
        elif isinstance(inner, dict):
            yield name, inner


def _names(pattern: str, node: str) -> bool:
    """Whether a name of a parameters file is of this node: /* is one part, /** any number."""
    wild = {'*': r'/\w+', '**': r'(/\w+)*'}
    parts = (wild.get(part, '/' + re.escape(part)) for part in pattern.split('/')[1:])
    return re.fullmatch(''.join(parts), node) is not None


def new_folder(path: Path) -> Path:
    """Return `path`, or with a number appended the first one that does not exist.

    Raises UsageError for a path that has no name, such as `.`.
    """
    if not path.name:
        raise UsageError(f'launch argument bag is {path}; it must be the name of a new folder')
    number, folder = 1, path
    while folder.exists():
        number += 1
        folder = path.with_name(f'{path.name}_{number}')
    return folder


def topics_in_bag(path: Path) -> set[str]:
    """Return the full names of the topics of a bag. Raises UsageError without a bag."""
    from sim_bridge.recording.bag import Bag
    from sim_bridge.recording.storage import Storage

    try:
        bag = Bag(Storage(path))
        return set(bag.offers()) or {record.topic for record in bag}
    except UsageError as error:
        raise UsageError(f'launch argument bag: {error}') from error


def count_cars(topics: Iterable[str]) -> dict[str, int]:
    """Return the number of cars of these topics by the namespace of the nodes that serve them.

    Cars `/car_1` and `/car_2` are two of the root, ''; a car `/ego` is the only one of `/ego`.
    """
    cars: dict[str, int] = {}
    for namespace in sorted(namespaces_of_cars(topics)) or ['']:
        parent, _, name = namespace.rpartition('/')
        is_counted = re.fullmatch(r'car_[0-9]+', name)
        home, number = (parent, int(name[4:])) if is_counted else (namespace, 1)
        cars[home] = max(number, cars.get(home, 0))
    return cars


def present(names: Sequence[str], topics: Collection[str]) -> list[str]:
    """Return those relative names that a topic has; all names if no topic has one of them."""
    from sim_bridge.recording.bag import is_named

    found = [name for name in names if any(is_named(topic, name) for topic in topics)]
    return found or list(names)


@cache
def interrupt_blocking_prefix() -> str:
    """Return the prefix of a command of this package that blocks SIGINT while it starts.

    Python prints a traceback if SIGINT comes while the interpreter starts. The programs of this
    package unblock it when they can end cleanly. Empty where `env` has no such option.
    """
    words = ['env', '--block-signal=INT']
    is_known = subprocess.run([*words, 'true'], capture_output=True, check=False).returncode == 0
    return ' '.join(words) if is_known else ''


ENDS_WITH_LAUNCH = 'setpriv --pdeathsig TERM'
"""Prefix of a command of another package: it gets SIGTERM when launch ends for whatever reason.

Launch leaves its processes running after SIGTERM or SIGKILL. The programs of this package watch it
themselves, see `steering_net.process`.
"""


def _whole(low: int, high: float) -> Check:
    return lambda option, text: check_range(option, _number(option, text, int), low, high)


def _real(low: float, high: float, unit: str = '') -> Check:
    return lambda option, text: check_range(option, _number(option, text, float), low, high, unit)


def _number(option: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError:
        what = 'a whole number' if kind is int else 'a number'
        raise UsageError(f'{option} is {text!r}; it must be {what}') from None


def _positive(option: str, text: str) -> None:
    if not _number(option, text, float) > 0.0:
        raise UsageError(f'{option} is {text}; it must be greater than 0')


def _truth(option: str, text: str) -> None:
    if text.strip().lower() not in _TRUTHS:
        raise UsageError(f'{option} is {text!r}; it must be true or false')


def _file(option: str, text: str) -> None:
    if not Path(text).is_file():
        raise UsageError(f'{option}: there is no file {text}; name an existing file')


def _parsed(parse: Callable[[str], object]) -> Check:
    def check(option: str, text: str) -> None:
        try:
            parse(text)
        except ValueError as error:
            raise UsageError(f'{option}: {error}') from None

    return check


def _camera(text: str) -> None:
    if text != AS_TRAINED:
        find_camera(text)


_CHECKS: dict[str, Check] = {
    'cars': _whole(1, MAX_CARS),
    'port': _whole(1, 65535),
    'laps': _whole(0, float('inf')),
    'track': _parsed(parse_track),
    'weather': _parsed(parse_weather),
    'speed_limit': _real(0.0, MAX_SPEED_LIMIT_MPS, 'm/s'),
    'params_file': _file,
    'model': check_model,
    'namespace': check_namespace,
    'profile': _parsed(wished_profile),
    'camera': _parsed(_camera),
    'rate': _positive,
    'threshold': _real(0.0, float('inf'), 'rad'),
    **dict.fromkeys(
        ('record', 'rviz', 'annotate', 'odometry', 'foxglove', 'control', 'shared', 'check'),
        _truth,
    ),
}
_OPTIONAL = {'control', 'shared', 'port', 'speed_limit', 'model', 'namespace', 'profile', 'camera'}
