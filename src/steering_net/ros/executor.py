"""An executor for nodes whose messages must not wait: rclpy's, with a short way to a message.

rclpy's own executor collects every entity anew, builds a wait set, makes a task and a coroutine,
and wakes itself twice, for each message: some 0.7 ms. Here the wait set is kept until an entity
comes or goes, and a message that is there is taken and handed to its callback in the same breath.
Timers, services, events and everything else stay with rclpy.

The short way uses parts of rclpy that are not public. `executor_for` tries them at the start, and
takes rclpy's own executor where they are not as they were.
"""

import inspect
from contextlib import ExitStack
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.node import Node

PRIVATE_ERRORS = (AttributeError, ImportError, LookupError, TypeError, ValueError)
"""What using a private part of rclpy raises that is gone, or has another signature."""

_FOR_EVER_NS = -1
_AT_ONCE_NS = 0


def executor_for(*nodes: Node) -> Executor:
    """The quick executor with these nodes, or rclpy's own one, which is logged, if that fails."""
    try:
        quick = QuickExecutor(*nodes)
        quick.try_out()
    except PRIVATE_ERRORS as error:
        nodes[0].get_logger().warning(
            f'this rclpy lacks what the quick executor uses ({error}): messages take its own way, '
            'which is slower'
        )
        plain = SingleThreadedExecutor()
        for node in nodes:
            plain.add_node(node)
        return plain
    return quick


def take(subscription: Any) -> tuple[Any, Any] | None:
    """Take the message that waits, and what the middleware tells of it; None if there is none.

    Raises one of PRIVATE_ERRORS where this rclpy takes messages in another way.
    """
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    if taken is None:
        return None
    message, told = taken
    return message, told


class QuickExecutor(SingleThreadedExecutor):
    """Calls the callbacks of its nodes on the thread that spins it, messages first.

    The short way is for subscriptions whose callback takes the message alone and may run at any
    time: callback groups say nothing here, for there is one thread. Raw subscriptions, coroutines
    and callbacks that take a MessageInfo are left to rclpy.
    """

    # rclpy looks for it when an executor dies, even one that could not be made after a shutdown.
    _sigint_gc: Any = None

    def __init__(self, *nodes: Node) -> None:
        from rclpy.signals import SignalHandlerGuardCondition

        super().__init__()
        self._changed = GuardCondition(None, None)
        self._interrupted = SignalHandlerGuardCondition()
        self._stale = True
        self._kept = ExitStack()
        self._wait_set: Any = None
        self._adders: list[tuple[Any, Any]] = []
        self._quick: list[Any] = []
        self._slow: list[Any] = []
        for node in nodes:
            self.add_node(node)

    def try_out(self) -> None:
        """Use each private part once; raises one of PRIVATE_ERRORS if one is not as it was."""
        try:
            self._changed.trigger()
            self._wait(_AT_ONCE_NS)
            if self._changed.handle.pointer not in self._ready('guard_condition'):
                raise LookupError('a wait set does not tell what is ready')
            taken = [(one, take(one)) for one in self._quick]
        except PRIVATE_ERRORS:
            self._kept.close()
            raise
        for subscription, message in taken:
            if message is not None:
                subscription.callback(message[0])

    def wake(self) -> None:
        """Look at the entities anew, for one came or went; may be called from any thread."""
        super().wake()
        self._stale = True
        self._changed.trigger()

    def spin(self) -> None:
        """Call callbacks until ROS is shut down.

        Raises ExternalShutdownException when that happens, and whatever a callback raises.
        """
        with self._kept:
            while self.context.ok():
                self._wait(_FOR_EVER_NS)
                if not self.context.ok():
                    raise ExternalShutdownException
                if not self._take_messages():
                    self.spin_once(timeout_sec=0.0)

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

    def _take_messages(self) -> bool:
        """Hand over what has come, one message of each subscription; whether that was all."""
        ready = self._ready('subscription')
        for subscription in self._quick:
            if subscription.handle.pointer in ready:
                taken = subscription.handle.take_message(subscription.msg_type, False)
                if taken is not None:
                    subscription.callback(taken[0])
        if any(subscription.handle.pointer in ready for subscription in self._slow):
            return False
        return not (self._ready('timer') or self._ready('service'))

    def _collect(self) -> None:
        """Build the wait set of all that the nodes have now, and keep it from being destroyed."""
        from rclpy.impl.implementation_singleton import rclpy_implementation as private

        self._stale = False
        self._kept.close()
        nodes = self.get_nodes()
        subscriptions = self._hold([one for node in nodes for one in node.subscriptions])
        timers = self._hold([one for node in nodes for one in node.timers])
        services = self._hold([one for node in nodes for one in node.services])
        self._quick = [one for one in subscriptions if _takes_the_message_alone(one)]
        self._slow = [one for one in subscriptions if one not in self._quick]
        guards = [self._changed, self._interrupted]
        self._wait_set = wait_set = private.WaitSet(
            len(subscriptions), len(guards), len(timers), 0, len(services), 0,
            self.context.handle,
        )  # fmt: skip
        self._adders = [
            *((wait_set.add_subscription, one.handle) for one in subscriptions),
            *((wait_set.add_guard_condition, one.handle) for one in guards),
            *((wait_set.add_timer, one.handle) for one in timers),
            *((wait_set.add_service, one.handle) for one in services),
        ]

    def _hold(self, entities: list[Any]) -> list[Any]:
        """Those of the entities that are not destroyed yet; none is until the next collection."""
        held = []
        for entity in entities:
            try:
                self._kept.enter_context(entity.handle)
                held.append(entity)
            except InvalidHandle:
                continue
        return held


def _takes_the_message_alone(subscription: Any) -> bool:
    """Whether a callback is called with a message, and is done when it returns."""
    callback = subscription.callback
    if subscription.raw or inspect.iscoroutinefunction(callback):
        return False
    try:
        inspect.signature(callback).bind(object())
    except (TypeError, ValueError):
        return False
    return True
