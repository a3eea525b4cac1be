# SPDX-License-Identifier: Apache-2.0
"""The recorder node: writes topics, their bytes unchanged, without delaying the drive.

20 times a second the recorder takes the messages that have come, see `MessageBatches`, and puts
them into a bounded queue, which another thread writes. If the disk is slower than the drive,
messages are dropped and counted, here or in the middleware.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from sim_bridge.nodes.found_topics import message_class, offer_of, profile
from sim_bridge.nodes.message_batches import MessageBatches
from sim_bridge.nodes.runner import interruptible, ros
from sim_bridge.recording.bag import BagWriter, Offer
from sim_bridge.recording.storage import BagError
from sim_bridge.topics import (
    DRIVE_TOPICS,
    RECORDED_TOPICS,
    RECORDER_READY,
    TOPICS,
    namespaces_of_cars,
    without_car,
)
from steering_net.cars import prefixes
from steering_net.errors import one_line
from steering_net.ros.readiness import Readiness, has_publisher
from steering_net.ros.timers import steady_timer

_SUBSCRIBE_PERIOD_S = 0.2
_DEPTH = 1000
_QUEUE_AT_MOST = 4000
_QUIET_S = 0.1
_CATCH_UP_S = 2.0
_PERIOD_S = 0.05

_Item = tuple[str, int, bytes]


class Writer(Protocol):
    """What the recorder writes with: a bag, or a folder of frames."""

    messages: int

    @property
    def unit(self) -> str:
        """Name of what `messages` counts."""

    def add_topic(self, name: str, message_type: str, offer: Offer) -> None:
        """Add a topic; raises BagError if it cannot be recorded."""

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Append one message of an added topic."""

    def close(self) -> None:
        """Complete the files."""


class RecorderNode(Node):
    """Records the topics of a drive from their first message, others once they are published.

    A topic name stands for the topics of all cars in the namespace of this node.
    """

    def __init__(
        self,
        writer: Writer,
        topics: tuple[str, ...] = RECORDED_TOPICS,
        cars: int = 1,
        namespace: str = '',
    ) -> None:
        """Record `topics` with `writer`; no topics: record all.

        The topics of `cars` cars are subscribed to before they have a publisher, so that no first
        message is missed.
        """
        self._writer = writer
        self._queue: queue.Queue[_Item | None] = queue.Queue(_QUEUE_AT_MOST)
        self._thread = threading.Thread(target=self._write, name='bag-writer', daemon=True)
        super().__init__('recorder', namespace=namespace)
        # Before what may fail, because rclpy calls `destroy_node` then too.
        self._thread.start()
        self.dropped: Counter[str] = Counter()
        self.trouble = ''
        self._batches = MessageBatches(self)
        self._wanted = {self.resolve_topic_name(topic) for topic in topics}
        self._settled: set[str] = set()
        expected = [topic for topic in DRIVE_TOPICS if topic in topics]
        for topic in expected:
            offer = Offer(is_latched=TOPICS[topic].is_latched)
            for prefix in prefixes(cars):
                self._record(self.resolve_topic_name(prefix + topic), TOPICS[topic].type, offer)
        steady_timer(self, _SUBSCRIBE_PERIOD_S, self._subscribe_to_new)
        sources = [topic for topic in expected if TOPICS[topic].publishers]
        readiness = Readiness(self)
        for prefix in prefixes(cars):
            readiness.add(prefix + RECORDER_READY, partial(self._has_publishers, prefix, sources))

    @property
    def messages(self) -> int:
        """Number of messages, or frames, that were written."""
        return self._writer.messages

    @property
    def unit(self) -> str:
        """Name of what `messages` counts."""
        return self._writer.unit

    def _has_publishers(self, prefix: str, topics: list[str]) -> bool:
        """Whether each of these topics of a car has a publisher."""
        return all(has_publisher(self, prefix + topic) for topic in topics)

    def _subscribe_to_new(self) -> None:
        """Subscribe to topics that have a publisher now."""
        found = self.get_topic_names_and_types()
        own = self.get_namespace().rstrip('/')
        cars = {
            car
            for car in namespaces_of_cars(topic for topic, _ in found)
            if car.startswith(f'{own}/')
        }
        for topic, types in found:
            names = {topic}
            if topic.startswith(f'{own}/'):
                names.add(own + without_car(topic, cars))
            if topic in self._settled or (self._wanted and not names & self._wanted):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._record(topic, types[0], offer_of(publishers))

    def _record(self, topic: str, kind: str, offer: Offer) -> None:
        self._settled.add(topic)
        try:
            message_type = message_class(kind)
            self._writer.add_topic(topic, kind, offer)
        except BagError as error:
            self.get_logger().warning(str(error))
            return

        self._batches.subscribe(
            message_type,
            topic,
            profile(offer, depth=_DEPTH),
            partial(self._keep, topic),
            partial(self._count_lost, topic),
        )

    def _count_lost(self, topic: str, messages: int) -> None:
        self.dropped[topic] += messages

    def serve(self, executor: SingleThreadedExecutor, seconds: float) -> None:
        """Record for about `seconds`."""
        if self._batches.are_left_to_executor:
            executor.spin_once(timeout_sec=seconds)
            return
        time.sleep(seconds)
        self.take()
        executor.spin_once(timeout_sec=0.0)

    def take(self) -> int:
        """Take all messages that have come, and return their number."""
        return self._batches.take()

    def _keep(self, topic: str, time_ns: int, cdr: bytes) -> None:
        try:
            self._queue.put_nowait((topic, time_ns, cdr))
        except queue.Full:
            self.dropped[topic] += 1

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            if self.trouble:
                continue
            try:
                self._writer.write(*item)
            except Exception as error:  # noqa: BLE001 - any error ends the recording.
                # The thread goes on to empty the queue, because `destroy_node` waits for it.
                self.trouble = _told(error)

    def destroy_node(self) -> None:
        """Write the messages that still wait, and the index."""
        super().destroy_node()
        self._queue.put(None)
        self._thread.join()
        try:
            self._writer.close()
        except OSError as error:
            self.trouble = _told(error)


def record(
    path: Path,
    topics: tuple[str, ...],
    seconds: float,
    cars: int = 1,
    make_writer: Callable[[Path], Writer] = BagWriter,
    namespace: str = '',
) -> RecorderNode:
    """Record until SIGINT or SIGTERM, or for `seconds` unless they are 0; return the node.

    Ends earlier if nothing can be written any more; `trouble` is then the reason. Raises BagError
    if the writer of `path` cannot be made.
    """
    with interruptible() as keep_going, ros():
        node = RecorderNode(make_writer(path), topics, cars, namespace)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        until_s = time.monotonic() + (seconds or float('inf'))
        while keep_going() and time.monotonic() < until_s and not node.trouble:
            node.serve(executor, _PERIOD_S)
        _take_rest(node)
        executor.shutdown()
        node.destroy_node()
    return node


def _told(error: Exception) -> str:
    """Return an error in one line, without the file if the system refused to write it."""
    return (isinstance(error, OSError) and error.strerror) or one_line(error)


def _take_rest(node: RecorderNode) -> None:
    """Take the messages that a recorder slower than the drive has not taken yet."""
    deadline_s = time.monotonic() + _CATCH_UP_S
    while node.take() and time.monotonic() < deadline_s:
        time.sleep(_QUIET_S)
