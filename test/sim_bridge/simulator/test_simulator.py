# SPDX-License-Identifier: Apache-2.0
"""The simulator's loop against a real server, and the verb's manners."""

import argparse
import itertools
import json
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.raw_server import OPEN, AnsweringServer, RawServer, Seen, server_text
from helpers.waiting import wait_for
from sim_bridge.cli import simulate as verb
from sim_bridge.protocol.types import Truth
from sim_bridge.protocol.udacity import CULTURES, encode_telemetry
from sim_bridge.protocol.websocket_frames import CLOSE, FINAL
from sim_bridge.simulator.client import Client
from sim_bridge.simulator.drive_loop import DriveOptions
from sim_bridge.simulator.drive_loop import run as simulate
from sim_bridge.simulator.expert import pursuit_steering_rad
from sim_bridge.simulator.fault_injection import FaultPlan, Span, parse_faults
from sim_bridge.simulator.simulator import Simulator, SimulatorOptions
from sim_bridge.simulator.track import make_track
from steering_net.bicycle_model import yaw_rate_radps
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M

BY_HAND = parse_faults('manual:1ms/1ms')
"""A person drives all the time."""


@pytest.fixture
def answering() -> Iterator[AnsweringServer]:
    server = AnsweringServer([server_text(OPEN)])
    yield server
    server.close()


@pytest.fixture
def silent() -> Iterator[RawServer]:
    server = RawServer([server_text(OPEN)])
    yield server
    server.close()


@pytest.mark.parametrize('hz', [20.0, 60.0, 200.0])
def test_true_yaw_rate_is_that_of_the_bicycle_model_in_every_frame(hz: float) -> None:
    """Also where the frames are more than the steps of the physics, 50 a second."""
    simulator = Simulator(SimulatorOptions(hz=hz))
    for _ in range(round(1.5 * hz)):
        simulator.apply(0.1, 0.5)
        simulator.advance()
    for _ in range(8):
        simulator.advance()
        sent = simulator.telemetry()
        assert sent is not None
        assert sent.truth is not None
        truth = Truth.parse(sent.truth)
        assert truth is not None
        # The speed is that of the car's origin, 1.60 m ahead of the rear axle.
        axle_mps = truth.speed_mps / math.hypot(1.0, REAR_AXLE_M * math.tan(0.1) / WHEELBASE_M)
        assert truth.yaw_rate_radps == pytest.approx(yaw_rate_radps(axle_mps, 0.1), rel=1e-6)


def test_silent_server_gets_exactly_two_telemetries_and_a_goodbye(silent: RawServer) -> None:
    report = simulate(DriveOptions(silent.url, seconds=0.5))
    assert silent.telemetries() == 2
    assert [frame.payload for frame in silent.frames[-3:]] == [b'41', b'1', b'']
    assert (report['frames'], report['answers'], report['distance_m']) == (2, 0, 0.0)
    assert report['duration_s'] == 0.0


def test_every_answer_brings_one_telemetry_and_the_report_says_so(
    answering: AnsweringServer,
) -> None:
    statuses: list[dict[str, Any]] = []
    report = simulate(DriveOptions(answering.url, seconds=1.2), statuses.append)
    assert report['frames'] - report['answers'] in (0, 1, 2)
    assert report['answers'] > 10
    assert 0.0 < report['latency_ms']['p50'] <= report['latency_ms']['max'] < 1000.0
    assert report['max_speed_mps'] > 0.3
    assert {'track', 'telemetry_hz', 'tokens_lost', 'autonomy_percent'} <= set(report)
    assert len(statuses) >= 2
    assert statuses[-1]['answers'] > 0


def test_rate_of_telemetry_does_not_count_the_disconnect(
    answering: AnsweringServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, 'quit', lambda self: time.sleep(1.0))
    report = simulate(DriveOptions(answering.url, seconds=0.5))
    assert report['telemetry_hz'] > report['frames'] > 0


class ResettingServer(RawServer):
    """Answers the first telemetry with a reset and the end of the connection, then is gone."""

    def _read_frame(self, head: bytes, read: Callable[[int], bytes]) -> Seen:  # type: ignore[override]
        seen = super()._read_frame(head, read)
        if seen.head == 0x80:
            self._listener.shutdown(socket.SHUT_RDWR)
            self.send(server_text('42["reset",{}]') + bytes([FINAL | CLOSE, 0]))
        return seen


def test_reset_from_a_closed_connection_lets_no_fast_world_run() -> None:
    server = ResettingServer([server_text(OPEN)])
    report = simulate(DriveOptions(server.url, seconds=2.0, fast=True))
    server.close()
    assert report['frames'] <= 3


