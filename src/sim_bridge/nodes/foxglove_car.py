# SPDX-License-Identifier: Apache-2.0
"""Description and transforms of the cars as channels, where no node publishes them.

A 3D panel shows nothing without them. ROS 2 has robot_state_publisher and tf2_msgs; PyPI does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState

from sim_bridge.foxglove.server import FoxgloveServer
from sim_bridge.foxglove.urdf import Transform, car_urdf, joints_of, with_link_prefix
from sim_bridge.nodes import conversions
from sim_bridge.nodes.found_topics import profile
from sim_bridge.nodes.foxglove_topics import cars_of
from sim_bridge.nodes.message_batches import MessageBatches
from sim_bridge.recording.bag import Offer
from sim_bridge.recording.message_types import TYPES, definition_of
from sim_bridge.topics import (
    JOINT_STATES,
    ODOMETRY,
    STATIC_TRANSFORMS,
    TRANSFORMS,
    frame_prefix,
)

DESCRIPTION = 'robot_description'
_TEXT = 'std_msgs/msg/String'
_TRANSFORMS = 'tf2_msgs/msg/TFMessage'
_PATIENCE = 4
"""Updates without a publisher of the description after which no node publishes it."""

_REPEAT = 4
"""Updates after which description and static transforms are sent again."""

_NEWEST = profile(Offer(is_reliable=False), depth=1)

Send = Callable[[int, Sequence[Transform]], None]
"""Sends transforms with a stamp, ns."""


class CarChannels:
    """Offers `robot_description`, `/tf_static` and `/tf` of the cars, unless a node publishes it.

    A viewer gets description and static transforms when it subscribes, as from a latched topic.
    They are sent again every few seconds, because Lichtblick forgets them when it opens another
    layout.
    """

    def __init__(self, node: Node, server: FoxgloveServer, batches: MessageBatches) -> None:
        self._node = node
        self._server = server
        self._batches = batches
        self._urdf = car_urdf()
        self._updates: Counter[str] = Counter()
        self._cars: dict[str, _Car] = {}
        self._channels: dict[str, Any] = {}
        self._latched: dict[str, bytes] = {}
        self._due: set[str] = set()
        self._viewers = 0
        self._rounds = 0

    def update(self) -> None:
        """Offer what is missing, and send what new viewers have subscribed to."""
        for namespace in cars_of(self._node) - self._cars.keys():
            self._updates[namespace] += 1
            description = f'{namespace}/{DESCRIPTION}'
            if self._node.count_publishers(description):
                self._updates[namespace] = 0
            elif self._updates[namespace] >= _PATIENCE:
                self._add(namespace, description)
        self._rounds += 1
        if self._rounds % _REPEAT == 0:
            self._due.update(self._latched)
        for topic in self._due & set(self._latched):
            self._send(topic, self._latched[topic])
        self._due.clear()
        for car in self._cars.values():
            car.follow(is_wanted=self._viewers > 0)

    def subscribe(self, topic: str) -> None:
        """Note that a viewer has a channel now."""
        self._due.add(topic)
        self._viewers += topic == TRANSFORMS

    def unsubscribe(self, topic: str) -> None:
        """Note that a viewer no longer has a channel."""
        self._viewers -= topic == TRANSFORMS

    def _add(self, namespace: str, description: str) -> None:
        urdf = with_link_prefix(self._urdf, frame_prefix(namespace))
        self._cars[namespace] = _Car(self._batches, namespace, urdf, self._send_transforms)
        self._offer(description, _TEXT)
        self._offer(STATIC_TRANSFORMS, _TRANSFORMS)
        self._offer(TRANSFORMS, _TRANSFORMS)
        fixed = [transform for car in self._cars.values() for transform in car.fixed]
        self._latched[description] = _encoded(_TEXT, data=urdf)
        self._latched[STATIC_TRANSFORMS] = transforms_cdr(0, fixed)
        self._due.add(STATIC_TRANSFORMS)

    def _offer(self, topic: str, kind: str) -> None:
        if topic not in self._channels and not self._node.count_publishers(topic):
            self._channels[topic] = self._server.add_channel(topic, kind, definition_of(kind))

    def _send_transforms(self, stamp_ns: int, transforms: Sequence[Transform]) -> None:
        self._send(TRANSFORMS, transforms_cdr(stamp_ns, transforms))

    def _send(self, topic: str, cdr: bytes) -> None:
        if channel := self._channels.get(topic):
            channel.log(cdr, log_time=self._node.get_clock().now().nanoseconds)


class _Car:
    """Transforms of one car: its pose from `odom`, its joints from `joint_states`."""

    def __init__(self, batches: MessageBatches, namespace: str, urdf: str, send: Send) -> None:
        self._batches = batches
        self._namespace = namespace
        self._send = send
        joints = joints_of(urdf)
        self.fixed = [joint.rest for joint in joints if joint.axis is None]
        self._moving = [joint for joint in joints if joint.axis is not None]
        self._subscriptions: list[Subscription] = []

    def follow(self, *, is_wanted: bool) -> None:
        """Subscribe to the topics of the car while its transforms are wanted."""
        if is_wanted and not self._subscriptions:
            self._subscriptions = [
                self._batches.subscribe(
                    kind, f'{self._namespace}/{topic}', _NEWEST, on_message, _ignore
                )
                for kind, topic, on_message in (
                    (Odometry, ODOMETRY, self._on_odometry),
                    (JointState, JOINT_STATES, self._on_joints),
                )
            ]
        elif not is_wanted:
            for subscription in self._subscriptions:
                self._batches.unsubscribe(subscription)
            self._subscriptions = []

    def _on_odometry(self, _time_ns: int, cdr: bytes) -> None:
        message = deserialize_message(cdr, Odometry)
        place, turned = message.pose.pose.position, message.pose.pose.orientation
        pose = Transform(
            message.header.frame_id,
            message.child_frame_id,
            (place.x, place.y, place.z),
            (turned.x, turned.y, turned.z, turned.w),
        )
        self._send(conversions.stamp_ns(message.header.stamp), [pose])

    def _on_joints(self, _time_ns: int, cdr: bytes) -> None:
        message = deserialize_message(cdr, JointState)
        positions_rad = dict(zip(message.name, message.position, strict=False))
        moved = [joint.at(positions_rad.get(joint.name, 0.0)) for joint in self._moving]
        self._send(conversions.stamp_ns(message.header.stamp), moved)


def _ignore(_messages: int) -> None:
    """A lost pose is followed by a newer one."""


def transforms_cdr(stamp_ns: int, transforms: Sequence[Transform]) -> bytes:
    """Return the CDR bytes of a tf2_msgs/TFMessage, without needing that package."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = _new('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
    return _encoded(_TRANSFORMS, transforms=[_transform(stamp, one) for one in transforms])


def _transform(stamp: Any, transform: Transform) -> Any:
    (x, y, z), (qx, qy, qz, qw) = transform.place_m, transform.rotation
    return _new(
        'geometry_msgs/msg/TransformStamped',
        header=_new('std_msgs/msg/Header', stamp=stamp, frame_id=transform.parent),
        child_frame_id=transform.child,
        transform=_new(
            'geometry_msgs/msg/Transform',
            translation=_new('geometry_msgs/msg/Vector3', x=x, y=y, z=z),
            rotation=_new('geometry_msgs/msg/Quaternion', x=qx, y=qy, z=qz, w=qw),
        ),
    )


def _new(kind: str, **fields: Any) -> Any:
    return TYPES.types[kind](**fields)


def _encoded(kind: str, **fields: Any) -> bytes:
    return bytes(TYPES.serialize_cdr(_new(kind, **fields), kind))
