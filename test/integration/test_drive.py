# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge drive` as a person or a script runs it."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import time

import pytest

from helpers.graph import Graph, state_of, wait_until_driven
from helpers.network import own_port
from helpers.paths import SOURCE
from helpers.processes import (
    children_of,
    children_running,
    is_alive,
    is_stopped,
    run_verb,
    spares_of,
    start_verb,
)
from helpers.talking_simulator import TalkingSimulator
from helpers.waiting import wait_for
from sim_bridge.recording.sources import open_recording

pytestmark = pytest.mark.real_time

MODELS = SOURCE / 'steering_net' / 'models'


def drive(tmp_path, *words):
    """Drive to the end and return the report."""
    report = tmp_path / 'report.json'
    result = run_verb('drive', '--port', own_port(), '--report', report, *words, timeout=300)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1, 'one summary line, no live line'
    return json.loads(report.read_text(encoding='utf-8'))


def test_drive_hands_the_culture_on_to_its_simulator(tmp_path):
    report = drive(tmp_path, '--culture', 'de-DE', '--seconds', 6, '--fast')
    assert report['lane_departures'] == 0
    assert report['distance_m'] > 12.0
    assert report['tokens_lost'] == 0


def test_real_time_drive_has_the_simulators_rate(tmp_path):
    report = drive(tmp_path, '--seconds', 5)
    assert report['telemetry_hz'] < 61.0
    assert report['duration_s'] == pytest.approx(5.0, abs=1.0)
    assert report['latency_ms']['p50'] > 0.0


def test_person_who_takes_over_costs_autonomy_in_the_report(tmp_path):
    report = drive(tmp_path, '--faults', 'manual:3s/1s', '--seconds', 9)
    assert report['takeovers'] in (1, 2, 3)
    cost_s = 6.0 * (report['takeovers'] + report['interventions'])
    autonomy_percent = 100.0 * (1.0 - cost_s / report['duration_s'])
    assert report['autonomy_percent'] == pytest.approx(max(0.0, autonomy_percent))


def test_it_finds_a_bridge_that_listens_on_one_address_only(tmp_path):
    report = drive(tmp_path, '--host', '127.0.0.2', '--seconds', 2)
    assert report['answers'] > 50


def test_a_recording_that_breaks_off_is_told_and_the_drive_goes_on(start, tmp_path):
    report = tmp_path / 'report.json'
    process = start(
        '--port', own_port(), '--record', tmp_path / 'bag', '--report', report, '--seconds', 6
    )
    (recorder,) = wait_for(lambda: children_running(process.pid, 'record'), what='the recorder')
    os.kill(recorder, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'the recorder ended; the drive continues without it' in errors
    assert json.loads(report.read_text(encoding='utf-8'))['duration_s'] > 3.0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_cleanly_and_leaves_no_process(start, tmp_path, number):
    report = tmp_path / 'report.json'
    port = own_port()
    process = start('--port', port, '--report', report, start_new_session=True)
    wait_until_driven(port)
    children = children_of(process.pid)
    assert len(children) >= 4
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert 'Traceback' not in errors
    assert 'frames at' in output
    assert json.loads(report.read_text(encoding='utf-8'))['lane_departures'] == 0
    assert not any(map(is_alive, children))


def test_killed_it_leaves_no_process_either(start):
    port = own_port()
    process = start('--port', port, stderr=subprocess.DEVNULL)
    wait_until_driven(port)
    children = children_of(process.pid)
    assert len(children) >= 4
    process.kill()
    wait_for(lambda: not any(map(is_alive, children)), what='the end of the children')


def test_killed_bridge_is_started_again_and_the_car_driven_on(start, tmp_path):
    report = tmp_path / 'report.json'
    port = own_port()
    process = start('--port', port, '--report', report, '--seconds', 15)
    wait_until_driven(port)
    wait_for(lambda: spares_of(process.pid), what='the spare')
    (bridge,) = children_running(process.pid, 'bridge')
    os.kill(bridge, signal.SIGKILL)
    wait_for(lambda: not is_alive(bridge), what='the end of the bridge')
    driven_again = wait_until_driven(port)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert 'the bridge node ended with code -9; it is restarted' in errors
    assert driven_again['state'] == 'driving'
    assert json.loads(report.read_text(encoding='utf-8'))['distance_m'] > 40.0


@pytest.mark.faults
@pytest.mark.parametrize('words', [(), ('--one-process',)], ids=['processes', 'one-process'])
@pytest.mark.parametrize('first', ['guard', 'bridge'])
def test_pause_of_all_processes_ends_nothing(start, first, words):
    """As after a suspend of the machine or a freeze of the container, whichever goes on first."""
    port = own_port()
    process = start('--port', port, *words)
    wait_until_driven(port)
    wait_for(lambda: spares_of(process.pid), what='the spare')
    children = children_of(process.pid)
    (bridge,) = children_running(process.pid, 'together' if words else 'bridge')
    everything = sorted([process.pid, *children], key=lambda pid: pid == bridge)
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(map(is_stopped, everything)), what='the pause')
    time.sleep(10.0)
    for pid in everything if first == 'guard' else reversed(everything):
        os.kill(pid, signal.SIGCONT)
    answers = state_of(port)['answers']
    wait_until_driven(port, answers + 120)
    assert state_of(port)['state'] == 'driving'
    assert sorted(children_of(process.pid)) == sorted(children)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'killed' not in errors
    assert 'ended' not in errors


