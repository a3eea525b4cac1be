# SPDX-License-Identifier: Apache-2.0
"""QuickExecutor: an executor of rclpy that calls the callbacks of messages with less delay.

For each message, rclpy's own executor collects every entity, builds a wait set, makes a task and
a coroutine, and wakes itself twice: about 0.7 ms. QuickExecutor keeps the wait set until an entity
is added or removed, takes a message as soon as it is ready, and calls the callback directly.
Timers, services, events and everything else are left to rclpy. Messages of a DirectPublisher in
the same process do not pass through DDS.

It uses private parts of rclpy. `executor_for` tries them at the start, and falls back to rclpy's
own executor if they have changed.
"""

import inspect
import threading
from contextlib import ExitStack
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.node import Node

from steering_net.ros.direct_publisher import DirectPublisher

PRIVATE_ERRORS = (AttributeError, ImportError, LookupError, TypeError, ValueError)
"""Exceptions of using a private part of rclpy that is missing or has another signature."""

_LOOK_PERIOD_S = 0.1
_FOR_EVER_NS = -1
_AT_ONCE_NS = 0


class PlainExecutor(SingleThreadedExecutor):
    """rclpy's own executor, which `end` ends."""

    _is_over = False

    def end(self) -> None:
        """Let `spin` return after the present callback; thread-safe."""
        self._is_over = True
        self.wake()

    def spin(self) -> None:
        """Call callbacks until `end` or until ROS is shut down."""
        while self.context.ok() and not self._is_over:
            # rclpy returns only after a callback or at the timeout, not when it is woken up.
            self.spin_once(timeout_sec=_LOOK_PERIOD_S)


def executor_for(*nodes: Node) -> PlainExecutor:
    """Return a QuickExecutor with these nodes, or, with a warning, a plain one if that fails."""
    try:
        quick = QuickExecutor(*nodes)
        quick.try_out()
    except PRIVATE_ERRORS as error:
        nodes[0].get_logger().warning(
            f'this rclpy lacks private parts that the quick executor needs ({error}): '
            "rclpy's own executor is used, which is slower"
        )
        plain = PlainExecutor()
        for node in nodes:
            plain.add_node(node)
        return plain
    return quick


def take(subscription: Any) -> tuple[Any, Any] | None:
    """Take the waiting message and its MessageInfo; None if there is no message.

    Raises one of PRIVATE_ERRORS if this rclpy takes messages in another way.
    """
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is None:
        return None
    message, info = taken
    return message, info


