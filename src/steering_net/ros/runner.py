"""How the nodes of a program start, spin and end: one way for all of them."""

import gc
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import rclpy
from rclpy.exceptions import NotInitializedException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from steering_net.process import end_with_parent
from steering_net.ros.executor import executor_for


def run(
    *makers: Callable[[], Node],
    args: list[str] | None,
    program: str,
    refused: tuple[type[Exception], ...],
    turn: Callable[[], AbstractContextManager[bool]] = lambda: nullcontext(True),
) -> int:
    """Make nodes and spin them until SIGINT, SIGTERM or the end of the parent; the exit code.

    All callbacks run on this thread, messages in the order of the nodes. The nodes end in that
    order too. `turn` says whether the nodes are to be made, may wait before it does, and is left
    when they are made.

    Returns 2 after one line on stderr, `program: ...`, if making a node raises one of `refused`.
    """
    waiting = True

    def interrupt(*_: object) -> None:
        # Once nodes are being made, rclpy's own handler ends them between two callbacks. An
        # exception out of nowhere would leave things half done: threads that nobody ends, say.
        if waiting:
            raise KeyboardInterrupt

    # rclpy puts its handler before this one and calls both.
    signal.signal(signal.SIGINT, interrupt)
    rclpy.init(args=args)
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
        # A signal ends ROS under the feet of a node that is still being made.
        if rclpy.ok():
            raise
    finally:
        waiting = False
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _refuse(program: str, error: Exception) -> int:
    """Say what was wrong, unless it is that somebody asked to end meanwhile; the exit code."""
    if not rclpy.ok():
        return 0
    print(f'{program}: {error}', file=sys.stderr)
    return 2


def _settle() -> None:
    """Spare the garbage collector all that was made so far: it lives as long as the process."""
    gc.collect()
    gc.freeze()
