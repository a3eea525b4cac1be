"""What several tests share: data beside the checkout, and a graph of real processes."""

import os

import pytest

from support import SHARED_DATA, Graph, free_domain_id


@pytest.fixture(scope='session', autouse=True)
def own_ros_domain():
    """Keep this run's DDS traffic apart from every other graph on the machine."""
    os.environ['ROS_DOMAIN_ID'] = str(free_domain_id())
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


@pytest.fixture
def shared_data():
    """The folder with recordings beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f'needs the recordings in {SHARED_DATA}, which a plain clone does not have')
    return SHARED_DATA


@pytest.fixture
def graph():
    """The three nodes as processes, connected and ready."""
    with Graph() as started:
        yield started
