"""Looks for the usual reasons why a drive does not start or does not steer. No ROS in this file.

Every check returns findings; what it looks at is an argument, so that broken set-ups can be tried.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from sim_bridge.protocol.types import HALT, Telemetry
from sim_bridge.protocol.udacity import CULTURES, EVENT_STEER, encode_command, encode_telemetry
from sim_bridge.session.response_scheduler import State

_LISTENING = '0A'
_SHM_NEEDED_BYTES = 16_000_000
_HANDSHAKE_S = 5.0
_DOMAINS = 233
_EPHEMERAL_DOMAINS = range(102, 215)
_UNTESTED = {'python-engineio': '4.16', 'python-socketio': '5.19', 'eventlet': '0.42'}
"""First versions with which the server, which overrides private parts of them, was not tested."""
_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')

Versions = Callable[[str], str | None]


class Level(IntEnum):
    """How bad a finding is."""

    OK = 0
    WARNING = 1
    BROKEN = 2


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it ('' if nothing)."""

    level: Level
    check: str
    found: str
    remedy: str = ''

    def __str__(self) -> str:
        mark = {Level.OK: 'ok', Level.WARNING: 'WARNING', Level.BROKEN: 'BROKEN'}[self.level]
        remedy = f'; {self.remedy}' if self.remedy else ''
        return f'{mark:8}{self.check}: {self.found}{remedy}'


def version_of(package: str) -> str | None:
    """Version of an installed distribution, None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Whether this Python is one that the packages are built for."""
    found = '.'.join(map(str, version))
    if (3, 11) <= version <= (3, 13):
        return Finding(Level.OK, 'python', found)
    return Finding(Level.BROKEN, 'python', f'{found} is not supported', 'use Python 3.11 to 3.13')


def check_packages(versions: Versions = version_of) -> Iterator[Finding]:
    """Packages that are missing or known to break."""
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
    told = f'opencv {opencv}, numpy {numpy}, socketio {socketio}, engineio {engineio}'
    yield Finding(Level.OK, 'packages', told)


def check_ros() -> Finding:
    """Whether rclpy can be imported."""
    try:
        from sim_bridge.nodes import graph_inspector
    except ImportError as error:
        remedy = 'source the ROS 2 setup file, or make venv for the PyPI packages'
        return Finding(Level.BROKEN, 'ros', f'rclpy cannot be imported: {error}', remedy)
    return Finding(Level.OK, 'ros', graph_inspector.description())


def check_port(port: int, proc: Path = Path('/proc')) -> Finding:
    """Whether the simulator's port is free, who has it if not, and what its cars do."""
    inodes = _listening_inodes(port, proc)
    if not inodes:
        return Finding(Level.OK, 'port', f'{port} is free')
    states = _car_states(port)
    owner = _owner(inodes, proc) or 'a process of another user or container'
    for state in states:
        if state.startswith(State.UNREADABLE.value):
            remedy = 'see docs/troubleshooting.md, "Telemetry cannot be read"'
            return Finding(Level.BROKEN, 'simulator', state, remedy)
    if states:
        found = f'{port} is served by a bridge ({owner}): {", ".join(states)}'
        return Finding(Level.OK, 'port', found)
    remedy = 'end it, or drive with --port (the Udacity simulator knows only 4567)'
    return Finding(Level.BROKEN, 'port', f'{port} is in use by {owner}', remedy)


def check_shared_memory(folder: Path = Path('/dev/shm'), proc: Path = Path('/proc')) -> Finding:
    """Whether DDS can use shared memory, and what dead processes left there."""
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
            f'{len(stale)} files of ended processes lie in {folder} ({size_mb:.0f} MB)',
            f'rm {folder}/fastdds_* while no node runs',
        )  # fmt: skip
    return Finding(Level.OK, 'shared memory', f'{free_bytes / 1e6:.0f} MB free')


def check_discovery(environment: Mapping[str, str] = os.environ) -> Finding:
    """Whether nodes started from here can find each other."""
    domain = environment.get('ROS_DOMAIN_ID', '0')
    reach = environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if not domain.isdecimal() or int(domain) >= _DOMAINS:
        remedy = f'export ROS_DOMAIN_ID=0 (0 to {_DOMAINS - 1})'
        return Finding(Level.BROKEN, 'discovery', f'ROS_DOMAIN_ID is {domain!r}', remedy)
    if reach not in _RANGES or reach == 'OFF':
        found = f'ROS_AUTOMATIC_DISCOVERY_RANGE is {reach!r}, so nodes do not find each other'
        remedy = 'export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST'
        return Finding(Level.BROKEN, 'discovery', found, remedy)
    if int(domain) in _EPHEMERAL_DOMAINS:
        found = f'domain {domain} has ports that other programs take at random'
        return Finding(Level.WARNING, 'discovery', found, 'choose a ROS_DOMAIN_ID below 102')
    return Finding(Level.OK, 'discovery', f'domain {domain}, range {reach}')


