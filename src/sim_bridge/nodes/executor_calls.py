# SPDX-License-Identifier: Apache-2.0
"""ExecutorCalls and Pace: let other threads call functions on the thread of a node's executor."""

from __future__ import annotations

import threading
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


class Pace:
    """Calls a function again and again on the thread of a node's executor.

    A timer costs more processor time, because QuickExecutor leaves timers to rclpy.
    """

    def __init__(
        self,
        calls: ExecutorCalls,
        period_s: float,
        function: Callable[[], object],
        is_needed: Callable[[], bool],
    ) -> None:
        """Call the function if `is_needed`, which is called on a thread of its own, returns so."""
        self._calls = calls
        self._is_needed = is_needed
        self._period_s = period_s
        self._function = function
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name='pace', daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Call the function no more."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._period_s):
            if self._is_needed() and not self._calls.waiting:
                self._calls.call_soon(self._function)
