"""Drive: start the bridge, the network and the throttle, and let a simulator connect.

With the embedded simulator a car goes round a track at once. With an external one, start the
Udacity simulator and choose autonomous mode. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim_bridge.bridge_client import reachable
from sim_bridge.cli.arguments import add_camera
from sim_bridge.cli.import_model import PROFILE_HELP
from sim_bridge.errors import UsageError, check_target
from sim_bridge.nodes.bridge_guard import GuardedBridge
from sim_bridge.process import KeepsEndingError, ManagedProcess
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.fault_injection import FaultError, parse_faults
from sim_bridge.topics import MAX_CARS, prefixes

_POLL_S = 0.05
_SHOW_S = 0.25
_END_S = 5.0


class DriveError(RuntimeError):
    """The drive broke down on its way."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('--simulator', choices=('embedded', 'external'), default='embedded', help='who drives up')
    add('--host', default='127.0.0.1', help='address to listen on')
    add('--port', type=int, default=4567, help='TCP port; the Udacity simulator knows only 4567')
    add(
        '--allowed-hosts', default='', metavar='NAMES', help='more names for browsers: a.lan,b.lan'
    )
    add('--model', default='default', help='network: a file, or `default` for the shipped one')
    add('--profile', default='', help=PROFILE_HELP)
    add_camera(parser)
    add('--backend', choices=('litert', 'keras'), default='litert', help='what runs the network')
    add('--cars', type=int, default=1, help='simulators that drive, each a car of its own')
    add('--speed-limit', type=float, default=6.7, help='speed limit, m/s')
    add('--track', type=int, default=0, help='seed of the embedded track')
    add('--laps', type=int, default=0, help='end after so many laps; 0: never')
    add('--seconds', type=float, default=0.0, help='end after so many seconds; 0: never')
    add('--culture', choices=tuple(CULTURES), default='en-US', help='how it writes numbers')
    add('--fast', action='store_true', help='embedded: one frame per answer, not real time')
    add('--faults', default='', metavar='LIST', help='embedded: see `sim-bridge simulate --help`')
    add('--one-process', action='store_true', help='all three nodes in one process, not in three')
    add('--annotate', action='store_true', help='also draw the predicted path on the frames')
    add('--odometry', action='store_true', help='also publish the path driven so far')
    add('--record', type=Path, metavar='DIR', help='record the drive into this new folder (MCAP)')
    add('--report', type=Path, help='write the figures of the drive to this JSON file')


