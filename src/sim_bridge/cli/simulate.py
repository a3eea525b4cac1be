# SPDX-License-Identifier: Apache-2.0
"""Run the embedded simulator alone, as a Socket.IO client of any bridge or other server."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from sim_bridge.bridge_client import fetch_state, is_ready
from sim_bridge.cli.arguments import TRACK_HELP, WEATHER_HELP, check_output_file
from sim_bridge.cli.output import StatusLine, write_json
from sim_bridge.errors import UsageError
from sim_bridge.limits import USUAL_URL
from sim_bridge.process import DRIVE_VARIABLE
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.client import parse_url
from sim_bridge.simulator.fault_injection import describe_faults, parse_faults
from sim_bridge.simulator.track_names import parse_track
from sim_bridge.simulator.tracks import list_tracks
from sim_bridge.simulator.weather import parse_weather
from steering_net.process import end_with_parent

_STATE_S = 1.0
"""Longest wait for the state of the bridge."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('--url', default=USUAL_URL, help='server to connect to, ws://HOST:PORT')
    add('--track', default='0', metavar='TRACK', help=TRACK_HELP)
    add('--weather', default='clear', metavar='KIND:N', help=WEATHER_HELP)
    add('--list-tracks', action='store_true', help='print the names of the tracks and exit')
    add('--laps', type=int, default=0, metavar='N', help='end after N laps; 0: never')
    add('--seconds', type=float, default=0.0, metavar='S', help='end after S seconds; 0: never')
    add('--fast', action='store_true', help='simulate the next frame as soon as one is answered')
    add(
        '--culture',
        default='en-US',
        help=f'culture that the simulator writes numbers in: {", ".join(CULTURES)}',
    )
    add('--faults', default='', metavar='LIST', help=describe_faults())
    add('--report', type=Path, metavar='FILE', help='also write the report to this JSON file')
    add('--status', action='store_true', help='print four JSON lines per second, the report last')
    add('--when-ready', action='store_true', help='connect when the bridge has all its nodes')
    add('--when-recorded', action='store_true', help='as --when-ready, and a recorder')


def run(args: argparse.Namespace) -> int:
    """Simulate; 0 at the end or when interrupted, 2 with one line on stderr for bad input.

    The exit code is also 2 if no server has accepted a connection. An interrupt before that gives
    0 only while the simulator waits for a bridge that is ready.
    """
    from sim_bridge.simulator import drive_loop, simulator

    if args.list_tracks:
        print('\n'.join(list_tracks()))
        return 0
    try:
        check_output_file('--report', args.report)
        options = drive_loop.DriveOptions(
            url=args.url,
            world=simulator.SimulatorOptions(
                track=parse_track(args.track),
                weather=parse_weather(args.weather),
                faults=parse_faults(args.faults),
            ),
            laps=args.laps,
            seconds=args.seconds,
            culture=args.culture,
            fast=args.fast,
        )
    except UsageError as error:
        print(f'sim-bridge simulate: {error}', file=sys.stderr)
        return 2
    except ValueError as error:
        # The message begins with the name of a field, which is that of an option.
        print(f'sim-bridge simulate: --{error}', file=sys.stderr)
        return 2
    signals: list[int] = []

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        signals.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, on_signal)
    end_with_parent()
    line = StatusLine()
    report = drive_loop.run(
        options,
        _print_json if args.status else _show_on(line),
        lambda: bool(signals),
        _ready(args),
    )
    line.close()
    print(json.dumps(report) if args.status else _summary(report))
    if args.report:
        try:
            write_json(args.report, report)
        except UsageError as error:
            print(f'sim-bridge simulate: --report: {error}', file=sys.stderr)
            return 2
    if report['connections'] or (signals and _waits(args)):
        return 0
    print(
        f'sim-bridge simulate: --url is {args.url}, where no server accepted a connection; start '
        'the bridge there, as with: sim-bridge drive --simulator external',
        file=sys.stderr,
    )
    return 2


def _waits(args: argparse.Namespace) -> bool:
    """Return whether the simulator connects to a bridge that is ready, and to nothing else."""
    return bool(args.when_ready or args.when_recorded)


def _ready(args: argparse.Namespace) -> Callable[[], bool]:
    """Return the condition for connecting: none, or that the bridge has the nodes it needs."""
    if not _waits(args):
        return lambda: True
    host, port = parse_url(args.url)
    drive = os.environ.get(DRIVE_VARIABLE, '')
    return lambda: is_ready(
        fetch_state(host, port, _STATE_S), drive=drive, is_recorded=args.when_recorded
    )


def _print_json(status: dict[str, Any]) -> None:
    print(json.dumps(status), flush=True)


def _show_on(line: StatusLine) -> Callable[[dict[str, Any]], None] | None:
    return (lambda status: line.show(_live_text(status))) if line.is_live else None


def _live_text(status: dict[str, Any]) -> str:
    if not status['connections']:
        return 'no server has accepted a connection yet'
    return (
        f'lap {status["laps"]}  {status["speed_mps"]:5.1f} m/s  '
        f'{status["cross_track_m"]:+5.2f} m  {status["telemetry_hz"]:5.1f} Hz  '
        f'{status["latency_ms"]:6.2f} ms  interventions {status["interventions"]}'
    )


def _summary(report: dict[str, Any]) -> str:
    if not report['connections']:
        return f'track {report["track"]}, {report["weather"]}: never connected'
    return (
        f'track {report["track"]}, {report["weather"]}: {report["laps"]} laps, '
        f'{report["distance_m"]:.0f} m in '
        f'{report["duration_s"]:.1f} s, autonomy {report["autonomy_percent"]:.1f} %, '
        f'{report["interventions"]} interventions, {report["lane_departures"]} departures, '
        f'{report["telemetry_hz"]:.1f} telemetries/s, '
        f'latency p50 {report["latency_ms"]["p50"]:.2f} ms'
    )
