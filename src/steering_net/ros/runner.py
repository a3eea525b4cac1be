# SPDX-License-Identifier: Apache-2.0
"""run: starts, spins and ends the nodes of a program."""

import gc
import re
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import rclpy
from rclpy.exceptions import NotInitializedException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from steering_net.errors import one_line
from steering_net.process import end_with_parent
from steering_net.ros.executor import executor_for


def run(
    *makers: Callable[[], Node],
    args: list[str] | None,
    program: str,
    refused: tuple[type[Exception], ...],
    turn: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(True),
) -> int:
    """Make and spin nodes until SIGINT, SIGTERM or the end of the parent; return the exit code.

    All callbacks run on this thread, messages in the order of the nodes. The nodes end in the same
    order. `turn` is a context manager: it may wait, yields whether to make the nodes, and is left
    when they are made.

    Returns 2 after one line on stderr, `program: ...`, if making a node raises one of `refused`,
    or if ROS cannot parse `args`.
    """
    waiting = True

    def interrupt(*_: object) -> None:
        # Only while waiting. Later, rclpy's own handler ends the nodes between two callbacks,
        # because an exception in the middle of a constructor would leave threads running.
        if waiting:
            raise KeyboardInterrupt

    # rclpy installs its handler in front of this one and calls both.
    signal.signal(signal.SIGINT, interrupt)
    try:
        rclpy.init(args=args)
    except RuntimeError as error:
        # rclpy has no type of its own for arguments that it cannot parse.
        reason = re.sub(r',? at /\S+', '', one_line(error)).rpartition('rcl: ')[2]
        print(f'{program}: {reason}', file=sys.stderr)
        return 2
    end_with_parent()
    nodes: list[Node] = []
    try:
        with turn() as is_ours:
            if not is_ours:
                return 0
            waiting = False
            try:
                for make in makers:
                    nodes.append(make())
            except refused as error:
                return _refuse(program, error)
        _settle()
        executor_for(*nodes).spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RuntimeError, NotInitializedException):
        # Also raised when a signal shuts ROS down while a node is being made.
        if rclpy.ok():
            raise
    finally:
        waiting = False
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _refuse(program: str, error: Exception) -> int:
    """Print the error, unless a signal caused it, and return the exit code."""
    if not rclpy.ok():
        return 0
    print(f'{program}: {error}', file=sys.stderr)
    return 2


def _settle() -> None:
    """Exclude all objects so far from garbage collection, because they live until the end."""
    gc.collect()
    gc.freeze()
