"""Drive the embedded simulator alone, as a client of any server on the wire's port."""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from sim_bridge.errors import UsageError, check_target
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.simulator.client import parse_url
from sim_bridge.simulator.fault_injection import describe_faults, parse_faults
from steering_net.process import end_with_parent


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    add = parser.add_argument
    add('--url', default='ws://127.0.0.1:4567', help='the server to connect to')
    add('--track', type=int, default=0, metavar='SEED', help='track to drive, 0 or greater')
    add('--laps', type=int, default=0, metavar='N', help='end after N laps, 0: never')
    add('--seconds', type=float, default=0.0, metavar='S', help='end after S seconds, 0: never')
    add('--fast', action='store_true', help='go on as soon as a frame is answered')
    add('--culture', default='en-US', help=f'how numbers are written: {", ".join(CULTURES)}')
    add('--faults', default='', metavar='LIST', help=describe_faults())
    add('--report', type=Path, metavar='FILE', help='write the report there as JSON')
    add('--status', action='store_true', help='print JSON lines, 4 a second, the report last')
    add('--when-ready', action='store_true', help='connect once the bridge has all its nodes')


def run(args: argparse.Namespace) -> int:
    """Simulate; 0 when done or interrupted, 2 with one line on stderr for bad input."""
    from sim_bridge.simulator import simulator

    try:
        options = simulator.SimulatorOptions(
            args.url,
            args.track,
            args.laps,
            args.seconds,
            args.culture,
            args.fast,
            faults=parse_faults(args.faults),
        )
        check_target('--report', args.report)
    except ValueError as error:
        print(f'sim-bridge simulate: {_option_of(str(error))}', file=sys.stderr)
        return 2
    except UsageError as error:
        print(f'sim-bridge simulate: {error}', file=sys.stderr)
        return 2
    stopped: list[int] = []

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        stopped.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, on_signal)
    end_with_parent()
    report = simulator.run(
        options,
        _status_printer(args.status),
        lambda: bool(stopped),
        _readiness(args),
    )
    if args.report:
        args.report.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    print(json.dumps(report) if args.status else _summary(report))
    return 0


def _readiness(args: argparse.Namespace) -> Callable[[], bool]:
    """What tells when to connect: at once, or when the bridge's /healthz is well."""
    host, port = parse_url(args.url)

    def bridge_is_ready() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=1.0)
        try:
            # A bridge need not know the name by which it is called here.
            connection.request('GET', '/healthz', headers={'Host': 'localhost'})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return bridge_is_ready if args.when_ready else lambda: True


def _option_of(message: str) -> str:
    """Spell the field that a message begins with as the option that a person typed."""
    return f'--{message}' if message.split(' ')[1:2] == ['must'] else f'--url {message}'


def _status_printer(as_json: bool) -> Callable[[dict[str, Any]], None] | None:
    if as_json:
        return lambda status: print(json.dumps(status), flush=True)
    if sys.stdout.isatty():
        return lambda status: print(f'\r{_live_line(status)}\x1b[K', end='', flush=True)
    return None


def _live_line(status: dict[str, Any]) -> str:
    return (
        f'lap {status["laps"]}  {status["speed_mps"]:5.1f} m/s  '
        f'{status["cross_track_m"]:+5.2f} m  {status["telemetry_hz"]:5.1f} Hz  '
        f'{status["latency_ms"]:6.2f} ms  interventions {status["interventions"]}'
    )


def _summary(report: dict[str, Any]) -> str:
    start = '\r\x1b[K' if sys.stdout.isatty() else ''
    return (
        f'{start}track {report["track"]}: {report["laps"]} laps, {report["distance_m"]:.0f} m in '
        f'{report["duration_s"]:.1f} s, autonomy {report["autonomy_percent"]:.1f} %, '
        f'{report["interventions"]} interventions, {report["lane_departures"]} departures, '
        f'{report["telemetry_hz"]:.1f} telemetries/s, '
        f'latency p50 {report["latency_ms"]["p50"]:.2f} ms'
    )
