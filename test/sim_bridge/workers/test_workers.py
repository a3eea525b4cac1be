# SPDX-License-Identifier: Apache-2.0
"""Workers: the same results in one process and in several, whatever happens to the processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from helpers.processes import own_modules
from helpers.tasks import Killing, Sleeping, inverse, pid_of, threads_of
from helpers.waiting import wait_for
from sim_bridge.workers.attempt import LOST, MAX_LOSSES, Failure, WorkError
from sim_bridge.workers.spread import ONE_PROCESS, Workers

TWO = Workers(2)


def results(workers, function, items):
    """The result of each item, in the order of the items."""
    found = dict(workers.each(function, items))
    assert sorted(found) == list(range(len(items)))
    return [found[index] for index in range(len(items))]


@pytest.mark.parametrize('workers', [ONE_PROCESS, TWO])
def test_an_error_is_the_result_of_its_item_alone(workers):
    division = Failure('ZeroDivisionError: division by zero')
    assert results(workers, inverse, [4, 0, 5]) == [0.25, division, 0.2]
    assert results(workers, inverse, []) == []


def test_two_processes_share_the_items_and_neither_is_this_one():
    pids = set(results(TWO, pid_of, range(12)))
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert set(results(ONE_PROCESS, pid_of, range(2))) == {os.getpid()}


def test_a_worker_has_one_thread_and_imports_only_what_its_items_need():
    assert results(TWO, threads_of, range(2)) == [(1, '1', False)] * 2


def test_what_a_killed_worker_had_is_done_again(tmp_path):
    function = Killing(inverse, 2, MAX_LOSSES - 1, tmp_path)
    assert results(TWO, function, [1, 2, 4]) == [1.0, 0.5, 0.25]
    assert len(list(tmp_path.iterdir())) == MAX_LOSSES - 1


def test_an_item_that_kills_each_worker_fails_alone(tmp_path):
    function = Killing(inverse, 2, 100, tmp_path)
    assert results(TWO, function, [1, 2, 4]) == [1.0, LOST, 0.25]
    assert len(list(tmp_path.iterdir())) == MAX_LOSSES


def test_a_worker_that_dies_between_two_items_is_replaced():
    before = set(multiprocessing.active_children())
    found = {}
    with closing(TWO.each(inverse, [1, 2, 4, 5, 8])) as finished:
        for index, result in finished:
            found[index] = result
            if len(found) == 1:
                # Workers get no items while this loop takes no results.
                for worker in set(multiprocessing.active_children()) - before:
                    worker.kill()
                    worker.join()
    assert found == {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.2, 4: 0.125}


def test_results_in_order_and_a_failure_that_names_its_item():
    assert list(TWO.in_order(inverse, [1, 2, 4])) == [1.0, 0.5, 0.25]
    with pytest.raises(WorkError, match=r'^0: ZeroDivisionError: division by zero$'):
        list(ONE_PROCESS.in_order(inverse, [0]))


def test_processes_end_with_the_iterator_and_in_the_middle_of_an_item(tmp_path):
    before = set(multiprocessing.active_children())
    with closing(TWO.each(Sleeping(tmp_path), [0, 1, 1])) as finished:
        assert next(finished) == (0, None)
        wait_for(lambda: any(tmp_path.iterdir()), 20.0, 'a worker sleeps')
        started_s = time.monotonic()
    assert time.monotonic() - started_s < 20.0
    assert set(multiprocessing.active_children()) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    'number', [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.faults)]
)
def test_processes_end_when_the_program_ends(tmp_path, number):
    program = (
        'from pathlib import Path\n'
        'from helpers.tasks import Sleeping\n'
        'from sim_bridge.workers.spread import Workers\n'
        f'list(Workers(2).each(Sleeping(Path({str(tmp_path)!r})), [1, 1]))\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', program],
        env={**os.environ, **own_modules()},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2, 30.0, 'both workers sleep')
    pids = [int(path.name) for path in tmp_path.iterdir()]
    # Ctrl-C reaches every process of the group; SIGKILL only the first.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    error = process.communicate(timeout=30.0)[1]
    wait_for(lambda: not any(Path(f'/proc/{pid}').exists() for pid in pids), 20.0, 'they end')
    assert error.count('Traceback') == (number == signal.SIGINT)
