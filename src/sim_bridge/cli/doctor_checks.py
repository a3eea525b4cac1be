# SPDX-License-Identifier: Apache-2.0
"""Checks for the usual reasons why a drive does not start or does not steer. No ROS in this file.

Each check returns findings. What it examines is an argument, so that tests can pass broken setups.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from sim_bridge.bridge_client import fetch_state
from sim_bridge.limits import USUAL_PORT
from sim_bridge.protocol.types import COAST, Link, Telemetry
from sim_bridge.protocol.udacity import CULTURES

_PROC = Path('/proc')
_LISTENING = '0A'
_SHM_NEEDED_BYTES = 16_000_000
_HANDSHAKE_S = 5.0
_LISTEN_S = 3.5
"""Time to listen for nodes: a node repeats a lost announcement after 3 s."""
_DOMAINS = 233
_EPHEMERAL_DOMAINS = range(102, 215)
_UNTESTED = {'python-engineio': '4.16', 'python-socketio': '5.19', 'eventlet': '0.42'}
"""First untested version of each package of which the server overrides private parts."""
_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')

Versions = Callable[[str], str | None]


class Level(IntEnum):
    """Severity of a finding."""

    OK = 0
    WARNING = 1
    BROKEN = 2


@dataclass(frozen=True)
class Finding:
    """One line of the report: the check, its result, and the remedy ('' if none is needed)."""

    level: Level
    check: str
    found: str
    remedy: str = ''

    def __str__(self) -> str:
        mark = {Level.OK: 'ok', Level.WARNING: 'WARNING', Level.BROKEN: 'BROKEN'}[self.level]
        remedy = f'; {self.remedy}' if self.remedy else ''
        return f'{mark:8}{self.check}: {self.found}{remedy}'


def version_of(package: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Check that this Python is one that the packages are built for."""
    found = '.'.join(map(str, version))
    if (3, 11) <= version <= (3, 13):
        return Finding(Level.OK, 'python', found)
    if version == (3, 14):
        remedy = 'use Python 3.11 to 3.13 if something fails'
        return Finding(Level.WARNING, 'python', f'{found} is not tested', remedy)
    return Finding(
        Level.BROKEN, 'python', f'version {found} is not supported', 'use Python 3.11 to 3.13'
    )


def check_packages(versions: Versions = version_of) -> Iterator[Finding]:
    """Check for packages that are missing, too old or too new."""
    opencv = versions('opencv-python-headless') or versions('opencv-python')
    if opencv and _numbers(opencv) >= (5,):
        yield Finding(
            Level.BROKEN, 'opencv', f'{opencv} breaks cv_bridge',
            "pip install 'opencv-python-headless<5'",
        )  # fmt: skip
    numpy = versions('numpy')
    if numpy and _numbers(numpy) >= (2, 3) and versions('cv-bridge'):
        yield Finding(
            Level.BROKEN, 'numpy', f"{numpy} lacks what PyPI's cv-bridge calls",
            "pip install 'numpy<2.3'",
        )  # fmt: skip
    for name, least in (('python-engineio', '4.8'), ('python-socketio', '5.11')):
        version = versions(name)
        if version is None or _numbers(version) < _numbers(least):
            yield Finding(
                Level.BROKEN, name, f'{version or "nothing"} is installed',
                f"pip install '{name}>={least}': old pins are not needed here",
            )  # fmt: skip
    for name, untested in _UNTESTED.items():
        version = versions(name)
        if version and _numbers(version) >= _numbers(untested):
            yield Finding(
                Level.WARNING, name, f'{version} is newer than what was tested',
                f"if the simulator is not served: pip install '{name}<{untested}'",
            )  # fmt: skip
    for name in ('eventlet', 'flask', 'numpy', 'ai-edge-litert'):
        if versions(name) is None:
            yield Finding(Level.BROKEN, name, 'is not installed', 'make venv')
    socketio, engineio = versions('python-socketio'), versions('python-engineio')
    found = f'opencv {opencv}, numpy {numpy}, socketio {socketio}, engineio {engineio}'
    yield Finding(Level.OK, 'packages', found)


def check_ros() -> Finding:
    """Check that rclpy can be imported."""
    try:
        from sim_bridge.nodes import graph_inspector
    except ImportError as error:
        remedy = 'source the ROS 2 setup file, or make venv for the PyPI packages'
        return Finding(Level.BROKEN, 'ros', f'rclpy cannot be imported: {error}', remedy)
    return Finding(Level.OK, 'ros', graph_inspector.description())


