# SPDX-License-Identifier: Apache-2.0
"""Interruption in processes of their own, because it takes over the signals of its process."""

import signal
import subprocess
import sys

import pytest

START = """
import threading, time
from steering_net.ros.interruption import Interruption
interruption = Interruption()
"""


def run(text, *numbers):
    """Run a program, send it signals after its first line; return exit code and later output."""
    process = subprocess.Popen(
        [sys.executable, '-c', START + text],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout.readline() == 'started\n'
        for number in numbers:
            process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, output


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_calls_the_reaction_while_the_main_thread_waits(number):
    text = """
interruption.raises = False
over = threading.Lock()
over.acquire()
interruption.then(over.release)
print('started', flush=True)
over.acquire()
print(interruption.came)
"""
    assert run(text, number) == (0, 'True\n')


def test_reaction_that_is_set_after_the_signal_is_called_at_once():
    text = """
interruption.raises = False
print('started', flush=True)
while not interruption.came:
    time.sleep(0.01)
interruption.then(lambda: print('reaction'))
"""
    assert run(text, signal.SIGINT, signal.SIGINT) == (0, 'reaction\n')


def test_signal_ends_a_system_call_that_waits_as_long_as_it_raises():
    text = """
try:
    print('started', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print('interrupted')
"""
    assert run(text, signal.SIGTERM) == (0, 'interrupted\n')
