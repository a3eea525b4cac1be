# SPDX-License-Identifier: Apache-2.0
"""Injected faults of the simulator, against a real server, at the pace of the real simulator."""

from collections.abc import Iterator

import pytest

from helpers.raw_server import OPEN, AnsweringServer, server_text
from sim_bridge.simulator.drive_loop import DriveOptions
from sim_bridge.simulator.drive_loop import run as simulate
from sim_bridge.simulator.fault_injection import parse_faults
from sim_bridge.simulator.simulator import SimulatorOptions

pytestmark = pytest.mark.real_time


@pytest.fixture
def answering() -> Iterator[AnsweringServer]:
    server = AnsweringServer([server_text(OPEN)])
    yield server
    server.close()


def with_faults(server: AnsweringServer, faults: str, seconds: float) -> DriveOptions:
    return DriveOptions(server.url, SimulatorOptions(faults=parse_faults(faults)), seconds=seconds)


@pytest.mark.parametrize(('faults', 'each'), [('', 1), ('drop:1', 0), ('duplicate:1', 2)])
def test_faults_change_how_often_a_frame_reaches_the_server(
    answering: AnsweringServer, faults: str, each: int
) -> None:
    frames = simulate(with_faults(answering, faults, 1.0))['frames']
    assert frames > 0
    # Some of the last frames may still be on their way.
    assert each * frames - 20 <= answering.telemetries() <= each * frames


def test_a_delay_slows_the_telemetry_down(answering: AnsweringServer) -> None:
    """Two tokens, each of which takes 100 ms: at most 20 telemetries a second."""
    simulate(with_faults(answering, 'delay:100ms', 1.0))
    assert 2 <= answering.telemetries() <= 24


def test_broken_and_abandoned_connections_are_opened_anew(answering: AnsweringServer) -> None:
    simulate(with_faults(answering, 'disconnect:300ms,half-open:500ms', 1.4))
    assert 5 <= len(answering.requests) <= 8


def test_second_simulator_comes_and_goes(answering: AnsweringServer) -> None:
    simulate(with_faults(answering, 'second:500ms/200ms', 1.4))
    assert len(answering.requests) == 3
    assert answering.messages().count(b'1') == 3
