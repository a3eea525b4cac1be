# SPDX-License-Identifier: Apache-2.0
"""A bridge that dies or freezes is replaced, and so is its spare: as `ros2 launch` runs them."""

import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from helpers.graph import state_of
from helpers.network import own_port
from helpers.processes import (
    children_of,
    children_running,
    freeze,
    is_alive,
    spares_of,
    start_attack,
    start_verb,
)
from helpers.ros import started_node
from helpers.talking_simulator import TalkingSimulator
from helpers.waiting import wait_for
from sim_bridge.nodes.bridge_guard import SILENCE_S, GuardedBridge

pytestmark = pytest.mark.real_time


class Guarded:
    """The program `guarded-bridge`, its children, and the bridge's port."""

    def __init__(self, *words):
        self.port = own_port()
        words = words or ('-p', f'port:={self.port}')
        self.process = start_verb(
            *('guarded-bridge', '--ros-args', *words), stderr=subprocess.PIPE, text=True
        )

    def answers(self):
        """What the bridge says about itself; None if no bridge answers."""
        return state_of(self.port, timeout_s=0.5)

    def children(self):
        return children_of(self.process.pid)

    def wait_for_spare(self):
        """The process ids of bridge and spare, once the spare is known to DDS too."""
        with started_node('witness') as node:
            wait_for(lambda: '_spare' in node.get_node_names(), what='a spare')
        (bridge,) = children_running(self.process.pid, 'bridge')
        (spare,) = spares_of(self.process.pid)
        return bridge, spare

    def end(self, number=signal.SIGINT):
        """What it said until it ended."""
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=20)
        return told


@pytest.fixture
def guarded():
    started = Guarded()
    wait_for(started.answers, what='an answer')
    yield started
    if started.process.poll() is None:
        # A frozen one would not end with its guard.
        for process in (*started.children(), started.process.pid):
            os.kill(process, signal.SIGKILL)
        started.process.communicate()


def test_spare_takes_over_from_a_killed_bridge_at_once(guarded):
    bridge, spare = guarded.wait_for_spare()
    os.kill(bridge, signal.SIGKILL)
    killed = time.monotonic()
    wait_for(guarded.answers, what='an answer')
    assert time.monotonic() - killed < 2.0
    assert guarded.children() == [spare]
    told = guarded.end()
    assert 'the bridge node ended with code -9; it is restarted' in told
    assert guarded.process.returncode == 0


def test_frozen_bridge_is_killed_and_replaced_although_it_holds_the_port(guarded):
    bridge, _ = guarded.wait_for_spare()
    freeze(bridge)
    frozen = time.monotonic()
    wait_for(guarded.answers, what='an answer')
    assert SILENCE_S - 0.5 < time.monotonic() - frozen < SILENCE_S + 2.0
    assert not is_alive(bridge)
    assert 'the bridge node sends no heartbeats any more; it is killed' in guarded.end()


def test_spare_that_dies_is_replaced(guarded):
    bridge, spare = guarded.wait_for_spare()
    os.kill(spare, signal.SIGKILL)
    wait_for(lambda: guarded.children() == [bridge])
    assert guarded.wait_for_spare()[0] == bridge
    assert 'the spare bridge ended with code -9; another one is started' in guarded.end()


def test_spare_that_is_frozen_when_it_has_to_take_over_is_killed_too(guarded):
    bridge, spare = guarded.wait_for_spare()
    for process in (spare, bridge):
        freeze(process)
    wait_for(guarded.answers, what='an answer')
    told = guarded.end()
    assert told.count('sends no heartbeats any more; it is killed') == 2


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_without_leftovers_and_halts_the_car(guarded, number):
    children = guarded.wait_for_spare()
    simulator = TalkingSimulator(f'ws://127.0.0.1:{guarded.port}')
    simulator.open(b'no picture, so no steering')
    heard = simulator.client.answers
    guarded.process.send_signal(number)
    simulator.pump_until(lambda: not simulator.client.connected)
    assert simulator.client.answers > heard
    assert simulator.client.commands[-1] == (0.0, 0.0)
    assert guarded.process.wait(10.0) == 0
    assert not any(map(is_alive, children))


def test_killed_it_leaves_no_process_either(guarded):
    children = guarded.wait_for_spare()
    guarded.process.kill()
    wait_for(lambda: not any(map(is_alive, children)), what='the end of the children')


