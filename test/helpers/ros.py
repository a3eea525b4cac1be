"""Nodes of the tests themselves."""

from contextlib import contextmanager

import rclpy


@contextmanager
def started_node(name, **options):
    """A node in a context that ends with it; one at a time in a process."""
    rclpy.init()
    try:
        node = rclpy.create_node(name, **options)
        try:
            yield node
        finally:
            node.destroy_node()
    finally:
        rclpy.try_shutdown()
