# SPDX-License-Identifier: Apache-2.0
"""Check this machine for the usual reasons why a drive fails; print each finding and its fix."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from sim_bridge.cli import doctor_checks
from sim_bridge.cli.arguments import check_model, check_port
from sim_bridge.cli.doctor_checks import Finding, Level
from sim_bridge.errors import UsageError
from sim_bridge.limits import USUAL_PORT


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('--port', type=int, default=USUAL_PORT, help='TCP port on which the bridge will listen')
    add('--model', default='default', help='network: a file, or `default` for the shipped one')
    add('--profile', default='', help='preprocessing profile; empty: that of the network')


def run(args: argparse.Namespace) -> int:
    """Print one line per check, the worst first; 1 if something is broken, 2 for bad input."""
    try:
        check_port(args.port)
        check_model('--model', args.model)
        _check_profile(args.profile)
    except UsageError as error:
        print(f'sim-bridge doctor: {error}', file=sys.stderr)
        return 2
    findings = sorted(_findings(args), key=lambda finding: -finding.level)
    for finding in findings:
        print(finding)
    return 1 if findings[0].level is Level.BROKEN else 0


def _check_profile(text: str) -> None:
    from steering_net.model_io.found_profile import wished_profile

    try:
        wished_profile(text)
    except ValueError as error:
        raise UsageError(f'--profile: {error}') from error


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    yield doctor_checks.check_python()
    yield from doctor_checks.check_packages()
    yield doctor_checks.check_ros()
    yield doctor_checks.check_port(args.port)
    yield doctor_checks.check_handshake()
    yield doctor_checks.check_model(args.model, args.profile)
    yield doctor_checks.check_sandbox()
    yield doctor_checks.check_shared_memory()
    discovery = doctor_checks.check_discovery()
    yield discovery
    if discovery.level is not Level.BROKEN:
        yield from doctor_checks.check_quality_of_service()
