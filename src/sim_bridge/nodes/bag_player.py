"""The player: the messages of a bag, published with their own bytes at their own pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock

from sim_bridge.nodes.bag_recorder import message_class, profile
from sim_bridge.nodes.conversions import time_message
from sim_bridge.recording.bag import Bag, Offer, Record

_READER_S = 3.0
_MORE_READERS_S = 0.5
_CLOCK_PERIOD_S = 0.01


class PlayerNode(Node):
    """Publishes records; topics keep the quality of service that they were recorded with."""

    def __init__(self) -> None:
        super().__init__('player')
        self._outlets: dict[str, Publisher] = {}
        self._bag_time: Publisher | None = None
        self.published = 0

    def open(self, topics: Iterable[Record], offers: dict[str, Offer]) -> None:
        """Create the publishers of these topics, and wait a little for readers.

        Raises BagError for a message type that is not installed.
        """
        for record in topics:
            offer = offers.get(record.topic, Offer())
            self._outlets[record.topic] = self.create_publisher(
                message_class(record.type), record.topic, profile(offer, offer.depth)
            )
        deadline_s = time.monotonic() + _READER_S
        while time.monotonic() < deadline_s and not self._has_reader():
            time.sleep(_CLOCK_PERIOD_S)
        time.sleep(_MORE_READERS_S)

    def _has_reader(self) -> bool:
        return any(outlet.get_subscription_count() for outlet in self._outlets.values())

    def play(
        self, bag: Bag, rate: float, *, with_clock: bool, going_on: Callable[[], bool]
    ) -> None:
        """Publish the topics that were opened, `rate` times as fast as they were recorded.

        with_clock: the time of the bag goes to /clock too, for nodes with use_sim_time.
        """
        if with_clock:
            self._bag_time = self.create_publisher(Clock, '/clock', 10)
        began_s = time.monotonic()
        first_ns = None
        for record in bag:
            if record.topic not in self._outlets:
                continue
            if first_ns is None:
                first_ns, began_s = record.time_ns, time.monotonic()
            self._wait(began_s + (record.time_ns - first_ns) * 1e-9 / rate, record, rate, going_on)
            if not going_on():
                return
            self._tell_time(record.time_ns)
            self._outlets[record.topic].publish(record.cdr)
            self.published += 1

    def _wait(
        self, due_s: float, record: Record, rate: float, going_on: Callable[[], bool]
    ) -> None:
        while (left_s := due_s - time.monotonic()) > 0.0 and going_on():
            self._tell_time(record.time_ns - int(left_s * rate * 1e9))
            time.sleep(min(left_s, _CLOCK_PERIOD_S))

    def _tell_time(self, time_ns: int) -> None:
        if self._bag_time:
            self._bag_time.publish(Clock(clock=time_message(time_ns)))
