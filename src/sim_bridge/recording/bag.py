# SPDX-License-Identifier: Apache-2.0
"""Bags: MCAP files as `ros2 bag` writes them. Messages are stored and read as their CDR bytes.

Recording and replaying decode nothing. Stamps, commands and frames that are exported or compared
are decoded without ROS.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, ReaderError, StoragePlugin, Writer, WriterError
from rosbags.rosbag2.storage_mcap import zstd as rosbags_zstd
from rosbags.typesys import Stores, get_typestore

from sim_bridge.errors import UsageError
from sim_bridge.topics import COMPRESSED_FRAME, SPEED, STEERING_COMMAND, TOPICS

_TYPES = get_typestore(Stores.ROS2_KILTED)
_FORMAT_VERSION = 9
# Exceptions that the two libraries raise for truncated or damaged files.
_DAMAGE = (
    ReaderError,
    McapError,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AssertionError,
    RuntimeError,
    TypeError,
    zstandard.ZstdError,
    rosbags_zstd.ZstdError,
)

_FOREVER = QosTime(sec=9223372036, nsec=854775807)


class BagError(UsageError):
    """A bag that cannot be read or written; the message names it and the reason."""


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
            return _TYPES.deserialize_cdr(self.cdr, self.type)
        except _DAMAGE as error:
            raise BagError(
                f'{self.topic} has a message that is not {self.type}: {error}'
            ) from error

    def frame(self) -> Any:
        """Return the decoded message of a frame; BagError for a message of another type."""
        return self._decoded_as(TOPICS[COMPRESSED_FRAME].type)

    def number(self) -> float:
        """Return the value of a Float32 message; BagError for a message of another type."""
        return float(self._decoded_as(TOPICS[SPEED].type).data)

    def command(self) -> tuple[int, float]:
        """Return stamp, ns, and steering, rad, of a command; BagError if it has no steering."""
        message = self._decoded_as(TOPICS[STEERING_COMMAND].type)
        if not len(message.position):
            raise BagError(f'{self.topic} has a {self.type} without position; it must be [rad]')
        return stamp_ns(message), float(message.position[0])

    def _decoded_as(self, expected: str) -> Any:
        if self.type != expected:
            raise BagError(f'{self.topic} holds {self.type}; it must be {expected}')
        return self.decoded()

    def is_of(self, name: str) -> bool:
        """Return whether the topic has this relative name in any namespace."""
        return f'/{self.topic.lstrip("/")}'.endswith(f'/{name}')


def stamp_ns(message: Any) -> int:
    """Return the header stamp of a decoded message, ns."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


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
            self._writer = Writer(path, version=_FORMAT_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise BagError(f'cannot record to {path}: {error}') from error

    def add_topic(self, name: str, message_type: str, offer: Offer) -> None:
        """Add a topic. Raises BagError if the definition of the message type is unknown."""
        if message_type not in _TYPES.fielddefs:
            raise BagError(f'{name} is not recorded: the definition of {message_type} is unknown')
        with self._lock:
            self._connections[name] = self._writer.add_connection(
                name, message_type, typestore=_TYPES, offered_qos_profiles=[offer.profile()]
            )

    def write(self, topic: str, time_ns: int, cdr: bytes) -> None:
        """Append one message of an added topic."""
        with self._lock:
            self._writer.write(self._connections[topic], time_ns, cdr)
        self.messages += 1

    def close(self) -> None:
        """Write the index and metadata.yaml."""
        self._writer.close()


@dataclass
class Bag:
    """A bag to read. Iterating over it yields its records, sorted by time.

    car: number of the car whose records are read; 0: all cars. trouble: after an iteration the
    reason why it ended before the end of the bag, or ''.
    """

    path: Path
    car: int = 0
    trouble: str = field(default='', init=False)

    def __post_init__(self) -> None:
        if not self.path.exists():
            raise BagError(f'there is no bag {self.path}')

    def __iter__(self) -> Iterator[Record]:
        self.trouble = ''
        read = 0
        for record in self._records():
            read += 1
            if not self.car or f'/car_{self.car}/' in record.topic:
                yield record
        if self.trouble:
            self.trouble = f'{self.path} is incomplete, {read} messages were read: {self.trouble}'
        if not read:
            raise BagError(self.trouble or f'the bag {self.path} holds no messages')

    def offers(self) -> dict[str, Offer]:
        """Return the offers of the publishers by topic; {} if the index of the bag is damaged."""
        try:
            with Reader(self.path) as reader:
                return {
                    connection.topic: _offer(connection.ext.offered_qos_profiles)
                    for connection in reader.connections
                }
        except _DAMAGE:
            return {}

    def _records(self) -> Iterator[Record]:
        try:
            reader = Reader(self.path)
            reader.open()
        except _DAMAGE as error:
            yield from self._salvaged(str(error))
            return
        try:
            for connection, time_ns, cdr in reader.messages():
                yield Record(connection.topic, connection.msgtype, time_ns, bytes(cdr))
        except _DAMAGE as error:
            self.trouble = _one_line(error)
        finally:
            reader.close()

    def _salvaged(self, reason: str) -> Iterator[Record]:
        """Read MCAP files from the beginning, because the index at their end is missing."""
        files = sorted(self.path.glob('*.mcap')) if self.path.is_dir() else [self.path]
        self.trouble = _one_line(reason) or 'there is no MCAP file'
        for file in files:
            with file.open('rb') as stream:
                try:
                    yield from _stream_records(stream)
                except _DAMAGE as error:
                    self.trouble = _one_line(error)


def _stream_records(stream: Any) -> Iterator[Record]:
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in StreamReader(stream).records:
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            channel = channels[record.channel_id]
            name = schemas[channel.schema_id].name
            yield Record(channel.topic, name, record.log_time, record.data)


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


def _one_line(error: object) -> str:
    text = ' '.join(str(error).split())
    if isinstance(error, McapError | EOFError | struct.error) or not text:
        return 'it ends in the middle of a record'
    return text[:200]