def test_fast_goes_one_frame_per_answer(answering: AnsweringServer) -> None:
    frames: list[int] = []
    report = simulate(
        DriveOptions(answering.url, fast=True),
        stop=lambda: bool(frames.append(0)) or answering.telemetries() >= 100,
    )
    assert report['frames'] >= 100
    # With two tokens a frame spends one or two of them.
    assert 0.4 <= report['duration_s'] * 60 / report['frames'] <= 1.1


def test_menu_sends_nothing_and_the_drive_goes_on_afterwards(answering: AnsweringServer) -> None:
    arrived_s: list[float] = []

    def stop() -> bool:
        new = answering.telemetries() - len(arrived_s)
        arrived_s.extend([time.perf_counter()] * new)
        return False

    plan = parse_faults('menu:1s/800ms')
    simulate(DriveOptions(answering.url, SimulatorOptions(faults=plan), seconds=2.6), stop=stop)
    pauses_s = [after - before for before, after in itertools.pairwise(arrived_s)]
    longest = pauses_s.index(max(pauses_s))
    assert pauses_s[longest] == pytest.approx(0.8, abs=0.3)
    assert 1 < longest + 1 < len(arrived_s) - 1


def test_in_the_menu_the_tokens_stay_due(silent: RawServer) -> None:
    plan = FaultPlan(spans={'menu': Span(1e-6, 1e-6)})
    options = DriveOptions(silent.url, SimulatorOptions(faults=plan), seconds=0.4)
    assert simulate(options)['frames'] == silent.telemetries() == 0
    assert b'2' in silent.messages()


def test_person_at_the_wheel_sends_null_and_stays_on_the_road(answering: AnsweringServer) -> None:
    answering.command = server_text('42["manual",{}]')
    options = DriveOptions(answering.url, SimulatorOptions(faults=BY_HAND), seconds=1.0)
    report = simulate(options)
    assert set(answering.messages()[1:-2]) == {b'42["telemetry",null]'}
    assert report['distance_m'] > 0.1
    assert report['max_cross_track_m'] < 0.5


def expert_drive(simulator: Simulator, seconds: float) -> None:
    track = make_track(0)
    for _ in range(round(seconds * 60)):
        simulator.apply(pursuit_steering_rad(track, simulator.car.pose), 1.0)
        simulator.advance()


def test_expert_completes_a_lap_without_a_departure() -> None:
    simulator = Simulator(SimulatorOptions())
    expert_drive(simulator, 40.0)
    report = simulator.score.report()
    assert (report['laps'], report['lane_departures'], report['interventions']) == (1, 0, 0)


def test_car_keeps_its_last_command_and_is_put_back_when_it_leaves() -> None:
    simulator = Simulator(SimulatorOptions())
    simulator.apply(0.2, 1.0)
    while not simulator.score.interventions:
        simulator.advance()
    assert simulator.car.speed_mps == 0.0
    assert simulator.place.cross_track_m == pytest.approx(0.0, abs=1e-3)
    for _ in range(2):
        simulator.advance()
    assert simulator.car.speed_mps > 0.0
    assert simulator.score.report()['lane_departures'] == 1


def test_the_car_moves_in_physics_steps_of_20_ms() -> None:
    simulator = Simulator(SimulatorOptions())
    simulator.apply(0.0, 1.0)
    speeds = []
    for _ in range(60):
        simulator.advance()
        speeds.append(simulator.car.speed_mps)
    assert len(set(speeds)) == 50  # The first step has no torque yet.


def test_a_person_drives_up_the_first_ramp_of_the_jungle() -> None:
    simulator = Simulator(SimulatorOptions(track='jungle', faults=BY_HAND))
    while simulator.place.s_m < 100.0 and simulator.time_s < 50.0:
        simulator.advance()
        assert abs(simulator.place.cross_track_m) < 3.0
        assert simulator.telemetry() is None
    assert simulator.place.s_m > 100.0


def test_a_drive_on_the_lake_begins_where_autonomous_mode_does() -> None:
    simulator = Simulator(SimulatorOptions(track='lake'))
    assert simulator.place.s_m == pytest.approx(266.9, abs=0.1)
    telemetry = simulator.telemetry()
    assert telemetry is not None
    assert telemetry.jpeg.startswith(b'\xff\xd8\xff')


def test_list_tracks_names_each_kind_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.run(parsed(['--list-tracks'])) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == [
        'SEED', 'lake', 'jungle', 'hills:SEED',
    ]  # fmt: skip


