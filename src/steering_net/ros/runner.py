# SPDX-License-Identifier: Apache-2.0
"""run: starts, spins and ends the nodes of a program."""

import gc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from steering_net.errors import one_line
from steering_net.process import end_with_parent, killed_after
from steering_net.ros.executor import executor_for
from steering_net.ros.interruption import Interruption

LONGEST_END_S = 10.0
"""Time for all nodes to end. Fast DDS may lock up when it takes leave of the other processes."""


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

    Returns 2 after one line on stderr, `program: ...`, if making a node raises one of `refused`.
    """
    # A signal ends a node between two callbacks or after its constructor, because an exception in
    # the middle of either would leave threads running.
    interruption = Interruption()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # For example a parameters file that is missing or no YAML.
        return _refuse(program, one_line(error), interruption)
    end_with_parent()
    nodes: list[Node] = []
    try:
        with turn() as is_ours:
            interruption.raises = False
            try:
                for make in makers:
                    if is_ours and not interruption.came:
                        nodes.append(make())
            except refused as error:
                return _refuse(program, error, interruption)
        if len(nodes) == len(makers):
            _settle()
            executor = executor_for(*nodes)
            interruption.then(executor.end)
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        interruption.raises = False
        with killed_after(LONGEST_END_S):
            for node in nodes:
                node.destroy_node()
            rclpy.try_shutdown()
    return 0


def _refuse(program: str, error: object, interruption: Interruption) -> int:
    """Print the error, unless a signal may have caused it, and return the exit code."""
    if interruption.came:
        return 0
    print(f'{program}: {error}', file=sys.stderr)
    return 2


def _settle() -> None:
    """Exclude all objects so far from garbage collection, because they live until the end."""
    gc.collect()
    gc.freeze()
