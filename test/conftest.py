# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several tests share."""

import os
import subprocess

import pytest
from rclpy.logging import LoggingSeverity, set_logger_level

from helpers.echo import Echo, page
from helpers.graph import Graph
from helpers.log import Log
from helpers.machine import Machine
from helpers.network import own_domain_id
from helpers.paths import SHARED_DATA
from helpers.processes import start_verb
from helpers.ros import started_node
from sim_bridge.protocol.udacity import CULTURES
from sim_bridge.server.simulator_server import SimulatorServer
from sim_bridge.simulator.client import Client

LONG_FILES = {
    'test_app.py', 'test_backup.py', 'test_bridge_guard.py', 'test_controls.py',
    'test_devices.py', 'test_doctor.py', 'test_drive.py', 'test_faults.py', 'test_fleet.py',
    'test_hardening.py', 'test_hold.py', 'test_import_model.py', 'test_learning.py',
    'test_predictor.py', 'test_record.py', 'test_simulator.py', 'test_steering_node.py',
    'test_tokens.py', 'test_trainer.py',
}  # fmt: skip
"""Files of a quarter of a minute or more: one that came late would run on alone."""
_MACHINE = pytest.StashKey[Machine]()


def pytest_sessionstart(session):
    run = os.environ.get('PYTEST_XDIST_TESTRUNUID', str(os.getpid()))
    session.config.stash[_MACHINE] = Machine(run)


def pytest_sessionfinish(session):
    session.config.stash[_MACHINE].close()


def pytest_collection_modifyitems(items):
    """Put long files first, then those with slow tests; all with real deadlines come last."""
    items.sort(
        key=lambda item: (is_real_time(item), item.path.name not in LONG_FILES, not is_slow(item))
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    machine = item.config.stash[_MACHINE]
    machine.join(real_time=is_real_time(item))
    try:
        return (yield)
    finally:
        if nextitem is None or is_real_time(nextitem) != is_real_time(item):
            machine.leave()


def is_slow(item):
    return item.get_closest_marker('slow') is not None or 'integration' in item.path.parts


def is_real_time(item):
    return item.get_closest_marker('real_time') is not None


@pytest.fixture(scope='session', autouse=True)
def own_ros_domain():
    """Keep the DDS traffic of this process apart from every other graph on the machine."""
    os.environ['ROS_DOMAIN_ID'] = str(own_domain_id())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


@pytest.fixture(autouse=True)
def usual_log_level():
    """Undo a --log-level of the test before, which rclpy keeps as long as the process lives."""
    set_logger_level('', LoggingSeverity.INFO)


@pytest.fixture(autouse=True)
def same_priority():
    """A test that lowers the priority of its process would slow all that come after it."""
    before = os.nice(0)
    yield
    assert os.nice(0) == before


@pytest.fixture
def shared_data():
    """The folder with recordings beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f'needs the recordings in {SHARED_DATA}, which a plain clone does not have')
    return SHARED_DATA


@pytest.fixture
def logged():
    """Warnings and errors that are logged during the test."""
    with Log() as kept:
        yield kept


@pytest.fixture
def ros_node():
    """A node of the test."""
    with started_node('person') as node:
        yield node


@pytest.fixture
def graph():
    """The three nodes as processes, connected and ready."""
    with Graph() as started:
        yield started


@pytest.fixture
def echo():
    server = SimulatorServer(host='127.0.0.1', port=0, pages=page)
    handler = Echo(server)
    server.start(handler)
    yield handler
    server.stop(lambda: None)


@pytest.fixture
def simulator(echo):
    client = Client(f'ws://127.0.0.1:{echo.server.port}', CULTURES['en-US'])
    yield client
    client.quit()


@pytest.fixture
def start():
    """Start `sim-bridge drive` with these options; killed at the end if it still runs."""
    started = []

    def start(*words, **options):
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        process = start_verb('drive', *words, **{**pipes, **options})
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
