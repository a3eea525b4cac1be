# SPDX-License-Identifier: Apache-2.0
"""The processes of a drive: their environment, and how often they are started again."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.waiting import wait_for
from sim_bridge.errors import UsageError
from sim_bridge.process import ManagedProcess, RestartLimit, RestartLimitError, child_environment

AUTOGROUP = Path('/proc/self/autogroup')


@pytest.mark.parametrize(('given', 'range_'), [(None, 'LOCALHOST'), ('SUBNET', 'SUBNET')])
def test_dds_stays_on_this_machine_unless_told_otherwise(given, range_):
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': given} if given else {}
    assert child_environment(environment)['ROS_AUTOMATIC_DISCOVERY_RANGE'] == range_


def test_sixth_end_within_a_minute_is_over_the_limit():
    limit = RestartLimit(clock=itertools.count(0.0, 11.9).__next__)
    assert [limit.count_end() for _ in range(6)] == [True] * 5 + [False]


def test_ends_that_are_a_minute_old_do_not_count():
    limit = RestartLimit(clock=itertools.count(0.0, 12.0).__next__)
    assert all(limit.count_end() for _ in range(100))


class Ending(ManagedProcess):
    """A process that ends by itself, with a code that the test chooses."""

    def __init__(self, code):
        self.starts = 0
        self._code = code
        super().__init__('test', [])

    def _start(self):
        self.starts += 1
        return EndedProcess(self._code)


class EndedProcess:
    """What the supervisor asks of a process that has ended."""

    def __init__(self, code):
        self._code = code

    def poll(self):
        return self._code


def test_process_that_ended_is_started_again_five_times_and_then_given_up():
    said = []
    process = Ending(-9)
    for _ in range(5):
        process.supervise(said.append)
    assert process.starts == 6
    with pytest.raises(
        RestartLimitError, match='the test node ended with code -9, for the sixth time'
    ):
        process.supervise(said.append)
    assert process.starts == 6
    assert said == ['the test node ended with code -9; it is restarted'] * 5


def test_process_that_refused_its_parameters_is_not_started_again():
    process = Ending(2)
    with pytest.raises(UsageError, match='the test node rejected its parameters'):
        process.supervise(print)
    assert process.starts == 1


@pytest.mark.slow
def test_real_process_that_keeps_ending_is_given_up():
    """Its verb prints a text and ends at once with 0."""
    said = []
    process = ManagedProcess('help', ['--help'], pipe_output=True)

    def given_up():
        try:
            process.supervise(said.append)
        except RestartLimitError:
            return True
        return False

    wait_for(given_up, what='the sixth end')
    assert said == ['the help node ended with code 0; it is restarted'] * 5


@pytest.mark.skipif(not AUTOGROUP.exists(), reason='this Linux does not group by session')
@pytest.mark.parametrize('has_session', [True, False])
def test_session_gets_a_lower_priority_unless_others_share_it(has_session):
    code = (
        'from sim_bridge.process import lower_priority_of_session; lower_priority_of_session(); '
        f'print(open("{AUTOGROUP}").read())'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        start_new_session=has_session,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    group, before = result.stdout.strip(), AUTOGROUP.read_text(encoding='ascii').strip()
    assert group.endswith(' nice 10') if has_session else group == before