def check_port(port: int) -> Finding:
    """Check that the port is free, or used by a bridge that can read its telemetry."""
    inodes = _listening_inodes(port)
    if not inodes:
        return Finding(Level.OK, 'port', f'{port} is free')
    cars = _cars(port)
    owner = _owner(inodes) or 'a process of another user or container'
    for car in cars:
        # The trouble is the state only if telemetry cannot be read; else it names missing nodes.
        if car['trouble'] and car['trouble'] == car['state']:
            remedy = 'see docs/troubleshooting.md, "Telemetry cannot be read"'
            return Finding(Level.BROKEN, 'simulator', car['trouble'], remedy)
    if cars:
        states = ', '.join(car['state'] for car in cars)
        return Finding(Level.OK, 'port', f'{port} is served by a bridge ({owner}): {states}')
    remedy = f'end it, or drive with --port (the Udacity simulator connects only to {USUAL_PORT})'
    return Finding(Level.BROKEN, 'port', f'{port} is in use by {owner}', remedy)


def check_shared_memory(folder: Path = Path('/dev/shm'), proc: Path = _PROC) -> Finding:
    """Check that DDS can use shared memory, and that ended processes left no files there."""
    if not os.access(folder, os.W_OK):
        remedy = 'mount it writable (docker: --ipc=host or --shm-size=256m)'
        return Finding(Level.BROKEN, 'shared memory', f'{folder} cannot be written', remedy)
    space = os.statvfs(folder)
    free_bytes = space.f_bavail * space.f_frsize
    if free_bytes < _SHM_NEEDED_BYTES:
        return Finding(
            Level.BROKEN, 'shared memory', f'{folder} has {free_bytes / 1e6:.0f} MB left',
            f'rm {folder}/fastdds_* while no node runs (docker: --shm-size=256m)',
        )  # fmt: skip
    stale = _stale_segments(folder, proc)
    if stale:
        size_mb = sum(path.stat().st_size for path in stale if path.exists()) / 1e6
        return Finding(
            Level.WARNING, 'shared memory',
            f'{len(stale)} files of ended processes are in {folder} ({size_mb:.0f} MB)',
            f'rm {folder}/fastdds_* while no node runs',
        )  # fmt: skip
    return Finding(Level.OK, 'shared memory', f'{free_bytes / 1e6:.0f} MB free')


def check_discovery(environment: Mapping[str, str] = os.environ) -> Finding:
    """Check that nodes started in this environment can find each other."""
    # ROS 2 takes an empty variable for none, and its own default range is SUBNET.
    domain = environment.get('ROS_DOMAIN_ID') or '0'
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST') or 'SUBNET'
    if not domain.isdecimal() or int(domain) >= _DOMAINS:
        remedy = f'export ROS_DOMAIN_ID=0 (0 to {_DOMAINS - 1})'
        return Finding(Level.BROKEN, 'discovery', f'ROS_DOMAIN_ID is {domain!r}', remedy)
    if reach not in _RANGES or reach == 'OFF':
        found = f'ROS_AUTOMATIC_DISCOVERY_RANGE is {reach!r}, so nodes do not find each other'
        remedy = 'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST'
        return Finding(Level.BROKEN, 'discovery', found, remedy)
    if int(domain) in _EPHEMERAL_DOMAINS:
        found = f'the system may give ports of domain {domain} to other programs'
        return Finding(Level.WARNING, 'discovery', found, 'choose a ROS_DOMAIN_ID below 102')
    return Finding(Level.OK, 'discovery', f'domain {domain}, range {reach}')


def check_model(model: str, profile: str) -> Finding:
    """Check that the network can be loaded."""
    from steering_net.inference.predictor import load_predictor

    remedy = "convert it with 'sim-bridge import-model'"
    try:
        loaded = load_predictor(model, 'litert', profile or None)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        return Finding(Level.BROKEN, 'model', ' '.join(str(error).split()), remedy)
    return Finding(Level.OK, 'model', f'{loaded.name}, profile {loaded.profile.name}')


def check_sandbox() -> Finding:
    """Check that the kernel can restrict the process that reads a user's network."""
    from steering_net.model_io import sandbox

    if risks := sandbox.risks():
        return Finding(Level.WARNING, 'sandbox', risks, 'import only networks that you trust')
    return Finding(Level.OK, 'sandbox', 'networks are read without access to files and sockets')


