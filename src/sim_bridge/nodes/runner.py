"""How a node of this package starts and ends: one main function for all of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sim_bridge.errors import UsageError
from sim_bridge.nodes.standby import is_spare, told_to_go
from steering_net.process import end_with_parent
from steering_net.ros import runner
from steering_net.ros.parameters import ParameterError


def run(
    *makers: Callable[[], Node],
    args: list[str] | None,
    refused: tuple[type[Exception], ...] = (UsageError, ParameterError),
) -> int:
    """Make nodes and spin them until SIGINT, SIGTERM or the end of the parent; the exit code.

    2 after one line on stderr if a parameter is bad or the node's port cannot be had: if making
    one raises any of `refused`.
    """
    return runner.run(*makers, args=args, program='sim_bridge', refused=refused, turn=_turn)


@contextmanager
def _turn() -> Iterator[bool]:
    """Wait as a spare; whether to start then.

    DDS takes a second or two to introduce a process to the others: a spare is known beforehand.
    """
    presence = None
    if is_spare():
        presence = rclpy.create_node('_spare', use_global_arguments=False, enable_rosout=False)
    try:
        yield told_to_go()
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
    """Whether to go on: until SIGINT, SIGTERM or the end of the parent."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    end_with_parent()
    yield lambda: not stopped
