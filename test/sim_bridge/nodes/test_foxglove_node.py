# SPDX-License-Identifier: Apache-2.0
"""What viewers of the foxglove node may do, by its parameters."""

from types import SimpleNamespace as Fields

import pytest
from rclpy.parameter import Parameter

from helpers.foxglove_client import FoxgloveClient
from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes.foxglove import FoxgloveNode
from sim_bridge.nodes.foxglove_parameters import GraphParameters


@pytest.mark.parametrize(
    ('words', 'can_control'),
    [
        (['host:=0.0.0.0'], False),
        (['host:=0.0.0.0', 'control:=always'], True),
        (['control:=never'], False),
        ([], True),
    ],
)
def test_viewers_control_the_drive_only_where_that_is_allowed(words, can_control):
    pytest.importorskip('foxglove', reason='needs foxglove-sdk')
    options = [option for word in ['port:=0', *words] for option in ('-p', word)]
    with started_rclpy(*options):
        node = FoxgloveNode()
        node.start()
        with FoxgloveClient(node.port) as viewer:
            wait_for(lambda: viewer.info, 5.0, 'the greeting')
            assert ('services' in viewer.info['capabilities']) is can_control
            assert ('clientPublish' in viewer.info['capabilities']) is can_control
            viewer.set_parameter('/throttle.kp', 1.0)
            (told,) = wait_for(lambda: viewer.statuses, 5.0, 'a warning')
            assert ('control of the foxglove node forbids it' in told) is not can_control
        node.destroy_node()


def test_parameters_of_a_node_that_ends_while_they_are_read_are_still_shown(ros_node):
    def parameter(name, value):
        parameters._values = {}
        return name, value

    parameters = GraphParameters(ros_node, Fields(parameter=parameter), can_set=False)
    parameters._values = {
        f'/steering.{name}': Parameter(name, value=value).to_parameter_msg()
        for name, value in (('cars', 1), ('model', 'default'))
    }
    assert parameters.get([]) == [('/steering.cars', 1), ('/steering.model', 'default')]
