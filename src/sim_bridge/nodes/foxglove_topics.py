# SPDX-License-Identifier: Apache-2.0
"""Topics of the graph as channels of a Foxglove server, their bytes unchanged."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription

from sim_bridge.foxglove.server import FoxgloveServer
from sim_bridge.nodes.found_topics import message_class, offer_of, profile
from sim_bridge.nodes.message_batches import MessageBatches
from sim_bridge.recording.bag import Offer
from sim_bridge.recording.message_types import definition_of
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import TOPICS, namespaces_of_cars, without_car

_DEPTH = 100
"""Messages that wait in the middleware at most: a second and a half of frames."""


class TopicChannels:
    """Offers each topic as a channel. A topic is subscribed to while a viewer has its channel.

    A channel stays when its topic has no publisher any more, because nodes may be restarted.
    """

    def __init__(self, node: Node, server: FoxgloveServer, batches: MessageBatches) -> None:
        self._node = node
        self._server = server
        self._batches = batches
        self._kinds: dict[str, str] = {}
        self._channels: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._viewers: dict[str, Counter[int]] = {}
        self._changed: dict[str, bool] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self.lost = 0

    @property
    def offered(self) -> int:
        """Number of channels."""
        return len(self._channels)

    @property
    def subscribed(self) -> int:
        """Number of topics that are subscribed to."""
        return len(self._subscriptions)

    def update(self) -> None:
        """Offer the topics that are new."""
        for topic, kinds in self._node.get_topic_names_and_types():
            if topic not in self._kinds:
                self._kinds[topic] = kinds[0]
                try:
                    message_class(kinds[0])
                    definition = definition_of(kinds[0])
                except BagError as error:
                    self._node.get_logger().warning(f'{topic} is not offered: {error}')
                else:
                    self._channels[topic] = self._server.add_channel(topic, kinds[0], definition)

    def subscribe(self, topic: str, viewer: int) -> None:
        """Note that a viewer has the channel of a topic now; thread-safe."""
        with self._lock:
            self._viewers.setdefault(topic, Counter())[viewer] += 1
            self._changed[topic] = True

    def unsubscribe(self, topic: str, viewer: int) -> None:
        """Note that a viewer no longer has the channel of a topic; thread-safe."""
        with self._lock:
            self._viewers.setdefault(topic, Counter())[viewer] -= 1
            self._viewers[topic] = +self._viewers[topic]
            self._changed.setdefault(topic, False)

    def settle(self) -> None:
        """Subscribe to the topics that viewers want now, and to no others."""
        with self._lock:
            changed, self._changed = self._changed, {}
            wanted = {topic for topic, viewers in self._viewers.items() if viewers}
        for topic, has_new_viewer in changed.items():
            if topic not in wanted:
                self._unsubscribe(topic)
            elif topic in self._channels:
                self._subscribe(topic, has_new_viewer=has_new_viewer)

    def _subscribe(self, topic: str, *, has_new_viewer: bool) -> None:
        offer = self._offer(topic)
        if offer.is_latched and has_new_viewer:
            self._unsubscribe(topic)  # A new subscription brings the last message once more.
        if topic not in self._subscriptions:
            self._subscriptions[topic] = self._subscription(topic, offer)

    def _unsubscribe(self, topic: str) -> None:
        if subscription := self._subscriptions.pop(topic, None):
            self._batches.unsubscribe(subscription)

    def _subscription(self, topic: str, offer: Offer) -> Subscription:
        # Acknowledgements would cost the nodes of the drive processor time.
        seen = Offer(is_latched=offer.is_latched, is_reliable=offer.is_latched)
        return self._batches.subscribe(
            message_class(self._kinds[topic]),
            topic,
            profile(seen, _DEPTH),
            partial(_pass_on, self._channels[topic]),
            self._count_lost,
        )

    def _offer(self, topic: str) -> Offer:
        """Quality that the publishers of a topic offer, or, without publishers, will offer."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        if publishers:
            return offer_of(publishers)
        known = TOPICS.get(relative_name(topic, cars_of(self._node)))
        return Offer(is_latched=known is not None and known.is_latched)

    def _count_lost(self, messages: int) -> None:
        self.lost += messages


def _pass_on(channel: Any, time_ns: int, cdr: bytes) -> None:
    channel.log(cdr, log_time=time_ns)


def cars_of(node: Node) -> set[str]:
    """Return the namespaces of the cars in the graph."""
    return namespaces_of_cars(name for name, _ in node.get_topic_names_and_types())


def relative_name(name: str, cars: set[str]) -> str:
    """Return the name of a topic or service without the namespace of its car."""
    return without_car(name, cars).removeprefix('/')
