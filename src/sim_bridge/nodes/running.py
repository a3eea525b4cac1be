"""How a node of this package starts and ends: one main function for all of them."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import NotInitializedException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sim_bridge.errors import StartError
from sim_bridge.standby import is_spare, told_to_go
from steering_net.executor import QuickExecutor
from steering_net.lifeline import parent_is_gone


def run(make_node: Callable[[], Node], args: list[str] | None) -> int:
    """Spin the node until SIGINT, SIGTERM or the end of its parent; return the exit code.

    2 after one line on stderr if a parameter is bad or the node's port cannot be had.
    """
    waiting = True

    def interrupt(*_: object) -> None:
        # Once the node is made, rclpy's own handler ends it between two callbacks. An exception
        # out of nowhere would leave things half done: threads that nobody ends, for example.
        if waiting:
            raise KeyboardInterrupt

    # rclpy puts its handler before this one and calls both.
    signal.signal(signal.SIGINT, interrupt)
    rclpy.init(args=args)
    node = None
    try:
        with _introduced():
            if not told_to_go():
                return 0
            waiting = False
            node = make_node()
        node.create_timer(1.0, end_with_parent)
        settle()
        QuickExecutor(node).spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except StartError as error:
        print(f'sim_bridge: {error}', file=sys.stderr)
        return 2
    except (RuntimeError, NotInitializedException):
        # A signal ends ROS under the feet of a node that is still being made.
        if rclpy.ok():
            raise
    finally:
        waiting = False
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


@contextmanager
def _introduced() -> Iterator[None]:
    """Let the others know a spare before its turn: DDS takes a second or two to introduce it."""
    presence = None
    if is_spare():
        presence = rclpy.create_node('_spare', use_global_arguments=False, enable_rosout=False)
    try:
        yield
    finally:
        if presence is not None:
            presence.destroy_node()


@contextmanager
def ros() -> Iterator[None]:
    """ROS for a program that handles signals itself and has nodes only for a while."""
    rclpy.init(args=['sim-bridge'], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """What tells whether nobody has asked to end yet, by a signal or by leaving us alone."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    yield lambda: not stopped and not parent_is_gone()


def settle() -> None:
    """Spare the garbage collector all that was made so far: it lives as long as the process."""
    gc.collect()
    gc.freeze()


def end_with_parent() -> None:
    """End the spinning once the process that started this one is gone; for a timer."""
    if parent_is_gone():
        raise ExternalShutdownException
