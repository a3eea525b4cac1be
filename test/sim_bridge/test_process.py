"""What the processes of a drive are given."""

import pytest

from sim_bridge.process import child_environment


@pytest.mark.parametrize(('given', 'range_'), [(None, 'LOCALHOST'), ('SUBNET', 'SUBNET')])
def test_dds_stays_on_this_machine_unless_told_otherwise(given, range_):
    environment = {'ROS_AUTOMATIC_DISCOVERY_RANGE': given} if given else {}
    assert child_environment(environment)['ROS_AUTOMATIC_DISCOVERY_RANGE'] == range_
