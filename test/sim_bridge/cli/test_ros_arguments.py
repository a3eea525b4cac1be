# SPDX-License-Identifier: Apache-2.0
"""Parameters that verbs give to nodes arrive as they are."""

from pathlib import Path

import pytest
from rclpy.node import Node

from sim_bridge.cli.ros_arguments import QUIET, parameters

VALUES = {
    'text': '2024',
    'path': Path('/data/run #3: a "b"'),
    'word': 'off',
    'accent': 'r\u00e9seau.keras',
    'number': 3,
    'real': 2.5,
    'flag': True,
}


@pytest.mark.parametrize('name', VALUES)
def test_a_parameter_arrives_as_it_is(ros_node, name):
    node = Node(
        'reader',
        cli_args=[*QUIET, *parameters(VALUES | {'empty': ''}, 'reader')],
        automatically_declare_parameters_from_overrides=True,
    )
    try:
        value = VALUES[name]
        arrived = node.get_parameter(name).value
        assert arrived == (str(value) if isinstance(value, Path) else value)
        assert type(arrived) is type(value) or isinstance(value, Path)
        assert not node.has_parameter('empty')
    finally:
        node.destroy_node()
