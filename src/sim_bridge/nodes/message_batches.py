# SPDX-License-Identifier: Apache-2.0
"""MessageBatches: subscriptions whose messages wait in the middleware until they are taken.

A wake-up costs more than a message. So a node that only looks on does not wake up for each
message: some times a second it takes the messages that have come, with their times of receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from operator import itemgetter

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.utilities import get_rmw_implementation_identifier

from steering_net.ros.executor import PRIVATE_ERRORS, take

OnMessage = Callable[[int, bytes], None]
"""Gets the time of receipt, ns, and the CDR bytes of a message."""


class MessageBatches:
    """Subscriptions of a node, whose messages `take` passes on in the order of their receipt."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._group = _TakenByOwner()
        self._listeners: dict[Subscription, OnMessage] = {}

    @property
    def are_left_to_executor(self) -> bool:
        """Whether the executor passes the messages on, because this rclpy cannot take them."""
        return self._group.is_open

    def has_subscriptions(self) -> bool:
        """Whether there is a subscription; thread-safe."""
        return bool(self._listeners)

    def subscribe(
        self,
        kind: type,
        topic: str,
        quality: QoSProfile,
        on_message: OnMessage,
        on_lost: Callable[[int], None],
    ) -> Subscription:
        """Subscribe to a topic; `on_lost` gets the number of messages that were just lost."""
        subscription = self._node.create_subscription(
            kind,
            topic,
            lambda message: on_message(self._node.get_clock().now().nanoseconds, message),
            quality,
            callback_group=self._group,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
            raw=True,
        )
        # The executor serves the events, because they are rare.
        events = SubscriptionEventCallbacks(
            message_lost=lambda event: on_lost(event.total_count_change)
        )
        subscription.event_handlers = events.create_event_handlers(
            self._node.default_callback_group, subscription.handle, topic
        )
        for handler in subscription.event_handlers:
            self._node.add_waitable(handler)
        self._listeners[subscription] = on_message
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; the messages that wait for it are dropped."""
        del self._listeners[subscription]
        self._node.destroy_subscription(subscription)

    def take(self) -> int:
        """Pass on all messages that have come, and return their number."""
        if self._group.is_open:
            return 0
        time_of = _receipt_time_key()
        batch: list[tuple[int, OnMessage, bytes]] = []
        try:
            for subscription, on_message in self._listeners.items():
                for message, info in iter(partial(take, subscription), None):
                    batch.append((info[time_of], on_message, message))
        except PRIVATE_ERRORS as error:
            self._group.is_open = True
            self._node.executor.wake()
            self._node.get_logger().warning(
                f'this rclpy lacks private parts that the {self._node.get_name()} needs '
                f'({error}); its executor takes the messages, which is slower'
            )
        for time_ns, on_message, message in sorted(batch, key=itemgetter(0)):
            on_message(time_ns, message)
        return len(batch)


class _TakenByOwner(CallbackGroup):
    """Subscriptions that no executor serves, because their owner takes the messages itself.

    `is_open` lets executors serve them after all, for an rclpy whose messages cannot be taken.
    """

    is_open = False

    def can_execute(self, _entity: object) -> bool:
        return self.is_open

    def beginning_execution(self, _entity: object) -> bool:
        return self.is_open

    def ending_execution(self, _entity: object) -> None:
        pass


@cache
def _receipt_time_key() -> str:
    """Key of the time of receipt; of the time of sending for Cyclone, which has only that."""
    is_cyclone = 'cyclonedds' in get_rmw_implementation_identifier()
    return 'source_timestamp' if is_cyclone else 'received_timestamp'
