# SPDX-License-Identifier: Apache-2.0
"""The runner: how a program with nodes ends, in a process of its own."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from steering_net.ros.runner import _refuse

PROGRAM = """
import sys, threading
from rclpy.node import Node
from std_msgs.msg import Bool
from steering_net.ros.runner import run

class Publishing(Node):
    '''Publishes without a pause on a thread of its own, as the bridge does.'''

    def __init__(self):
        super().__init__('publishing')
        self._is_over = threading.Event()
        self._topic = self.create_publisher(Bool, 'topic', 1)
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()
        print('started', flush=True)

    def _publish(self):
        while not self._is_over.is_set():
            self._topic.publish(Bool())

    def destroy_node(self):
        self._is_over.set()
        self._thread.join()
        super().destroy_node()
        print('destroyed', flush=True)

sys.exit(run(Publishing, args=sys.argv, program='test', refused=()))
"""


HANGING = """
import ctypes
from steering_net.ros import runner
runner.LONGEST_END_S = 0.5
from rclpy.node import Node

class Hanging(Node):
    def __init__(self):
        super().__init__('hanging')
        print('started', flush=True)

    def destroy_node(self):
        ctypes.PyDLL(None).sleep(60)  # It keeps the lock of the interpreter.

runner.run(Hanging, args=[], program='test', refused=())
"""


def start(*words, program=PROGRAM):
    return subprocess.Popen(
        [sys.executable, '-c', program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_nodes_end_while_ros_still_works(number):
    """The node has no timer and no message, so only the signal can end its wait."""
    process = start()
    assert process.stdout.readline() == 'started\n'
    time.sleep(0.2)  # The signal must come while the executor waits.
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, 'destroyed\n')


@pytest.mark.slow
def test_node_that_hangs_in_its_end_is_killed():
    process = start(program=HANGING)
    assert process.stdout.readline() == 'started\n'
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10.0) == -signal.SIGALRM


@pytest.mark.slow
def test_parameters_file_that_is_missing_gives_one_line():
    output, _ = (process := start('--ros-args', '--params-file', '/none.yaml')).communicate()
    assert process.returncode == 2
    assert 'Traceback' not in output
    assert '/none.yaml' in output


def test_error_after_a_signal_is_no_refusal(capsys):
    assert _refuse('test', 'port 1 is in use', SimpleNamespace(came=False)) == 2
    assert capsys.readouterr().err == 'test: port 1 is in use\n'
    assert _refuse('test', 'context is invalid', SimpleNamespace(came=True)) == 0
    assert capsys.readouterr().err == ''
