# SPDX-License-Identifier: Apache-2.0
"""Bags as `ros2 bag` writes them. Messages are stored and read as their CDR bytes.

Recording and replaying decode nothing. Stamps, commands and frames that are exported or compared
are decoded without ROS.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from sim_bridge.recording.message_types import TYPES, is_known
from sim_bridge.recording.storage import DAMAGE, BagError, Remark, Stored, reason_of
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    OPTICAL_FRAME,
    SPEED,
    STEERING_COMMAND,
    STEERING_JOINT,
    TOPICS,
    car_of,
    steering_in,
)
from steering_net.errors import ImageError
from steering_net.vision.frame_size import as_frame
from steering_net.vision.jpeg import decode_jpeg

_FORMAT_VERSION = 9
_SHOWN_TOPICS = 20
_FOREVER = QosTime(sec=9223372036, nsec=854775807)


@dataclass(frozen=True)
class Offer:
    """Quality of service that the publishers of a topic offer, as far as subscriptions need it."""

    depth: int = 1
    is_reliable: bool = True
    is_latched: bool = False

    def profile(self) -> Qos:
        """Return the complete profile, as it is stored in a bag."""
        return Qos(
            history=QosHistory.KEEP_LAST,
            depth=self.depth,
            reliability=(
                QosReliability.RELIABLE if self.is_reliable else QosReliability.BEST_EFFORT
            ),
            durability=(
                QosDurability.TRANSIENT_LOCAL if self.is_latched else QosDurability.VOLATILE
            ),
            deadline=_FOREVER,
            lifespan=_FOREVER,
            liveliness=QosLiveliness.AUTOMATIC,
            liveliness_lease_duration=_FOREVER,
            avoid_ros_namespace_conventions=False,
        )


class UnusableError(BagError):
    """A message without a finite number, or with a speed that no car reaches."""


@dataclass(frozen=True)
class Record:
    """One message of a bag: its CDR bytes, and the time at which it was received, ns."""

    topic: str
    type: str
    time_ns: int
    cdr: bytes

    def decoded(self) -> Any:
        """Return the message with its fields as attributes; arrays are numpy arrays.

        Raises BagError if the bytes are not a message of this type.
        """
        try:
            return TYPES.deserialize_cdr(self.cdr, self.type)
        except DAMAGE as error:
            raise BagError(
                f'{self.topic} has a message that is not {self.type}: {reason_of(error)}'
            ) from error

    def frame(self) -> Any:
        """Return the decoded message of a frame; BagError for a message of another type."""
        return self._decoded_as(TOPICS[COMPRESSED_FRAME].type)

    def number(self) -> float:
        """Return the value of a Float32 message.

        Raises UnusableError if it is not finite, BagError for a message of another type.
        """
        return self._finite(float(self._decoded_as(TOPICS[SPEED].type).data))

    def command(self) -> tuple[int, float]:
        """Return stamp, ns, and steering, rad, of a command.

        Raises UnusableError if it has no finite steering, BagError for a message of another type.
        """
        message = self._decoded_as(TOPICS[STEERING_COMMAND].type)
        steering_rad = steering_in(message.name, message.position)
        if steering_rad is None:
            has_joint = STEERING_JOINT in message.name
            missing = 'position; it must be [rad]' if has_joint else f'the joint {STEERING_JOINT}'
            raise UnusableError(f'{self.topic} has a {self.type} without {missing}')
        return stamp_ns(message), self._finite(steering_rad)

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise UnusableError(f'{self.topic} has the value {value}; it must be finite')
        return value

    def _decoded_as(self, expected: str) -> Any:
        if self.type != expected:
            raise BagError(f'{self.topic} holds {self.type}; it must be {expected}')
        return self.decoded()

    def is_of(self, name: str) -> bool:
        """Return whether the topic has this relative name in any namespace."""
        return is_named(self.topic, name)

    def is_of_car(self, car: int | str) -> bool:
        """Return whether the topic is that of the car with this number or this namespace."""
        if isinstance(car, int):
            return car_of(self.topic) == car
        return f'/{car.strip("/")}/' in f'/{self.topic.lstrip("/")}'


def is_named(topic: str, name: str) -> bool:
    """Return whether a full name of a topic is this relative name in any namespace."""
    return f'/{topic.lstrip("/")}'.endswith(f'/{name}')


def stamp_ns(message: Any) -> int:
    """Return the header stamp of a decoded message, ns."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_cdr(stamp: int, jpeg: bytes) -> bytes:
    """Return the CDR bytes of a frame with this stamp, ns."""
    image = _new(COMPRESSED_FRAME, header=_header(stamp, OPTICAL_FRAME), format='jpeg',
                 data=np.frombuffer(jpeg, np.uint8))  # fmt: skip
    return _encoded(image)


def number_cdr(value: float) -> bytes:
    """Return the CDR bytes of a Float32."""
    return _encoded(_new(SPEED, data=value))


def command_cdr(stamp: int, steering_rad: float) -> bytes:
    """Return the CDR bytes of a command for the frame with this stamp, ns."""
    nothing = np.array([])
    return _encoded(
        _new(STEERING_COMMAND, header=_header(stamp, ''), name=[STEERING_JOINT],
             position=np.array([steering_rad]), velocity=nothing, effort=nothing)
    )  # fmt: skip


def _new(topic: str, **fields: Any) -> Any:
    return TYPES.types[TOPICS[topic].type](**fields)