def test_parameters_that_the_bridge_refuses_end_it_with_2():
    refused = Guarded('-p', 'port:=-1')
    _, told = refused.process.communicate(timeout=30)
    assert refused.process.returncode == 2
    assert 'parameter port must be in 0 .. 65535' in told
    assert 'Traceback' not in told


def test_arguments_of_a_launch_reach_the_bridge(tmp_path):
    port = own_port()
    file = tmp_path / 'drive.yaml'
    file.write_text(
        f'/**/this_one:\n  ros__parameters: {{port: {port}, cars: 3}}\n', encoding='utf-8'
    )
    words = ('-r', '__node:=this_one', '-r', '__ns:=/here', '--params-file', str(file))
    guarded = Guarded(*words)
    guarded.port = port
    try:
        assert len(wait_for(guarded.answers, what='an answer')['cars']) == 3
    finally:
        guarded.end()


def test_pause_of_the_guard_itself_is_no_silence_of_the_bridge():
    """A laptop that sleeps, a container that is frozen: both stop, and both go on."""
    said = []
    bridge = GuardedBridge(['bridge', '--ros-args', '-p', f'port:={own_port()}'])
    try:
        wait_for(lambda: bridge.supervise(said.append) or bridge._beats, what='a beat')
        freeze(bridge.pid)
        with suppress(BlockingIOError):  # What it had beaten before is not to excuse it.
            os.read(bridge._heartbeats[bridge.pid], 4096)
        time.sleep(2 * SILENCE_S)
        bridge.supervise(said.append)
        os.kill(bridge.pid, signal.SIGCONT)
        time.sleep(0.5)
        bridge.supervise(said.append)
        assert (said, bridge.exit_code) == ([], None)
    finally:
        bridge.ask_to_end()
        assert bridge.wait(10.0) == 0


class Looks:
    """A guard that looks at a real bridge, at the times of a clock of the test."""

    def __init__(self):
        self.now, self.said = 1000.0, []
        words = ['bridge', '--ros-args', '-p', f'port:={own_port()}']
        self.guard = GuardedBridge(words, clock=lambda: self.now)
        self.bridge = self.guard.pid

    def look(self, *periods_s):
        for period_s in periods_s:
            self.now += period_s
            self.guard.supervise(self.said.append)

    def wait_for_beat(self):
        """Wait for the next heartbeat; no time passes on the clock."""
        self.guard._beats = False
        wait_for(lambda: self.look(0.0) or self.guard._beats, what='a heartbeat')

    def freeze(self):
        """Stop the bridge, and read what it has written before."""
        freeze(self.bridge)
        self.look(0.0)

    def end(self):
        self.guard.ask_to_end()
        return self.guard.wait(10.0)


@pytest.fixture
def looks():
    started = Looks()
    started.wait_for_beat()
    yield started
    started.end()


def test_bridge_that_was_stopped_before_its_guard_has_the_whole_time_after_the_pause(looks):
    looks.freeze()
    looks.look(*[0.1] * 12, 20.0, *[0.1] * 12)
    assert looks.said == []
    os.kill(looks.bridge, signal.SIGCONT)
    looks.wait_for_beat()
    looks.look(*[0.1] * 12, 20.0, *[0.1] * 12)
    assert looks.said == [], 'the next pause is forgiven too'
    assert looks.guard.pid == looks.bridge
    assert looks.end() == 0


@pytest.mark.parametrize('period_s', [0.1, 0.6, 3.0])
def test_bridge_that_stays_frozen_after_a_pause_is_killed(looks, period_s):
    """Also by a guard on a machine that is so slow that each of its looks is late."""
    looks.freeze()
    looks.look(20.0, *[period_s] * (16 if period_s < 0.5 else 3))
    assert looks.said[0] == 'the bridge node sends no heartbeats any more; it is killed'
    assert not is_alive(looks.bridge)


@pytest.mark.faults
def test_storm_of_connections_does_not_make_the_guard_kill_a_good_bridge(guarded):
    bridge, spare = guarded.wait_for_spare()
    attacker = start_attack('storm', guarded.port, seconds=6.0)
    attacker.communicate(timeout=60)
    assert attacker.returncode == 0
    assert sorted(guarded.children()) == sorted([bridge, spare])
