# SPDX-License-Identifier: Apache-2.0
"""Drive: start the bridge, steering and throttle nodes, and let a simulator connect.

The embedded simulator drives a track at once. For --simulator external, start the Udacity
simulator and choose autonomous mode. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sim_bridge.bridge_client import client_host, fetch_state, is_ready
from sim_bridge.cli.arguments import (
    TRACK_HELP,
    WEATHER_HELP,
    add_backend,
    add_camera,
    add_monitor,
    add_speed_limit,
    check_cars,
    check_model,
    check_output_file,
    check_range,
    check_speed_limit,
    check_weather,
    refuse_given,
)
from sim_bridge.cli.drive_parameters import add_parameters, check_parameters, words_of
from sim_bridge.cli.drive_recording import add_recording, check_recording, recorder_words
from sim_bridge.cli.drive_report import drive_report, latency_words, summary
from sim_bridge.cli.drive_server import add_server, check_server, server_parameters
from sim_bridge.cli.drive_viewers import add_viewers, check_viewers, viewer_words
from sim_bridge.cli.import_model import PROFILE_HELP
from sim_bridge.cli.output import StatusLine, write_json
from sim_bridge.cli.ros_arguments import QUIET, parameters
from sim_bridge.errors import UsageError
from sim_bridge.nodes.bridge_guard import GuardedBridge
from sim_bridge.process import DRIVE_ID, EXIT_REFUSED, ManagedProcess, RestartLimitError
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.fault_injection import parse_faults
from sim_bridge.simulator.track_names import parse_track

_POLL_S = 0.05
_SHOW_S = 0.25
_END_S = 5.0

_OF_EMBEDDED = {
    'track': '0',
    'weather': 'clear',
    'culture': 'en-US',
    'fast': False,
    'faults': '',
    'laps': 0,
}
"""Options that only the embedded simulator has, with their defaults."""


class DriveError(RuntimeError):
    """A part of the drive failed while it ran."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add_recording(parser)
    add(
        '--simulator',
        choices=('embedded', 'external'),
        default='embedded',
        help='simulator that drives; external: one that you start, such as the Udacity simulator',
    )
    add_server(parser)
    add('--model', default='default', help='network: a file or folder, or `default`')
    add('--profile', default='', help=PROFILE_HELP)
    add_camera(parser)
    add_backend(parser)
    add_monitor(parser)
    add('--cars', type=int, default=1, metavar='N', help='number of cars, one simulator each')
    add(
        '--shared',
        action='store_true',
        help='let other steering nodes share the cars, of other machines too: see docs/fleet.md',
    )
    add_speed_limit(parser)
    add('--track', metavar='TRACK', help=f'embedded: {TRACK_HELP}')
    add('--weather', metavar='KIND:N', help=f'embedded: {WEATHER_HELP}')
    add('--laps', type=int, metavar='N', help='embedded: end after N laps; 0: never')
    add('--seconds', type=float, default=0.0, metavar='S', help='end after S seconds; 0: never')
    add(
        '--culture',
        choices=tuple(CULTURES),
        help='embedded: culture that the simulator writes numbers in',
    )
    add(
        '--fast',
        action='store_true',
        help='embedded: simulate the next frame once one is answered, in simulated time',
    )
    add('--faults', metavar='LIST', help='embedded: see `sim-bridge simulate --help`')
    add('--one-process', action='store_true', help='run the three nodes in one process')
    add_viewers(parser)
    add_parameters(parser)
    add('--report', type=Path, metavar='FILE', help='write the report to this JSON file')
    parser.set_defaults(**_OF_EMBEDDED)


