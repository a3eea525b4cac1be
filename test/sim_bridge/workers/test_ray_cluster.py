# SPDX-License-Identifier: Apache-2.0
"""A real Ray cluster of two nodes gives the numbers of one process, also when it loses one."""

from contextlib import closing

import pytest

from helpers.processes import TIMINGS, run_verb
from helpers.ray_nodes import two_nodes
from helpers.tasks import inverse
from sim_bridge.cli.arguments import track_names
from sim_bridge.errors import UsageError
from sim_bridge.evaluation.track_drives import TrackDrives
from sim_bridge.simulator.weather import CLEAR
from sim_bridge.workers.attempt import Failure
from sim_bridge.workers.spread import ONE_PROCESS, Workers
from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor

pytest.importorskip('ray', reason="needs Ray: pip install 'sim_bridge[scale]'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def cluster():
    with two_nodes() as started:
        yield started


def timeless(report):
    return {name: value for name, value in report.items() if name not in TIMINGS}


def test_no_cluster_is_one_line():
    with pytest.raises(UsageError, match=r'^--ray: there is no Ray cluster at 127.0.0.1:9: .+$'):
        list(Workers(ray_address='127.0.0.1:9').each(inverse, [1]))


def test_an_error_is_the_result_of_its_item_alone(cluster):
    found = dict(Workers(ray_address=cluster[0]).each(inverse, [4, 0, 5]))
    assert found == {0: 0.25, 1: Failure('ZeroDivisionError: division by zero'), 2: 0.2}


def test_the_verb_takes_the_address(cluster):
    words = ['--tracks', 3, '--seconds', 1, '--ray', cluster[0]]
    done = run_verb('evaluate', 'closed-loop', *words)
    assert done.returncode == 0, done.stderr
    assert 'track 3' in done.stdout


def test_a_node_that_is_killed_changes_no_number(cluster):
    address, kill_second_node = cluster
    network = pack(load_predictor(camera='autonomous'))
    drives = TrackDrives(network, laps=1, speed_limit_mps=6.7, weather=CLEAR, longest_s=3.0)
    tracks = track_names('0-5')
    found = {}
    with closing(Workers(ray_address=address).each(drives, tracks)) as finished:
        for index, report in finished:
            if not found:
                kill_second_node()
            found[index] = timeless(report)
    expected = dict(ONE_PROCESS.each(drives, tracks))
    assert found == {index: timeless(report) for index, report in expected.items()}