def check_handshake() -> Finding:
    """Check that the installed packages serve the Udacity simulator's old protocol version."""
    try:
        answers = _try_handshake()
    except (ImportError, RuntimeError, OSError) as error:
        return Finding(Level.BROKEN, 'handshake', ' '.join(str(error).split()), 'make venv')
    if answers:
        return Finding(Level.OK, 'handshake', "the Udacity simulator's protocol version is served")
    found = "the Udacity simulator's protocol version is not answered"
    remedy = 'install the tested versions: pip install -r requirements/pypi.txt'
    return Finding(Level.BROKEN, 'handshake', found, remedy)


def check_quality_of_service() -> Iterator[Finding]:
    """Check the running graph for publishers that offer less than a subscription requests."""
    try:
        from sim_bridge.nodes import graph_inspector
    except ImportError:
        return  # `check_ros` reports it.
    topics, mismatches = graph_inspector.mismatches(_LISTEN_S)
    for mismatch in mismatches:
        remedy = 'no message arrives; use the same reliability and durability at both ends'
        yield Finding(Level.BROKEN, 'quality of service', mismatch, remedy)
    if not mismatches:
        yield Finding(Level.OK, 'quality of service', f'{topics} topics are compatible')


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version)[:3])


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ('net/tcp', 'net/tcp6'):
        try:
            lines = (_PROC / table).read_text(encoding='ascii').splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(':')[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _owner(inodes: set[str]) -> str | None:
    """Return pid and command of the process that holds one of these sockets; None if unknown."""
    sockets = {f'socket:[{inode}]' for inode in inodes}
    for process in _PROC.glob('[0-9]*'):
        try:
            if any(os.readlink(link) in sockets for link in (process / 'fd').iterdir()):
                arguments = (process / 'cmdline').read_bytes().split(b'\0')
                command = b' '.join(arguments).decode(errors='replace').strip()
                return f'pid {process.name} ({command[:80]})'
        except OSError:
            continue  # It ended meanwhile, or belongs to another user.
    return None


def _cars(port: int) -> list[dict[str, str]]:
    """Return the status of each car of the bridge on this port; [] if no bridge answers."""
    cars = (fetch_state('127.0.0.1', port, timeout_s=1.0) or {}).get('cars', [])
    return [{field: str(car.get(field, '')) for field in ('state', 'trouble')} for car in cars]


def _stale_segments(folder: Path, proc: Path) -> list[Path]:
    """Return the files of DDS that no process has mapped."""
    mapped = ''
    for maps in proc.glob('[0-9]*/maps'):
        try:
            mapped += maps.read_text(encoding='utf-8', errors='replace')
        except OSError:
            continue
    in_use = set(re.findall(r'/(fastdds_[0-9a-f]+)', mapped))
    segments = folder.glob('fastdds_*')
    return [path for path in segments if path.name.split('_el')[0] not in in_use]


def _try_handshake() -> int:
    """Return how many answers a client with the old protocol version gets from our server."""
    from sim_bridge.server.simulator_server import SimulatorServer
    from sim_bridge.simulator.client import Client

    server = SimulatorServer(host='127.0.0.1', port=0, pages=lambda *_: [])
    server.start(_Answering())
    try:
        client = Client(f'ws://127.0.0.1:{server.port}', CULTURES['en-US'])
        frame = Telemetry(0.0, 0.0, 0.0, b'no picture')
        deadline_s = time.monotonic() + _HANDSHAKE_S
        while not client.answers and time.monotonic() < deadline_s:
            if client.tokens:
                client.send_telemetry(frame)
            client.poll(0.02)
        client.quit()
        return client.answers
    finally:
        server.stop(lambda: None)


class _Answering:
    """Handler of a server that answers every telemetry with 0/0."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    def connected(self, now_s: float, key: str, link: Link, *, is_simulator: bool) -> None:
        self._links[key] = link

    def disconnected(self, now_s: float, key: str) -> None:
        del self._links[key]

    def drives(self, now_s: float, key: str) -> bool:
        return True

    def telemetry(self, now_s: float, key: str, payload: object) -> None:
        self._links[key].send_command(COAST)

    def expire(self, now_s: float) -> None:
        pass

    def next_deadline(self) -> float:
        return float('inf')
