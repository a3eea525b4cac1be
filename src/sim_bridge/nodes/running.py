"""How a node of this package starts and ends: one main function for all of them."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sim_bridge.errors import StartError
from sim_bridge.lifeline import parent_is_gone
from steering_net.executor import QuickExecutor


def run(make_node: Callable[[], Node], args: list[str] | None) -> int:
    """Spin the node until SIGINT, SIGTERM or the end of its parent; return the exit code.

    2 after one line on stderr if a parameter is bad or the node's port cannot be had.
    """
    rclpy.init(args=args)
    node = None
    try:
        node = make_node()
        node.create_timer(1.0, end_with_parent)
        settle()
        QuickExecutor(node).spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except StartError as error:
        print(f'sim_bridge: {error}', file=sys.stderr)
        return 2
    finally:
        # Without a terminal a process group gets SIGINT twice; the second must not cut this short.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


@contextmanager
def ros() -> Iterator[None]:
    """ROS for a program that handles signals itself and has nodes only for a while."""
    rclpy.init(args=['sim-bridge'], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()


def settle() -> None:
    """Spare the garbage collector all that was made so far: it lives as long as the process."""
    gc.collect()
    gc.freeze()


def end_with_parent() -> None:
    """End the spinning once the process that started this one is gone; for a timer."""
    if parent_is_gone():
        raise ExternalShutdownException
