"""Children end with the process that started them."""

import os
import subprocess
import sys
import time

import pytest

from sim_bridge.lifeline import PARENT_VARIABLE
from support import wait_for

WAIT_FOR_THE_END = (
    'import time\nfrom sim_bridge.lifeline import parent_is_gone\n'
    "print('up', flush=True)\n"
    'while not parent_is_gone(): time.sleep(0.05)\n'
    "print('gone', flush=True)\n"
)


def watching(parent):
    return subprocess.Popen(
        [sys.executable, '-c', WAIT_FOR_THE_END],
        env={**os.environ, PARENT_VARIABLE: parent},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_end_of_the_named_process_is_noticed():
    with subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE) as named:
        child = watching(str(named.pid))
        assert child.stdout.readline() == 'up\n'
        time.sleep(0.3)
        assert child.poll() is None
        named.communicate(b'\n')
    assert child.stdout.readline() == 'gone\n'
    child.wait(10)


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
