# SPDX-License-Identifier: Apache-2.0
"""The main function of all nodes of this package: start, spin, end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from sim_bridge.errors import UsageError
from sim_bridge.nodes.standby import is_spare, wait_for_start
from sim_bridge.process import lower_priority, lower_priority_of_session
from steering_net.process import end_with_parent
from steering_net.ros import runner
from steering_net.ros.parameters import ParameterError


def run(
    *makers: Callable[[], Node],
    args: list[str] | None,
    refused: tuple[type[Exception], ...] = (UsageError, ParameterError),
) -> int:
    """Make nodes and spin them until SIGINT, SIGTERM or the end of the parent.

    Returns the exit code: 2, after one line on stderr, if a maker raises one of `refused`, for
    example because of a bad parameter or a port that is in use.
    """
    return runner.run(*makers, args=args, program='sim_bridge', refused=refused, turn=_turn)


def run_viewer(make: Callable[[], Node], args: list[str] | None) -> int:
    """Run a node that only looks on, with a lower priority than the drive; see `run`.

    Its session gets the lower priority after the start, which would take a minute on a busy
    machine. A recorder is no viewer: it would lose frames on such a machine.
    """
    lower_priority()

    def started() -> Node:
        node = make()
        lower_priority_of_session()
        return node

    return run(started, args=args)


@contextmanager
def _turn() -> Iterator[bool]:
    """Wait as a spare; yield whether to start after that.

    A waiting spare has a node without topics, because DDS takes a second or two to make a process
    known to the others.
    """
    presence = None
    if is_spare():
        presence = rclpy.create_node('_spare', use_global_arguments=False, enable_rosout=False)
    try:
        yield wait_for_start()
    finally:
        if presence is not None:
            presence.destroy_node()


@contextmanager
def ros() -> Iterator[None]:
    """Initialise rclpy for a program that handles signals itself."""
    rclpy.init(args=['sim-bridge'], signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns False after SIGINT, SIGTERM or the end of the parent."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    end_with_parent()
    yield lambda: not stopped