def run(args: argparse.Namespace) -> int:
    """Drive until the end; exit code 0, 2 for bad input, 1 if the drive broke down."""
    try:
        _check(args)
        _prepare_model(args)
        return _Drive(args).run()
    except (UsageError, DriveError, KeepsEndingError) as error:
        print(f'sim-bridge drive: {error}', file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for what can be told before anything starts."""
    if not 1 <= args.port <= 65535:
        raise UsageError(f'--port is {args.port}, it must be in 1 .. 65535')
    if not 1 <= args.cars <= MAX_CARS:
        raise UsageError(f'--cars is {args.cars}, it must be in 1 .. {MAX_CARS}')
    if not 0.0 < args.speed_limit <= 60.0:
        raise UsageError(f'--speed-limit is {args.speed_limit}, it must be in 0 .. 60 m/s')
    for option in ('track', 'laps', 'seconds'):
        if not getattr(args, option) >= 0:
            raise UsageError(f'--{option} is {getattr(args, option)}, it must not be negative')
    if args.simulator == 'external' and args.faults:
        raise UsageError('--faults needs --simulator embedded')
    try:
        parse_faults(args.faults)
    except FaultError as error:
        raise UsageError(f'--{error}') from error
    if args.simulator == 'external' and args.laps:
        raise UsageError('--laps needs --simulator embedded; use --seconds')
    if args.model != 'default' and not Path(args.model).exists():
        raise UsageError(f'--model: there is no file {args.model}')
    if args.record and args.record.exists():
        raise UsageError(f'--record: {args.record} exists already')
    check_target('--report', args.report)


def _prepare_model(args: argparse.Namespace) -> None:
    """Read a network that somebody brings before anything starts, and say how it will see."""
    if args.model == 'default':
        return
    from steering_net.model_io.litert_converter import prepare
    from steering_net.vision.preprocessing import find_profile

    try:
        print(prepare(Path(args.model), find_profile(args.profile) if args.profile else None))
    except ValueError as error:
        raise UsageError(f'--model: {error}') from error


class _Drive:
    """One drive from the first process to the report."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._host = reachable(args.host)
        self._ending = threading.Event()
        self._simulations: list[dict[str, Any]] = []
        self._bridge: dict[str, Any] = {}
        self._screen = _Screen()
        self._nodes: list[ManagedProcess] = []
        self._simulators: list[ManagedProcess] = []
        self._recorder: ManagedProcess | None = None
        self._recording_broke = False
        self._readers: list[threading.Thread] = []

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._ending.set())
        try:
            self._start()
            self._watch()
        finally:
            self._end()
        self._report()
        return 1 if self._recording_broke else 0

    def _start(self) -> None:
        quiet = ['--ros-args', '--log-level', 'warn']
        args = self._args
        commands: dict[str, dict[str, Any]] = {
            'bridge': {
                'host': args.host,
                'port': args.port,
                'allowed_hosts': args.allowed_hosts,
            },
            'steering': {
                'model': args.model,
                'profile': args.profile,
                'camera': args.camera,
                'backend': args.backend,
            },
            'throttle': {'speed_limit': args.speed_limit},
        }
        for values in commands.values():
            values['cars'] = args.cars
        if args.record:
            words = ['record', str(args.record), '--cars', str(args.cars)]
            self._recorder = ManagedProcess('recorder', words)
        if args.one_process:
            words = [word for pair in commands.items() for word in _parameters(*pair)]
            self._nodes.append(GuardedBridge(['together', *quiet, *words]))
        else:
            for node, values in commands.items():
                words = [node, *quiet, *_parameters(node, values)]
                is_bridge = node == 'bridge'
                self._nodes.append(
                    GuardedBridge(words) if is_bridge else ManagedProcess(node, words)
                )
        self._nodes += [
            ManagedProcess(viewer, [viewer, *quiet, '-r', f'__ns:=/{prefix.rstrip("/")}'])
            for viewer in ('annotate', 'odometry')
            for prefix in prefixes(args.cars)
            if getattr(args, viewer)
        ]
        if args.record:
            self._wait_until_ready()  # Else the first frames would not be recorded.
        if args.simulator == 'embedded':
            for _ in range(args.cars):
                self._start_simulator()
        self._wait_until_ready()

    def _start_simulator(self) -> None:
        simulator = ManagedProcess(
            'simulator', _simulate(self._args, self._host), pipe_output=True
        )
        said: dict[str, Any] = {}
        reader = threading.Thread(target=_read, args=(simulator, said), name='simulator-output')
        reader.start()
        self._simulators.append(simulator)
        self._simulations.append(said)
        self._readers.append(reader)

    def _wait_until_ready(self) -> None:
        while not self._ending.is_set() and not self._is_ready():
            self._screen.show('starting the nodes ...')
            self._look_after_nodes()
            self._ending.wait(0.05)
            self._bridge = _state(self._host, self._args.port) or self._bridge

    def _is_ready(self) -> bool:
        nodes = [car['nodes'] for car in self._bridge.get('cars', ())]
        is_recorded = all(car['recorder'] == 'ready' for car in nodes)
        return bool(self._bridge.get('ready') and (is_recorded or not self._recorder))

    def _watch(self) -> None:
        until_s = time.monotonic() + (self._args.seconds or float('inf'))
        if self._simulators:
            until_s = float('inf')  # It counts the seconds itself, from its first command on.
        show_s = 0.0
        while not self._ending.wait(_POLL_S) and time.monotonic() < until_s:
            self._look_after_nodes()
            if time.monotonic() >= show_s:
                show_s = time.monotonic() + _SHOW_S
                self._bridge = _state(self._host, self._args.port) or self._bridge
                self._screen.show(_status_line(self._bridge, self._simulations))
            if self._simulators and self._have_arrived():
                break

    def _have_arrived(self) -> bool:
        """Whether every simulator has ended; DriveError if one of them broke down."""
        codes = [simulator.exit_code for simulator in self._simulators]
        if broken := next(filter(None, codes), 0):
            raise DriveError(f'the simulator ended with {broken}, see above')
        return None not in codes

    def _look_after_nodes(self) -> None:
        """Restart a node that died; give up where that cannot help."""
        self._look_after_recorder()
        for node in self._nodes:
            node.look_after(self._screen.say)

    def _look_after_recorder(self) -> None:
        """A bag that cannot be made ends the drive, one that breaks off does not."""
        code = self._recorder.exit_code if self._recorder else None
        if code == 2:
            raise UsageError('the recording did not start, see above')
        if code is not None:
            self._screen.say('the recording broke off, the drive goes on without it')
            self._recorder, self._recording_broke = None, True

    def _end(self) -> None:
        """Simulators first, so that they hear the bridge's farewell or have left before it."""
        for simulator in self._simulators:
            simulator.ask_to_end()
        for simulator in self._simulators:
            simulator.wait(_END_S)
        for reader in self._readers:
            reader.join()
        self._bridge = _state(self._host, self._args.port) or self._bridge
        for node in self._nodes:
            node.ask_to_end()
        for node in self._nodes:
            node.wait(_END_S)
        if self._recorder:
            self._recorder.ask_to_end()
            self._recorder.wait(_END_S)
            self._recording_broke = self._recorder.exit_code != 0
        self._screen.close()

    def _report(self) -> None:
        report = _totals(self._simulations)
        for field in ('timeouts', 'late_commands'):
            report[field] = self._bridge.get(field, 0)
        if not self._simulators:
            for field in ('answers', 'latency_ms', 'telemetry_hz'):
                report[field] = self._bridge.get(field)
            report['frames'] = self._bridge.get('telemetry')
        if self._args.cars > 1:
            report['latency_ms'] = self._bridge.get('latency_ms')
            report['cars'] = self._simulations or self._bridge.get('cars')
        if self._args.report:
            partial = self._args.report.with_suffix('.part')
            partial.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
            os.replace(partial, self._args.report)
        print(_summary(report))