def check_model(model: str, profile: str) -> Finding:
    """Whether the network loads and steers."""
    from steering_net.inference.predictor import load_predictor

    remedy = "see what 'sim-bridge import-model' says of it"
    try:
        loaded = load_predictor(model, 'litert', profile or None)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        return Finding(Level.BROKEN, 'model', ' '.join(str(error).split()), remedy)
    return Finding(Level.OK, 'model', f'{loaded.name}, profile {loaded.profile.name}')


def check_sandbox() -> Finding:
    """Whether the kernel can keep a process that reads a network from files and sockets."""
    from steering_net.model_io import sandbox

    if missing := sandbox.missing():
        return Finding(Level.WARNING, 'sandbox', missing, 'import only networks that you trust')
    return Finding(Level.OK, 'sandbox', 'networks are read without access to files and sockets')


def check_handshake() -> Finding:
    """Whether the server here understands the simulator's old dialect, tried with that dialect."""
    try:
        answers = _try_handshake()
    except (ImportError, RuntimeError, OSError) as error:
        return Finding(Level.BROKEN, 'handshake', ' '.join(str(error).split()), 'make venv')
    if answers:
        return Finding(Level.OK, 'handshake', "the Udacity simulator's dialect is understood")
    found = "the Udacity simulator's dialect is not answered"
    remedy = 'install the tested versions: pip install -r requirements/pypi.txt'
    return Finding(Level.BROKEN, 'handshake', found, remedy)


def check_quality_of_service(seconds: float = 3.5) -> Iterator[Finding]:
    """Topics whose publishers offer less than a subscription asks for, of what runs now.

    Listens for `seconds`: a node whose first word was lost tells of itself again after three.
    """
    try:
        from sim_bridge.nodes import graph_inspector
    except ImportError:
        return  # `check_ros` says so.
    topics, mismatches = graph_inspector.mismatches(seconds)
    for mismatch in mismatches:
        remedy = 'nothing arrives: give both ends the same reliability and durability'
        yield Finding(Level.BROKEN, 'quality of service', mismatch, remedy)
    if not mismatches:
        yield Finding(Level.OK, 'quality of service', f'{topics} topics fit')


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version)[:3])


def _listening_inodes(port: int, proc: Path) -> set[str]:
    inodes = set()
    for table in ('net/tcp', 'net/tcp6'):
        try:
            lines = (proc / table).read_text(encoding='ascii').splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(':')[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _owner(inodes: set[str], proc: Path) -> str | None:
    """Name and pid of the process that holds one of these sockets."""
    sockets = {f'socket:[{inode}]' for inode in inodes}
    for process in proc.glob('[0-9]*'):
        try:
            if any(os.readlink(link) in sockets for link in (process / 'fd').iterdir()):
                words = (process / 'cmdline').read_bytes().split(b'\0')
                command = b' '.join(words).decode(errors='replace').strip()
                return f'pid {process.name} ({command[:80]})'
        except OSError:
            continue  # It ended meanwhile, or belongs to somebody else.
    return None


def _car_states(port: int) -> list[str]:
    """State of each car of the bridge on this port, [] if there is no bridge."""
    try:
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/state.json', timeout=1.0) as reply:
            return [str(car['state']) for car in json.load(reply)['cars']]
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError):
        return []


def _stale_segments(folder: Path, proc: Path) -> list[Path]:
    """Files of DDS that no process has mapped any more."""
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
    """Answers that the simulator's dialect gets from a server of our own."""
    from sim_bridge.server.simulator_server import SimulatorServer
    from sim_bridge.simulator.client import Client

    server = SimulatorServer(host='127.0.0.1', port=0, pages=lambda *_: [])
    server.start(_Answering(server.send))
    try:
        culture = CULTURES['en-US']
        client = Client(f'ws://127.0.0.1:{server.port}', culture)
        frame = encode_telemetry(Telemetry(0.0, 0.0, 0.0, b'no picture'), culture)
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
    """Answers every telemetry."""

    def __init__(self, send: Callable[[str, str, Mapping[str, str]], None]) -> None:
        self._send = send

    def connected(self, now_s: float, sid: str, *, speaks_eio3: bool) -> None:
        pass

    def disconnected(self, now_s: float, sid: str) -> None:
        pass

    def drives(self, now_s: float, sid: str) -> bool:
        return True

    def telemetry(self, now_s: float, sid: str, payload: object) -> None:
        self._send(sid, EVENT_STEER, encode_command(HALT, '.'))

    def expire(self, now_s: float) -> None:
        pass

    def next_deadline(self) -> float:
        return float('inf')
