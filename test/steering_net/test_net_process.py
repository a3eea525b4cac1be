# SPDX-License-Identifier: Apache-2.0
"""Children end with the process that started them."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from helpers.network import own_port
from helpers.processes import start_verb
from helpers.waiting import wait_for
from sim_bridge.nodes.standby import STANDBY_VARIABLE
from steering_net.process import PARENT_VARIABLE, cores

WAIT_FOR_THE_END = (
    'import signal, sys\nfrom steering_net.process import end_with_parent\n'
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('gone', flush=True)))\n"
    "print('up', flush=True)\n"
    'end_with_parent()\n'
    'while True: signal.pause()\n'
)


def watching(parent):
    return subprocess.Popen(
        [sys.executable, '-c', WAIT_FOR_THE_END],
        env={**os.environ, PARENT_VARIABLE: parent},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_cores_are_those_that_this_process_may_use():
    assert cores() == len(os.sched_getaffinity(0))


@pytest.mark.slow
def test_end_of_the_named_process_is_noticed():
    with subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE) as named:
        child = watching(str(named.pid))
        assert child.stdout.readline() == 'up\n'
        time.sleep(0.3)
        assert child.poll() is None
        named.communicate(b'\n')
    assert child.stdout.readline() == 'gone\n'
    child.wait(10)


@pytest.mark.slow
def test_end_is_noticed_before_somebody_asks_for_it():
    named = subprocess.Popen([sys.executable, '-c', ''])
    child = watching(str(named.pid))
    assert child.stdout.readline() == 'up\n'
    assert child.stdout.readline() == 'gone\n'
    child.wait(10)
    named.wait(10)


@pytest.mark.parametrize('parent', ['', 'nobody'])
def test_without_a_parent_to_watch_it_lives_on(parent):
    child = watching(parent)
    try:
        assert child.stdout.readline() == 'up\n'
        time.sleep(0.3)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_own_parent_that_lives_is_not_gone():
    child = watching(str(os.getpid()))
    try:
        assert child.stdout.readline() == 'up\n'
        time.sleep(0.3)
        assert child.poll() is None
    finally:
        child.kill()
        wait_for(lambda: child.poll() is not None)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize('word', ['\n', ''])
def test_spare_bridge_is_known_but_listens_only_when_it_is_told(ros_node, word):
    """It starts after a line, and ends when its guard has closed the pipe."""
    port = own_port()
    spare = start_verb(
        *('bridge', '--ros-args', '-p', f'port:={port}'),
        env={**os.environ, STANDBY_VARIABLE: '1'},
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: '_spare' in ros_node.get_node_names(), what='the spare')
        assert not listens(port)
        spare.stdin.write(word)
        spare.stdin.close()
        if word:
            wait_for(lambda: listens(port), what='listening')
            wait_for(lambda: '_spare' not in ros_node.get_node_names())
            spare.send_signal(signal.SIGINT)
        assert spare.wait(10.0) == 0
    finally:
        spare.kill()
