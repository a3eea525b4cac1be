# SPDX-License-Identifier: Apache-2.0
"""The player node: publishes the messages of a bag, bytes unchanged, at the recorded pace."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable

from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock

from sim_bridge.nodes.conversions import time_message
from sim_bridge.nodes.found_topics import message_class, profile
from sim_bridge.recording.bag import Bag, Offer, Record, stamp_ns
from sim_bridge.recording.runs import is_other_clock
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import CLOCK, COMPRESSED_FRAME, STATIC_TRANSFORMS

_SUBSCRIPTION_S = 3.0
_MORE_SUBSCRIPTIONS_S = 0.5
_CLOCK_PERIOD_S = 0.01
_STATIC_TRANSFORMS_AT_MOST = 100
"""Each message on /tf_static adds to those before, so a late subscription needs all of them.

100 is the depth of the subscription in tf2.
"""


class _BagClock:
    """Time of a bag, ns: that of receipt, or of the stamps where they are of another clock.

    It stands still rather than going back within a run, where stamps are slower than receipt.
    """

    def __init__(self, first_frame: Record | None) -> None:
        """Begin so that the first frame is received at the time of its stamp."""
        self._topic = first_frame.topic if first_frame else ''
        self._shift_ns = self._stamp_ns = self._now_ns = 0
        if first_frame:
            self.follow(first_frame)

    def follow(self, record: Record) -> None:
        """Set the clock to the stamp of a frame; other records and other cars do not count."""
        if record.topic != self._topic:
            return
        stamp = stamp_ns(record.frame())
        if stamp < self._stamp_ns:
            self._now_ns = 0
        self._stamp_ns = stamp
        is_other = is_other_clock(stamp, record.time_ns)
        self._shift_ns = stamp - record.time_ns if is_other else 0

    def at(self, time_ns: int) -> int:
        """Return the time of the bag at a time of receipt; 0 at the earliest."""
        self._now_ns = max(self._now_ns, time_ns + self._shift_ns)
        return self._now_ns


class PlayerNode(Node):
    """Publishes the records of a bag with the quality of service of the recorded topics."""

    def __init__(self) -> None:
        super().__init__('player')
        self._publishers_by_topic: dict[str, Publisher] = {}
        self._clock_publisher: Publisher | None = None
        self._bag_clock = _BagClock(None)
        self.published = 0
        self.refused = 0

    def open(self, topics: Iterable[Record], offers: dict[str, Offer]) -> None:
        """Create the publishers of these topics, and wait a short time for subscriptions.

        Topics with a message type that is not installed are left out with a warning. Raises
        BagError if no topic is left.
        """
        missing: set[str] = set()
        for record in topics:
            offer = offers.get(record.topic, Offer())
            try:
                kind = message_class(record.type)
            except BagError:
                missing.add(record.type)
                continue
            is_static = record.topic.endswith(STATIC_TRANSFORMS)
            depth = max(offer.depth, _STATIC_TRANSFORMS_AT_MOST) if is_static else offer.depth
            self._publishers_by_topic[record.topic] = self.create_publisher(
                kind, record.topic, profile(offer, depth)
            )
        if missing:
            names = ', '.join(sorted(missing))
            told = f'topics of types that are not installed are not published: {names}'
            if not self._publishers_by_topic:
                raise BagError(told)
            self.get_logger().warning(told)
        deadline_s = time.monotonic() + _SUBSCRIPTION_S
        while time.monotonic() < deadline_s and not self._has_subscription():
            time.sleep(_CLOCK_PERIOD_S)
        time.sleep(_MORE_SUBSCRIPTIONS_S)

    def wait_for_subscriptions(self, name: str, keep_going: Callable[[], bool]) -> None:
        """Wait until the topics of this relative name, in any namespace, have a subscription."""
        wanted = [
            publisher
            for topic, publisher in self._publishers_by_topic.items()
            if topic.endswith(f'/{name}')
        ]
        while keep_going() and not all(one.get_subscription_count() for one in wanted):
            time.sleep(_CLOCK_PERIOD_S)

    def _has_subscription(self) -> bool:
        return any(
            publisher.get_subscription_count() for publisher in self._publishers_by_topic.values()
        )

    def play(
        self, bag: Bag, rate: float, *, with_clock: bool, keep_going: Callable[[], bool]
    ) -> None:
        """Publish the topics that were opened, `rate` times as fast as they were recorded.

        with_clock: also publish the time of the bag on /clock, for nodes with use_sim_time; see
        `_BagClock`. Messages that DDS refuses are counted in `refused`.
        """
        if with_clock:
            self._clock_publisher = self.create_publisher(Clock, CLOCK, 10)
            first = next((record for record in bag if record.is_of(COMPRESSED_FRAME)), None)
            self._bag_clock = _BagClock(first)
        began_s = time.monotonic()
        first_ns = None
        for record in bag:
            publisher = self._publishers_by_topic.get(record.topic)
            if publisher:
                if first_ns is None:
                    first_ns, began_s = record.time_ns, time.monotonic()
                due_s = began_s + (record.time_ns - first_ns) * 1e-9 / rate
                self._wait(due_s, record, rate, keep_going)
                if not keep_going():
                    return
            if with_clock:
                self._bag_clock.follow(record)
            if publisher:
                self._publish(publisher, record)

    def _publish(self, publisher: Publisher, record: Record) -> None:
        self._publish_clock(record.time_ns)
        try:
            publisher.publish(record.cdr)
        except RuntimeError:
            # DDS refuses a message at times ("cannot publish data") and takes the next one.
            self.refused += 1
        else:
            self.published += 1

    def _wait(
        self, due_s: float, record: Record, rate: float, keep_going: Callable[[], bool]
    ) -> None:
        while (left_s := due_s - time.monotonic()) > 0.0 and keep_going():
            self._publish_clock(record.time_ns - int(left_s * rate * 1e9))
            time.sleep(min(left_s, _CLOCK_PERIOD_S))

    def _publish_clock(self, time_ns: int) -> None:
        if self._clock_publisher:
            message = Clock(clock=time_message(self._bag_clock.at(time_ns)))
            with contextlib.suppress(RuntimeError):
                self._clock_publisher.publish(message)