def _parameters(node: str, values: dict[str, Any]) -> Sequence[str]:
    """ROS arguments that set these of a node; an empty text keeps the node's default."""
    pairs = [f'{node}:{name}:={value}' for name, value in values.items() if value != '']
    return [word for pair in pairs for word in ('-p', pair)]


def _simulate(args: argparse.Namespace, host: str) -> list[str]:
    words = ['simulate', '--url', f'ws://{host}:{args.port}', '--status', '--when-ready']
    for option in ('track', 'laps', 'seconds', 'culture', 'faults'):
        words += [f'--{option}', str(getattr(args, option))]
    return words + (['--fast'] if args.fast else [])


def _read(simulator: ManagedProcess, said: dict[str, Any]) -> None:
    """Keep the newest line that a simulator says; the last one is its report."""
    for line in simulator.output:
        with contextlib.suppress(ValueError):  # A killed simulator leaves half a line.
            news = json.loads(line)
            said.clear()
            said.update(news)


def _totals(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The report of the one car, or what can be said of several together."""
    if len(reports) <= 1:
        return dict(*reports)
    told = [report for report in reports if 'autonomy_percent' in report]
    if not told:
        return {}
    added = ('frames', 'answers', 'telemetry_hz', 'distance_m', 'lane_departures', 'interventions')
    totals = {field: sum(report[field] for report in told) for field in added}
    totals['laps'] = min(report['laps'] for report in told)
    totals['autonomy_percent'] = min(report['autonomy_percent'] for report in told)
    return totals


def _state(host: str, port: int) -> dict[str, Any] | None:
    """What the bridge says of itself; None while it does not answer."""
    connection = http.client.HTTPConnection(host, port, timeout=0.5)
    try:
        connection.request('GET', '/state.json')
        state = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return state if isinstance(state, dict) else None


def _status_line(bridge: dict[str, Any], simulations: Sequence[dict[str, Any]]) -> str:
    latency = bridge.get('latency_ms', {})
    parts = [
        str(bridge.get('state', 'the bridge does not answer')),
        f'{bridge.get("telemetry_hz", 0.0):.0f} Hz',
        _latency(latency),
    ]
    if len(bridge.get('cars', ())) > 1:
        return ' | '.join(parts)
    parts.append(f'{bridge.get("speed_mps", 0.0):.1f} m/s')
    simulation = simulations[0] if simulations else {}
    if 'cross_track_m' in simulation:
        parts.append(f'{simulation["cross_track_m"]:+.2f} m off the middle')
        parts.append(f'lap {simulation["laps"] + 1}')
    return ' | '.join(parts)


def _latency(figures: dict[str, Any]) -> str:
    return f'{figures.get("p50") or 0.0:.1f} ms (p99 {figures.get("p99") or 0.0:.1f})'


def _summary(report: dict[str, Any]) -> str:
    latency = report.get('latency_ms') or {}
    told = [f'{report.get("frames") or 0} frames at {report.get("telemetry_hz") or 0.0:.1f} Hz']
    told.append(f'answered in {_latency(latency)}')
    told.append(f'{report["timeouts"]} timeouts')
    if 'laps' in report:
        told.append(f'{report["laps"]} laps, {report["distance_m"]:.0f} m')
        told.append(f'{report["lane_departures"]} lane departures')
        told.append(f'{report["autonomy_percent"]:.1f} % autonomous')
    return ', '.join(told)


class _Screen:
    """One live line on a terminal, nothing of it elsewhere."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self._shown = ''

    def show(self, line: str) -> None:
        """Replace the live line."""
        if self.live and line != self._shown:
            width = shutil.get_terminal_size().columns - 1
            print(f'\r{line[:width]}\x1b[K', end='', flush=True)
            self._shown = line

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.close()
        print(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the live line behind."""
        if self._shown:
            print()
            self._shown = ''
