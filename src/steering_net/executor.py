"""An executor for nodes whose messages must not wait: rclpy's, with a short way to a message.

rclpy's own executor collects every entity anew, builds a wait set, makes a task and a coroutine,
and wakes itself twice, for each message: some 0.7 ms. Here the wait set is kept until an entity
comes or goes, and a message that is there is taken and handed to its callback in the same breath.
Timers, services, events and everything else stay with rclpy.
"""

from contextlib import ExitStack
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerGuardCondition

_FOR_EVER_NS = -1


class QuickExecutor(SingleThreadedExecutor):
    """Calls the callbacks of its nodes on the thread that spins it, messages first.

    For subscriptions whose callback takes the message alone and may run at any time: callback
    groups say nothing here, for there is one thread.
    """

    # rclpy looks for it when an executor dies, even one that could not be made after a shutdown.
    _sigint_gc: Any = None

    def __init__(self, *nodes: Node) -> None:
        super().__init__()
        self._changed = GuardCondition(None, None)
        self._interrupted = SignalHandlerGuardCondition()
        self._stale = True
        self._kept = ExitStack()
        self._wait_set: Any = None
        self._adders: list[tuple[Any, Any]] = []
        self._subscriptions: list[Any] = []
        for node in nodes:
            self.add_node(node)

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
                self._wait()
                if not self.context.ok():
                    raise ExternalShutdownException
                if not self._take_messages():
                    self.spin_once(timeout_sec=0.0)

    def _wait(self) -> None:
        """Sleep until something is ready."""
        if self._stale:
            self._collect()
        self._wait_set.clear_entities()
        for add, handle in self._adders:
            add(handle)
        self._wait_set.wait(_FOR_EVER_NS)

    def _take_messages(self) -> bool:
        """Hand over what has come, one message of each subscription; whether that was all."""
        wait_set = self._wait_set
        ready = wait_set.get_ready_entities('subscription')
        for subscription in self._subscriptions:
            if subscription.handle.pointer in ready:
                taken = subscription.handle.take_message(subscription.msg_type, False)
                if taken is not None:
                    subscription.callback(taken[0])
        return not (wait_set.get_ready_entities('timer') or wait_set.get_ready_entities('service'))

    def _collect(self) -> None:
        """Build the wait set of all that the nodes have now, and keep it from being destroyed."""
        self._stale = False
        self._kept.close()
        nodes = self.get_nodes()
        subscriptions = [one for node in nodes for one in node.subscriptions]
        timers = [one for node in nodes for one in node.timers]
        services = [one for node in nodes for one in node.services]
        self._subscriptions = self._hold(subscriptions)
        timers, services = self._hold(timers), self._hold(services)
        guards = [self._changed, self._interrupted]
        self._wait_set = wait_set = _rclpy.WaitSet(
            len(self._subscriptions), len(guards), len(timers), 0, len(services), 0,
            self.context.handle,
        )  # fmt: skip
        self._adders = [
            *((wait_set.add_subscription, one.handle) for one in self._subscriptions),
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
