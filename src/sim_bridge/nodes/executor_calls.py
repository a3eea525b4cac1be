# SPDX-License-Identifier: Apache-2.0
"""ExecutorCalls: lets other threads call functions on the thread of a node's executor."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from rclpy.node import Node


class ExecutorCalls:
    """Runs the functions that other threads give, one after the other, between two callbacks.

    Other threads must not create or destroy subscriptions, because the executor waits for them.
    """

    def __init__(self, node: Node) -> None:
        self._functions: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._guard = node.create_guard_condition(self._run)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Let the executor's thread call `function`; thread-safe."""
        self._functions.put(function)
        self._guard.trigger()

    @property
    def waiting(self) -> int:
        """Number of functions that wait."""
        return self._functions.qsize()

    def _run(self) -> None:
        while not self._functions.empty():
            self._functions.get()()