def _header(stamp: int, frame_id: str) -> Any:
    seconds, nanoseconds = divmod(stamp, 1_000_000_000)
    time = TYPES.types['builtin_interfaces/msg/Time'](sec=seconds, nanosec=nanoseconds)
    return TYPES.types['std_msgs/msg/Header'](stamp=time, frame_id=frame_id)


def _encoded(message: Any) -> bytes:
    return bytes(TYPES.serialize_cdr(message, message.__msgtype__))


class BagWriter:
    """Writer of one bag. A bag that is not closed can be read up to its last megabyte.

    One thread may add topics while another writes messages.
    """

    def __init__(self, path: Path) -> None:
        """Create the folder. Raises BagError if it already exists or cannot be created."""
        self.messages = 0
        self._connections: dict[str, Connection] = {}
        self._lock = threading.Lock()
        try:
            if path.exists():
                raise BagError(f'{path} already exists; name a new folder')
            self._writer = Writer(path, version=_FORMAT_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
            _number_file(self._writer)
        except (WriterError, OSError) as error:
            raise BagError(f'cannot record to {path}: {error}') from error

    @property
    def unit(self) -> str:
        """Name of what `messages` counts."""
        return 'messages'

    def add_topic(self, name: str, message_type: str, offer: Offer) -> None:
        """Add a topic. Raises BagError if the definition of the message type is unknown."""
        if not is_known(message_type):
            raise BagError(f'{name} is not recorded: the definition of {message_type} is unknown')
        with self._lock:
            self._connections[name] = self._writer.add_connection(
                name, message_type, typestore=TYPES, offered_qos_profiles=[offer.profile()]
            )

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Append one message of an added topic."""
        with self._lock:
            self._writer.write(self._connections[topic], time_ns, cdr)
        self.messages += 1

    def close(self) -> None:
        """Write the index and metadata.yaml."""
        self._writer.close()


def _number_file(writer: Writer) -> None:
    """Name the file of an opened bag as `ros2 bag record` does: `reindex` finds no other name."""
    storage = writer.storage
    assert storage
    path = storage.path
    storage.path = path.rename(path.with_name(f'{path.stem}_0{path.suffix}'))


class Source(Protocol):
    """What a bag is read from: its storage, or a log."""

    @property
    def path(self) -> Path:
        """Path that the user named."""

    @property
    def remark(self) -> Remark | None:
        """What is odd about the messages that were read, or None."""

    def messages(self) -> Iterator[Stored]:
        """Yield the messages, as `Bag` tells their order. Each call reads from the beginning."""

    def offers(self) -> dict[str, list[Qos]]:
        """Return the profiles of the publishers by topic; {} if they are unknown."""


@dataclass
class Bag:
    """A bag to read. Iterating over it yields its records, file after file.

    Those of a file are sorted by time. A file without an index, because it was cut off, yields
    them as they were written.

    car: number or namespace of the car whose records are read; 0: all cars. trouble: after an
    iteration, what is odd about the bag, such as the reason why it ended before its end, or ''.
    """

    source: Source
    car: int | str = 0
    trouble: str = field(default='', init=False)

    @property
    def path(self) -> Path:
        """Path that the user named."""
        return self.source.path

    def __iter__(self) -> Iterator[Record]:
        self.trouble = ''
        read = 0
        for stored in self.source.messages():
            read += 1
            record = Record(*stored)
            if not self.car or record.is_of_car(self.car):
                yield record
        if remark := self.source.remark:
            reason = f': {remark.reason}' if remark.reason else ''
            self.trouble = f'{self.path} {remark.what}, {read} messages were read{reason}'
        if not read:
            raise BagError(self.trouble or f'the bag {self.path} holds no messages')

    def offers(self) -> dict[str, Offer]:
        """Return the offers of the publishers by topic; {} if the source knows none."""
        return {topic: _offer(profiles) for topic, profiles in self.source.offers().items()}


def _offer(profiles: list[Qos]) -> Offer:
    return Offer(
        depth=max([1, *(profile.depth for profile in profiles)]),
        is_reliable=all(
            profile.reliability is not QosReliability.BEST_EFFORT for profile in profiles
        ),
        is_latched=any(
            profile.durability is QosDurability.TRANSIENT_LOCAL for profile in profiles
        ),
    )


def check_car(bag: Bag, frame_topics: Collection[str]) -> None:
    """Raise BagError unless these topics of frames, which a bag holds, are those of one car."""
    if len(frame_topics) == 1:
        return
    if frame_topics:
        raise BagError(
            f'{bag.path} holds several cars: {_cars(frame_topics)}; choose one with --car'
        )
    if bag.car:
        others = {record.topic for record in replace(bag, car=0) if record.is_of(COMPRESSED_FRAME)}
        raise BagError(
            f'{bag.path} holds no {COMPRESSED_FRAME} of car {bag.car}; '
            f'it holds that of {_cars(others) or "no car"}'
        )
    topics = ', '.join(sorted({record.topic for record in bag})[:_SHOWN_TOPICS])
    raise BagError(f'{bag.path} holds no {COMPRESSED_FRAME}; its topics are {topics}')


def undecodable(jpeg: bytes) -> str:
    """Return the reason why a JPEG is no frame, or ''."""
    try:
        as_frame(decode_jpeg(jpeg))
    except ImageError as error:
        return str(error)
    return ''


def _cars(frame_topics: Collection[str]) -> str:
    """Return the names of the cars with these topics of frames."""
    names = (topic.removesuffix(COMPRESSED_FRAME).strip('/') for topic in sorted(frame_topics))
    return ', '.join(name or 'one without a name' for name in names)