def test_external_simulator_is_served(start, tmp_path):
    report = tmp_path / 'report.json'
    port = own_port()
    process = start(
        '--simulator', 'external', '--port', port, '--seconds', 3, '--report', report
    )  # fmt: skip
    wait_for(lambda: (state_of(port) or {}).get('ready'), what='readiness')
    simulator = TalkingSimulator(f'ws://127.0.0.1:{port}')
    simulator.open(b'no picture, so no steering')
    simulator.leave()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(report.read_text(encoding='utf-8'))['answers'] == 1


def test_simulator_that_was_there_before_the_nodes_has_no_timeouts(start, tmp_path):
    report, port = tmp_path / 'report.json', own_port()
    words = ['simulate', '--url', f'ws://127.0.0.1:{port}']
    early = start_verb(*words, stdout=subprocess.DEVNULL)
    try:
        with socket.create_server(('127.0.0.1', port)) as server:
            server.settimeout(30.0)
            server.accept()[0].close()
        process = start(
            '--simulator', 'external', '--port', port, '--seconds', 5, '--report', report
        )  # fmt: skip
        _, errors = process.communicate(timeout=60)
    finally:
        early.kill()
        early.wait()
    assert process.returncode == 0, errors
    told = json.loads(report.read_text(encoding='utf-8'))
    assert told['answers'] > 100
    # Not one for each frame before the nodes; a busy machine misses a deadline now and then.
    assert told['timeouts'] <= 0.05 * told['answers']


