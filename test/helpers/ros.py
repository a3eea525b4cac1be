# SPDX-License-Identifier: Apache-2.0
"""Nodes of the tests themselves."""

from contextlib import contextmanager

import rclpy


@contextmanager
def started_rclpy(*words):
    """rclpy with these ROS arguments, ended whatever happens; one at a time in a process.

    The level is given each time, because rclpy keeps the one of the test before.
    """
    rclpy.init(args=['--ros-args', '--log-level', 'info', *words])
    try:
        yield
    finally:
        rclpy.try_shutdown()


@contextmanager
def started_node(name, **options):
    """A node in an rclpy that ends with it."""
    with started_rclpy():
        node = rclpy.create_node(name, **options)
        try:
            yield node
        finally:
            node.destroy_node()
