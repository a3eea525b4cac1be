# SPDX-License-Identifier: Apache-2.0
"""DirectPublisher: hands messages to the subscriptions of its own process without DDS.

rclpy has no intra-process communication: between two nodes of one process, a message is
serialised, written to DDS, waited for, taken and read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.publisher import Publisher


class DirectPublisher(Publisher):
    """A publisher for topics of which only the newest message counts.

    While its only subscriptions are those that a QuickExecutor serves in this process, it hands
    messages to that executor. As soon as anybody else subscribes, it publishes all to DDS.
    Callbacks must not keep or change the message, because its publisher may use it again.
    """

    _listeners: tuple[Any, ...] = ()
    _hand: Callable[[Any, Any], None]

    def connect(self, hand: Callable[[Any, Any], None], listeners: tuple[Any, ...]) -> None:
        """From now on hand messages to these subscriptions, by `hand(subscription, message)`."""
        self._hand = hand
        self._listeners = listeners

    def publish(self, msg: Any) -> None:
        """Hand the message over, or publish it; thread-safe."""
        listeners = self._listeners
        if listeners and self.get_subscription_count() == len(listeners):
            for subscription in listeners:
                self._hand(subscription, msg)
        else:
            super().publish(msg)