def test_live_line_on_a_terminal(start):
    master, slave = pty.openpty()
    process = start('--port', own_port(), '--seconds', 6, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b''
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 1.0)[0]:
            try:
                shown += os.read(master, 4096)
            except OSError:
                break
    process.wait(10)
    text = shown.decode()
    assert '\rdriving | ' in text
    assert 'm off the middle | lap 1' in text
    assert 'frames at' in text.splitlines()[-1]


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--port', '0'], '--port is 0; it must be 1..65535'),
        (['--speed-limit', '-1'], '--speed-limit is -1.0'),
        (['--speed-limit', 'nan'], '--speed-limit is nan'),
        (['--track', '-1'], '--track is -1'),
        (['--laps', '-1'], '--laps is -1'),
        (['--culture', 'xx'], '--culture'),
        (['--model', 'no/such.keras'], '--model: there is no file no/such.keras'),
        (['--report', 'no/such/r.json'], '--report: there is no folder'),
        (['--report', '.'], '--report: . is a folder; name a file in it'),
        (['--record', 'setup.py/bag'], 'setup.py is a file; name a folder'),
        (['--simulator', 'external', '--laps', '2'], '--laps needs --simulator embedded'),
        (['--simulator', 'external', '--track', 'lake'], '--track needs --simulator embedded'),
        (['--networks', '/tmp'], '--networks needs --control'),
        (['--recordings', 'bags'], '--recordings needs --control'),
        (['--simulator', 'external', '--fast'], '--fast needs --simulator embedded'),
        (['-p', 'law:=pi'], '-p law:=pi: write NODE:NAME:=VALUE, as in throttle:law:=pi'),
        (['-p', 'throtle:law:=pi'], 'there is no node throtle (did you mean throttle?)'),
        (['-p', 'throttle:lew:=pi'], 'the throttle node has no parameter lew (did you mean law?)'),
        (['-p', 'throttle:speed_limit:=3'], 'the option --speed-limit sets this parameter'),
    ],
)
def test_bad_option_is_named_in_one_line(words, told):
    result = run_verb('drive', *words)
    assert result.returncode == 2
    assert told in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize('words', [(), ('--one-process',)])
def test_parameter_without_an_option_reaches_its_node(words):
    result = run_verb('drive', '--port', own_port(), '-p', 'bridge:stop_timeout:=0.05', *words)
    assert result.returncode == 2
    assert 'stop_timeout is 0.05, it must not be shorter than command_timeout' in result.stderr


def test_busy_port_is_told(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as busy:
        result = run_verb('drive', '--port', busy.getsockname()[1])
    assert result.returncode == 2
    assert 'is in use: end the other program or choose another port' in result.stderr


def test_broken_model_is_told(tmp_path):
    model = tmp_path / 'broken.keras'
    model.write_bytes(b'not a model')
    result = run_verb('drive', '--port', own_port(), '--model', model)
    assert result.returncode == 2
    assert 'broken.keras' in result.stderr
    assert 'Traceback' not in result.stderr


def test_drive_with_the_words_of_drive_py_records_every_frame(tmp_path):
    run1 = tmp_path / 'run1'
    result = run_verb(
        'drive', MODELS / 'pilotnet.tflite', '--one-process', '--port', own_port(), run1,
        '--seconds', 1, '--speed-limit', 13.4,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    images = list(run1.glob('*.jpg'))
    assert f'{run1}: {len(images)} frames, none dropped' in result.stdout
    recording = open_recording(run1)
    assert 10 < len(recording) <= len(images) <= len(recording) + 3
    assert recording.camera == 'autonomous'
    assert recording.speed_mps.max() > 0.5


@pytest.fixture(scope='module')
def shared_graph():
    """A graph for several simulators, one after the other; a busy machine may answer late.

    Its tests are the last of the file, because its nodes hear every other drive of this process.
    """
    with Graph(bridge=('command_timeout:=0.9', 'stop_timeout:=2.0')) as started:
        yield started


def simulate(graph, report, culture):
    """Drive the embedded simulator with a graph that runs already; the report."""
    result = run_verb(
        'simulate', '--url', graph.url(), '--culture', culture, '--seconds', 6, '--fast',
        '--report', report,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(report.read_text(encoding='utf-8'))


@pytest.mark.parametrize('culture', ['fr-FR', 'ar-SA', 'fa-IR'])
def test_other_cultures_drive_like_the_first(shared_graph, tmp_path, culture):
    report = simulate(shared_graph, tmp_path / 'report.json', culture)
    assert report['lane_departures'] == 0
    # On a busy machine the six seconds are over after a short way.
    assert report['distance_m'] > 1.0
    assert report['tokens_lost'] == 0