def test_the_road_falls_and_rises_as_the_plan_says() -> None:
    plan = parse_faults('grade:-0.2/0.3@20m')
    simulator = Simulator(SimulatorOptions(faults=plan))
    simulator.apply(0.0, 0.0)
    fastest = 0.0
    while simulator.time_s < 60.0 and simulator.car.speed_mps >= 0.0:
        simulator.advance()
        fastest = max(fastest, simulator.car.speed_mps)
    without_drag_mps = (2 * 9.81 * 0.196 * 20.0) ** 0.5
    assert 0.8 * without_drag_mps < fastest < without_drag_mps
    assert simulator.place.s_m > 20.0


def test_telemetry_shows_what_the_car_does() -> None:
    simulator = Simulator(SimulatorOptions())
    simulator.apply(-0.2181662, -0.5)
    simulator.advance()
    telemetry = simulator.telemetry()
    assert telemetry is not None
    assert (telemetry.steering_rad, telemetry.throttle) == (-0.2181662, 0.0)
    assert telemetry.time_ns == round(1e9 / 60)
    assert telemetry.jpeg == simulator.jpeg()


def test_frame_says_whether_the_car_is_lost() -> None:
    simulator = Simulator(SimulatorOptions(puts_back=False))
    simulator.apply(0.2, 1.0)
    while not simulator.advance():
        assert simulator.time_s < 60.0
    beyond_m = abs(simulator.place.cross_track_m) - simulator.place.half_width_m
    assert 1.0 < beyond_m < 1.5


def test_on_the_wire_a_frame_is_in_the_culture_of_the_drive_and_says_whether_it_waits(
    silent: RawServer,
) -> None:
    for is_fast in (False, True):
        options = DriveOptions(silent.url, seconds=0.3, culture='de-DE', fast=is_fast)
        simulate(options)
        frame = next(text for text in silent.messages() if text.startswith(b'42["telemetry"'))
        silent.frames.clear()
        _, fields = json.loads(frame[2:])
        simulator = Simulator(options.world)
        while round(1e9 * simulator.time_s) < int(fields['time_ns']):
            simulator.advance()
        telemetry = simulator.telemetry()
        assert telemetry is not None
        expected = encode_telemetry(replace(telemetry, waits=is_fast), CULTURES['de-DE'])
        assert list(fields.items()) == list(expected.items())
        assert fields['steering_angle'] == '0,0000'
        assert ('waits' in fields) is is_fast


@pytest.mark.parametrize(
    ('words', 'named'),
    [
        (['--track', '-1'], '--track is -1; it must be one of: a seed such as 7, lake'),
        (['--laps', '-2'], '--laps is -2; it must be'),
        (['--seconds', 'nan'], '--seconds is nan; it must be'),
        (['--culture', 'xx'], "--culture is 'xx'; it must be one of en-US"),
        (['--url', 'http://x'], "--url is 'http://x'; it must be ws://HOST:PORT"),
        (['--url', 'ws://a..b:4567'], "--url is 'ws://a..b:4567'; it must be ws://HOST:PORT"),
        (['--report', '/nowhere/at/all.json'], '--report: there is no folder'),
    ],
)
def test_bad_option_gives_one_line_and_2(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb.run(parsed(words)) == 2
    shown = capsys.readouterr()
    assert shown.out == ''
    assert shown.err.count('\n') == 1
    assert named in shown.err


def test_server_that_is_not_there_gives_one_line_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, url = tmp_path / 'report.json', 'ws://127.0.0.1:9'
    words = ['--url', url, '--seconds', '0.1', '--report', str(path)]
    assert verb.run(parsed(words)) == 2
    shown = capsys.readouterr()
    assert shown.out == 'track 0, clear: never connected\n'
    assert shown.err.count('\n') == 1
    assert f'--url is {url}, where no server' in shown.err
    assert json.loads(path.read_text())['connections'] == 0


def test_interrupt_before_the_bridge_is_ready_is_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(verb, 'fetch_state', interrupt)
    assert verb.run(parsed(['--url', 'ws://127.0.0.1:9', '--when-ready'])) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ('track 0, clear: never connected\n', '')


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    return parser.parse_args(words)


def test_status_prints_json_lines_and_nothing_else(
    answering: AnsweringServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'report.json'
    words = ['--url', answering.url, '--seconds', '0.8', '--status', '--report', str(path)]
    assert verb.run(parsed(words)) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) >= 2
    assert {'speed_mps', 'cross_track_m', 'laps', 'telemetry_hz', 'latency_ms'} <= set(lines[0])
    assert json.loads(path.read_text())['frames'] > 0


def test_signal_ends_it_with_a_report(answering: AnsweringServer, tmp_path: Path) -> None:
    path = tmp_path / 'report.json'

    def interrupt() -> None:
        wait_for(answering.telemetries)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, name='interrupt').start()
    assert verb.run(parsed(['--url', answering.url, '--report', str(path)])) == 0
    assert json.loads(path.read_text())['track'] == 0