def run(args: argparse.Namespace) -> int:
    """Drive until the end; 0 on success, 1 if a part failed, 2 for bad input."""
    try:
        _check(args)
        args.model = args.network or args.model
        _prepare_model(args)
        return _Drive(args).run()
    except (UsageError, DriveError, RestartLimitError) as error:
        print(f'sim-bridge drive: {error}', file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


def _check(args: argparse.Namespace) -> None:
    """Raise UsageError for bad input, before anything is started."""
    check_server(args)
    check_cars(args.cars)
    check_speed_limit(args.speed_limit)
    for option in ('laps', 'seconds'):
        check_range(f'--{option}', getattr(args, option), 0)
    if args.simulator == 'external':
        refuse_given(args, _OF_EMBEDDED, 'needs --simulator embedded')
    try:
        parse_faults(args.faults)
        parse_track(args.track)
    except ValueError as error:
        raise UsageError(f'--{error}') from error
    check_weather(args.weather)
    if args.network and args.model != 'default':
        raise UsageError(f'there are two networks, {args.network} and {args.model}; name one')
    check_model('MODEL' if args.network else '--model', args.network or args.model)
    check_recording(args)
    check_viewers(args)
    check_output_file('--report', args.report)
    check_parameters(args, _node_parameters(args))


def _prepare_model(args: argparse.Namespace) -> None:
    """Convert a user's network before anything starts, and print its preprocessing."""
    if args.model == 'default':
        return
    from steering_net.model_io.found_profile import prepare

    try:
        print('\n'.join(prepare(Path(args.model), args.profile)))
    except ValueError as error:
        raise UsageError(f'--model: {error}') from error


def _node_parameters(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the parameters that options set, by the node's name."""
    cars = {'cars': args.cars}
    return {
        'bridge': server_parameters(args) | cars,
        'steering': {
            'model': args.model,
            'profile': args.profile,
            'camera': args.camera,
            'backend': args.backend,
            'monitor': args.monitor,
            'shared': args.shared,
            **cars,
        },
        'throttle': {'speed_limit': args.speed_limit, **cars},
    }


class _Drive:
    """One drive: its processes, from the first one to the report."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._host = client_host(args.host)
        self._ending = threading.Event()
        self._simulations: list[dict[str, Any]] = []
        self._bridge: dict[str, Any] = {}
        self._line = StatusLine()
        self._nodes: list[ManagedProcess] = []
        self._viewers: list[ManagedProcess] = []
        self._simulators: list[ManagedProcess] = []
        self._recorder: ManagedProcess | None = None
        self._recording_failed = False
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
        return 1 if self._recording_failed else 0

    def _start(self) -> None:
        args = self._args
        # Several simulators differ in time, so their cars stay in real time.
        clock = {'use_sim_time': args.fast and args.cars == 1}
        own = _node_parameters(args)
        if words := recorder_words(args):
            self._recorder = ManagedProcess('recorder', words)
        if args.one_process:
            arguments = [
                word
                for node, values in own.items()
                for word in (*parameters(values | clock, node), *words_of(args, node))
            ]
            self._nodes.append(GuardedBridge(['together', *QUIET, *arguments]))
        else:
            for node, values in own.items():
                arguments = [node, *QUIET, *parameters(values | clock), *words_of(args, node)]
                is_bridge = node == 'bridge'
                self._nodes.append(
                    GuardedBridge(arguments) if is_bridge else ManagedProcess(node, arguments)
                )
        self._viewers = [ManagedProcess(*viewer) for viewer in viewer_words(args, clock)]
        if args.foxglove is not None:
            address = f'ws://localhost:{args.foxglove}'
            print(f'Foxglove and Lichtblick connect to {address}', file=sys.stderr, flush=True)
        if self._recorder:
            self._wait_until_ready()  # So that the first frames are recorded.
        if args.simulator == 'embedded':
            for _ in range(args.cars):
                self._start_simulator()
        self._wait_until_ready()

    def _start_simulator(self) -> None:
        simulator = ManagedProcess(
            'simulator', _simulate(self._args, self._host), pipe_output=True
        )
        self._simulators.append(simulator)
        self._simulations.append({})
        reader = threading.Thread(
            target=_read,
            args=(simulator.output, self._simulations, len(self._simulations) - 1),
            name='simulator-output',
        )
        reader.start()
        self._readers.append(reader)

    def _wait_until_ready(self) -> None:
        while not self._ending.is_set() and not self._is_ready():
            self._line.show('starting the nodes ...')
            self._supervise_nodes()
            self._ending.wait(_POLL_S)
            self._poll_bridge()

    def _poll_bridge(self) -> None:
        """Update the bridge's state; keep the last one while the bridge does not answer."""
        self._bridge = fetch_state(self._host, self._args.port) or self._bridge

    def _is_ready(self) -> bool:
        return is_ready(self._bridge, drive=DRIVE_ID, is_recorded=self._recorder is not None)

    def _watch(self) -> None:
        until_s = time.monotonic() + (self._args.seconds or float('inf'))
        if self._simulators:
            until_s = float('inf')  # The simulator counts the seconds from its first command on.
        show_s = 0.0
        while not self._ending.wait(_POLL_S) and time.monotonic() < until_s:
            self._supervise_nodes()
            if time.monotonic() >= show_s:
                show_s = time.monotonic() + _SHOW_S
                self._poll_bridge()
                self._line.show(_status_line(self._bridge, self._simulations))
            if self._simulators and self._are_simulators_done():
                break

    def _are_simulators_done(self) -> bool:
        """Return whether every simulator has ended; raise DriveError if one of them failed."""
        codes = [simulator.exit_code for simulator in self._simulators]
        if broken := next(filter(None, codes), 0):
            raise DriveError(f'the simulator ended with code {broken}, see above')
        return None not in codes

    def _supervise_nodes(self) -> None:
        """Restart nodes that ended; raise UsageError or RestartLimitError if that cannot help."""
        self._check_recorder()
        for node in self._nodes:
            node.supervise(self._line.report)
        for viewer in tuple(self._viewers):
            try:
                viewer.supervise(self._line.report)
            except RestartLimitError as error:
                self._line.report(f'{error}; the drive continues without it')
                self._viewers.remove(viewer)

    def _check_recorder(self) -> None:
        """End the drive if the bag could not be created; continue if writing failed later."""
        code = self._recorder.exit_code if self._recorder else None
        if code == EXIT_REFUSED:
            raise UsageError('the recording did not start, see above')
        if code is not None:
            self._line.report('the recorder ended; the drive continues without it')
            self._recorder, self._recording_failed = None, True

    def _end(self) -> None:
        """End the simulators before the bridge, so that no car keeps driving without a bridge."""
        for simulator in self._simulators:
            simulator.ask_to_end()
        for simulator in self._simulators:
            simulator.wait(_END_S)
        for reader in self._readers:
            reader.join()
        self._poll_bridge()
        nodes = [*self._nodes, *self._viewers]
        for node in nodes:
            node.ask_to_end()
        for node in nodes:
            node.wait(_END_S)
        if self._recorder:
            self._recorder.ask_to_end()
            self._recorder.wait(_END_S)
            self._recording_failed = self._recorder.exit_code != 0
        self._line.close()

    def _report(self) -> None:
        report = drive_report(self._simulations, self._bridge, self._args.cars)
        print(summary(report), flush=True)
        if self._args.report:
            write_json(self._args.report, report)


def _simulate(args: argparse.Namespace, host: str) -> list[str]:
    arguments = ['simulate', '--url', f'ws://{host}:{args.port}', '--status', '--when-ready']
    for option in ('track', 'weather', 'laps', 'seconds', 'culture', 'faults'):
        arguments += [f'--{option}', str(getattr(args, option))]
    return arguments + (['--fast'] if args.fast else [])


def _read(output: Iterable[str], simulations: list[dict[str, Any]], number: int) -> None:
    """Keep `simulations[number]` equal to the newest line of JSON; the last one is the report.

    Each line replaces the status, because another thread reads the one before.
    """
    for line in output:
        with contextlib.suppress(ValueError):  # A killed simulator leaves half a line.
            simulations[number] = json.loads(line)


def _status_line(bridge: dict[str, Any], simulations: Sequence[dict[str, Any]]) -> str:
    latency = bridge.get('latency_ms', {})
    parts = [
        str(bridge.get('state', 'the bridge does not answer')),
        f'{bridge.get("telemetry_hz", 0.0):.0f} Hz',
        latency_words(latency),
    ]
    if len(bridge.get('cars', ())) > 1:
        return ' | '.join(parts)
    parts.append(f'{bridge.get("speed_mps", 0.0):.1f} m/s')
    simulation = simulations[0] if simulations else {}
    if 'cross_track_m' in simulation:
        parts.append(f'{simulation["cross_track_m"]:+z.2f} m off the middle')
        parts.append(f'lap {simulation["laps"] + 1}')
    return ' | '.join(parts)