class QuickExecutor(PlainExecutor):
    """Calls the callbacks of its nodes on the thread that spins it, messages first.

    Callbacks of guard conditions, and those that take only the message, are called directly, and
    without waiting for their callback groups, because there is one thread. Subscriptions of a
    group that executes nothing are left to their owner. Coroutines and callbacks that take a
    MessageInfo are left to rclpy.
    """

    # rclpy needs it in __del__, even of an executor whose __init__ failed after a shutdown.
    _sigint_gc: Any = None

    def __init__(self, *nodes: Node) -> None:
        super().__init__()
        self._changed = GuardCondition(None, None)
        self._stale = True
        self._kept = ExitStack()
        self._wait_set: Any = None
        self._adders: list[tuple[Any, Any]] = []
        self._quick: list[Any] = []
        self._slow: list[Any] = []
        self._guards: list[Any] = []
        self._thread = 0
        self._handed: dict[Any, Any] = {}
        for node in nodes:
            self.add_node(node)

    def try_out(self) -> None:
        """Use each private part once; raise one of PRIVATE_ERRORS if one has changed."""
        try:
            self._changed.trigger()
            self._wait(_AT_ONCE_NS)
            if self._changed.handle.pointer not in self._ready('guard_condition'):
                raise LookupError('a wait set does not report ready entities')
            self._has_tasks()
            self._has_found_guards()
            taken = [(one, take(one)) for one in self._quick]
        except PRIVATE_ERRORS:
            self._kept.close()
            raise
        for subscription, message in taken:
            if message is not None:
                subscription.callback(message[0])

    def wake(self) -> None:
        """Collect the entities again, because one was added or removed; thread-safe."""
        super().wake()
        self._stale = True
        self._changed.trigger()

    def spin(self) -> None:
        """Call callbacks until `end`.

        Raises ExternalShutdownException if ROS is shut down, and whatever a callback raises.
        """
        self._thread = threading.get_ident()
        with self._kept:
            while not self._is_over:
                self._wait(_FOR_EVER_NS)
                if not self.context.ok():
                    raise ExternalShutdownException
                self._call_guards()
                nothing_else = self._take_messages()
                self._call_with_handed()
                if not nothing_else or self._has_tasks():
                    self._leave_to_rclpy()

    def hand(self, subscription: Any, message: Any) -> None:
        """Call the callback of a subscription with a message of this process; thread-safe.

        On the thread of `spin` it is called at once, otherwise as soon as that thread is free, and
        then with the newest message only.
        """
        if threading.get_ident() == self._thread:
            subscription.callback(message)
        else:
            self._handed[subscription] = message
            self._changed.trigger()

    def take(self, subscription: Any) -> Any:
        """Take the message that waits for a subscription, handed over or in DDS; None without one.

        Only for the thread of `spin`.
        """
        handed = self._handed.pop(subscription, None)
        if handed is not None:
            return handed
        taken = take(subscription)
        return taken and taken[0]

    def _wait(self, timeout_ns: int) -> None:
        """Sleep until something is ready."""
        if self._stale:
            self._collect()
        self._wait_set.clear_entities()
        for add, handle in self._adders:
            add(handle)
        self._wait_set.wait(timeout_ns)

    def _ready(self, kind: str) -> Any:
        """Pointers to the entities of a kind that are ready."""
        return self._wait_set.get_ready_entities(kind)

    def _call_guards(self) -> None:
        """Call the callbacks of the guard conditions that were triggered."""
        ready = self._ready('guard_condition')
        for guard in self._guards:
            if guard.handle.pointer in ready:
                guard.callback()

    def _has_tasks(self) -> bool:
        """Whether a callback of a future waits, as that of the reply of a service."""
        return any(not task.done() for task, _, _ in self._tasks)

    def _leave_to_rclpy(self) -> None:
        """Let rclpy call one callback, the tasks, and the guard conditions that it found.

        It finds all that is ready at once, but calls one callback each time. A task may be a
        coroutine that waits, so the tasks get a few turns only.
        """
        self.spin_once(timeout_sec=0.0)
        turns = 1 + len(self._tasks)
        while self._has_found_guards() or (turns and self._has_tasks()):
            self.spin_once(timeout_sec=0.0)
            turns = max(0, turns - 1)

    def _has_found_guards(self) -> bool:
        """Whether rclpy has taken the trigger of a guard condition and not called it yet."""
        return any(guard._executor_triggered for guard in self._guards)

    def _call_with_handed(self) -> None:
        """Call the callbacks with the messages handed over so far; later ones wake us again."""
        for subscription in tuple(self._handed):
            message = self._handed.pop(subscription, None)
            if message is not None:  # A callback may have taken it.
                subscription.callback(message)

    def _take_messages(self) -> bool:
        """Call the callbacks with a message each; return whether nothing else is ready."""
        ready = self._ready('subscription')
        for subscription in self._quick:
            if subscription.handle.pointer in ready:
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if taken is not None:
                    subscription.callback(taken[0])
        if any(subscription.handle.pointer in ready for subscription in self._slow):
            return False
        return not any(map(self._ready, ('timer', 'client', 'service')))

    def _collect(self) -> None:
        """Build the wait set of the nodes' entities, and keep those from being destroyed."""
        from rclpy.impl.implementation_singleton import rclpy_implementation as private

        self._stale = False
        self._kept.close()
        nodes = self.get_nodes()
        subscriptions = self._hold(
            [
                one
                for node in nodes
                for one in node.subscriptions
                if one.callback_group.can_execute(one)
            ]
        )
        timers = self._hold([one for node in nodes for one in node.timers])
        clients = self._hold([one for node in nodes for one in node.clients])
        services = self._hold([one for node in nodes for one in node.services])
        self._quick = [one for one in subscriptions if _takes_the_message_alone(one)]
        self._slow = [one for one in subscriptions if one not in self._quick]
        self._guards = self._hold([one for node in nodes for one in node.guards])
        # rclpy triggers its own guard for tasks.
        guards = [self._changed, self._guard, *self._guards]
        self._wait_set = wait_set = private.WaitSet(
            len(subscriptions), len(guards), len(timers), len(clients), len(services), 0,
            self.context.handle,
        )  # fmt: skip
        self._adders = [
            *((wait_set.add_subscription, one.handle) for one in subscriptions),
            *((wait_set.add_guard_condition, one.handle) for one in guards),
            *((wait_set.add_timer, one.handle) for one in timers),
            *((wait_set.add_client, one.handle) for one in clients),
            *((wait_set.add_service, one.handle) for one in services),
        ]
        self._connect([one for node in nodes for one in node.publishers])

    def _connect(self, publishers: list[Any]) -> None:
        """Let the publishers of this process know the subscriptions that they can hand to."""
        for publisher in publishers:
            if isinstance(publisher, DirectPublisher):
                topic = publisher.topic_name
                listeners = (one for one in self._quick if one.topic_name == topic)
                publisher.connect(self.hand, tuple(listeners))

    def _hold(self, entities: list[Any]) -> list[Any]:
        """Keep entities alive until the next collection; return those that still exist."""
        held = []
        for entity in entities:
            try:
                self._kept.enter_context(entity.handle)
                held.append(entity)
            except InvalidHandle:
                continue
        return held


def _takes_the_message_alone(subscription: Any) -> bool:
    """Whether a callback is a plain function of the message alone."""
    callback = subscription.callback
    if inspect.iscoroutinefunction(callback):
        return False
    try:
        inspect.signature(callback).bind(object())
    except (TypeError, ValueError):
        return False
    return True
