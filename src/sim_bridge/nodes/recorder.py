"""The recorder: topics into a bag, their bytes untouched, without ever holding up the drive.

The executor's thread only puts messages into a bounded queue; another one writes them. Where the
disk is slower than the drive, messages are dropped and counted, here or in the middleware.
"""

from __future__ import annotations

import importlib
import queue
import threading
from collections import Counter
from pathlib import Path

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from sim_bridge.bags import BagError, BagWriter, Offer
from sim_bridge.nodes.running import run

_DRIVE = {
    'camera/image_raw/compressed': 'sensor_msgs/msg/CompressedImage',
    'camera/camera_info': 'sensor_msgs/msg/CameraInfo',
    'vehicle/speed': 'std_msgs/msg/Float32',
    'vehicle/steering_angle': 'std_msgs/msg/Float32',
    'vehicle/throttle': 'std_msgs/msg/Float32',
    'cmd/steering': 'sensor_msgs/msg/JointState',
    'cmd/throttle': 'std_msgs/msg/Float32',
    'speed_limit': 'std_msgs/msg/Float32',
    'diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
}
TOPICS = (*_DRIVE, 'odom', 'predicted_path', '/tf', '/tf_static')
"""What a drive consists of, the last four where somebody publishes them. Without camera/image_raw:
for that the bridge would decode every frame."""

_LOOK_PERIOD_S = 0.2
_DEPTH = 1000
_QUEUE_AT_MOST = 4000

_Item = tuple[str, int, bytes]


class RecorderNode(Node):
    """Records the topics of a drive from their first message, others once they are published."""

    def __init__(self, path: Path, topics: tuple[str, ...] = TOPICS) -> None:
        """Raises BagError if the bag cannot be made. No topics means: all that there are."""
        super().__init__('recorder')
        self.dropped: Counter[str] = Counter()
        self._wanted = {self.resolve_topic_name(topic) for topic in topics}
        self._settled: set[str] = set()
        self._writer = BagWriter(path)
        self._queue: queue.Queue[_Item | None] = queue.Queue(_QUEUE_AT_MOST)
        self._thread = threading.Thread(target=self._write, name='bag-writer')
        self._thread.start()
        for topic in _DRIVE.keys() & set(topics):
            # Who waits until a topic is seen misses its first seconds.
            self._record(self.resolve_topic_name(topic), _DRIVE[topic], Offer())
        self.create_timer(_LOOK_PERIOD_S, self._look)

    @property
    def messages(self) -> int:
        """How many messages are in the bag."""
        return self._writer.messages

    def _look(self) -> None:
        """Subscribe to what has begun to be published."""
        for topic, types in self.get_topic_names_and_types():
            if topic in self._settled or (self._wanted and topic not in self._wanted):
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

        def lost(news: object) -> None:
            self.dropped[topic] += news.total_count_change  # type: ignore[attr-defined]

        self.create_subscription(
            message_type,
            topic,
            lambda cdr: self._take(topic, cdr),
            profile(offer, depth=_DEPTH),
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(message_lost=lost),
        )

    def _take(self, topic: str, cdr: bytes) -> None:
        try:
            self._queue.put_nowait((topic, self.get_clock().now().nanoseconds, cdr))
        except queue.Full:
            self.dropped[topic] += 1

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            self._writer.write(*item)

    def destroy_node(self) -> None:
        """Write what still waits, and the index."""
        super().destroy_node()
        self._queue.put(None)
        self._thread.join()
        self._writer.close()


def record(path: Path, topics: tuple[str, ...], seconds: float) -> tuple[int, RecorderNode | None]:
    """Record until SIGINT, or for some seconds if they are not 0; exit code and what was done."""
    made: list[RecorderNode] = []

    def make() -> RecorderNode:
        made.append(RecorderNode(path, topics))
        if seconds:
            made[0].create_timer(seconds, _end)
        return made[0]

    code = run(make, ['recorder'])
    return code, made[0] if made else None


def _end() -> None:
    raise ExternalShutdownException


def message_class(kind: str) -> type:
    """The class of `package/msg/Name`; BagError if it is not installed."""
    package, _, name = kind.split('/')
    try:
        found: type = getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError) as error:
        raise BagError(f'the message type {kind} is not installed') from error
    return found


def offer_of(publishers: list[TopicEndpointInfo]) -> Offer:
    """What all publishers of a topic offer: a reader that asks for more hears nothing of some."""
    profiles = [publisher.qos_profile for publisher in publishers]
    return Offer(
        depth=max(1, *(profile.depth for profile in profiles)),
        is_reliable=all(p.reliability is ReliabilityPolicy.RELIABLE for p in profiles),
        is_latched=all(p.durability is DurabilityPolicy.TRANSIENT_LOCAL for p in profiles),
    )


def profile(offer: Offer, depth: int) -> QoSProfile:
    """The ROS profile that fits an offer."""
    return QoSProfile(
        depth=depth,
        reliability=(
            ReliabilityPolicy.RELIABLE if offer.is_reliable else ReliabilityPolicy.BEST_EFFORT
        ),
        durability=(
            DurabilityPolicy.TRANSIENT_LOCAL if offer.is_latched else DurabilityPolicy.VOLATILE
        ),
    )
