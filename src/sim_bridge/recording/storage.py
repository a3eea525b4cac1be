# SPDX-License-Identifier: Apache-2.0
"""Storage of a bag: its MCAP and SQLite files, one or several, compressed or damaged."""

from __future__ import annotations

import re
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import zstandard
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.interfaces import Qos
from rosbags.rosbag2 import Reader, ReaderError, storage_sqlite3
from rosbags.rosbag2.storage_mcap import zstd as rosbags_zstd
from rosbags.serde import SerdeError

from sim_bridge.errors import UsageError
from sim_bridge.recording.whole_output import whole_file
from steering_net.data.frame_files import natural_key
from steering_net.errors import READ_ERRORS

METADATA = 'metadata.yaml'
_STORAGE_NAME = re.compile(r'.+\.(mcap|db3)(\.zstd|\.zst)?', re.IGNORECASE)
# Names in `relative_file_paths`; rosbag2 lists them again, as in `- path: drive_0.mcap`.
_LISTED = re.compile(
    r'^\s*-\s+(?!path:\s)["\']?([^"\'\n]+?\.(?:mcap|db3)(?:\.zstd)?)["\']?\s*$', re.M
)
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'
# rosbags reads SQLite with apsw, and did with sqlite3.
_SQLITE_ERROR: type[Exception] = getattr(storage_sqlite3, 'apsw', sqlite3).Error
# Exceptions that the libraries raise for truncated or damaged files.
DAMAGE = (
    *READ_ERRORS,
    AssertionError,
    ReaderError,
    McapError,
    SerdeError,
    zstandard.ZstdError,
    rosbags_zstd.ZstdError,
    _SQLITE_ERROR,
)


class BagError(UsageError):
    """A bag that cannot be read or written; the message names it and the reason."""


class Stored(NamedTuple):
    """One message of a storage file: topic, type, time of receipt in ns, and CDR bytes."""

    topic: str
    type: str
    time_ns: int
    cdr: bytes


class Remark(NamedTuple):
    """What is odd about a bag: `what` follows its name, `reason` is why or what to do, or ''."""

    what: str
    reason: str = ''


def is_storage(path: Path) -> bool:
    """Return whether a file has the name of an MCAP or SQLite file, compressed or not."""
    return _STORAGE_NAME.fullmatch(path.name) is not None and path.is_file()


def is_bag(path: Path) -> bool:
    """Return whether this is a bag of ROS 2 or ROS 1, a folder or a file."""
    if path.is_dir():
        files = filter(Path.is_file, path.iterdir())
        return (path / METADATA).is_file() or any(map(is_bag, files))
    return is_storage(path) or is_ros1(path)


def is_ros1(path: Path) -> bool:
    """Return whether a file is a bag of ROS 1."""
    return path.suffix.lower() == '.bag' and path.is_file()


def storage_kind(path: Path) -> str:
    """Return the name of the format of a bag, for people."""
    files = path.iterdir() if path.is_dir() else [path]
    return 'SQLite' if any('.db3' in file.name.lower() for file in files) else 'MCAP'


class Storage:
    """The storage files of one bag, in the order of recording.

    `remark` tells what is odd about them, or is None. It is complete after the messages were read.
    """

    def __init__(self, path: Path) -> None:
        """Find the files. Raises BagError if there is no bag of ROS 2."""
        if not path.exists():
            raise BagError(f'there is no bag {path}')
        self.path = path
        self._unpacked: TemporaryDirectory[str] | None = None
        self.remark: Remark | None = None
        self._files = self._find()
        if not self._files:
            raise BagError(f'the bag {path} holds no messages: it has no .mcap and no .db3 file')
        for file in filter(is_ros1, self._files):
            raise BagError(
                f'{file} is a bag of ROS 1; convert it with `rosbags-convert --src {file} '
                f'--dst {file.with_suffix("")}`, and name that folder'
            )

    def _find(self) -> list[Path]:
        if not self.path.is_dir():
            is_database = '.db3' in self.path.suffixes
            if is_database and not (self.path.parent / METADATA).is_file():
                self.remark = self._without_metadata(self.path.parent)
            return [self.path]
        found = sorted(
            filter(is_storage, self.path.iterdir()), key=lambda file: natural_key(file.name)
        )
        if not found:
            return sorted(filter(is_ros1, self.path.iterdir()))
        metadata = self.path / METADATA
        if not metadata.is_file():
            self.remark = self._without_metadata(self.path)
            return found
        text = metadata.read_text(encoding='utf-8', errors='replace')
        listed = [Path(name).name for name in _LISTED.findall(text)]
        by_name = {_plain_name(file.name): file for file in found}
        files = [by_name[name] for name in map(_plain_name, listed) if name in by_name]
        missing = [name for name in listed if _plain_name(name) not in by_name]
        if files and missing:
            self.remark = Remark(f'lacks {", ".join(missing)}')
        return files or found

    def _without_metadata(self, folder: Path) -> Remark:
        plugin = 'sqlite3' if storage_kind(self.path) == 'SQLite' else 'mcap'
        return Remark(
            f'has no {METADATA}',
            'a recorder writes it at its end, and '
            f'`ros2 bag reindex -s {plugin} {folder}` makes one',
        )

    def offers(self) -> dict[str, list[Qos]]:
        """Return the profiles of the publishers by topic; {} if the index of a file is damaged."""
        found: dict[str, list[Qos]] = {}
        for file in self._files:
            try:
                with Reader(self._plain_file(file)) as reader:
                    for connection in reader.connections:
                        found[connection.topic] = connection.ext.offered_qos_profiles
            except DAMAGE:
                return {}
        return found

    def messages(self) -> Iterator[Stored]:
        """Yield the messages of all files. `remark` names the first damage that was met."""
        damage = ''
        for file in self._files:
            try:
                yield from self._read(file)
            except DAMAGE as error:
                damage = damage or reason_of(error)
        if damage:
            self.remark = Remark('is incomplete', damage)

    def _read(self, file: Path) -> Iterator[Stored]:
        plain = self._plain_file(file)
        reader = Reader(plain)
        try:
            reader.open()
        except DAMAGE:
            if plain.suffix != '.mcap':
                raise
            # The index at the end is missing, so the file is read from the beginning.
            with plain.open('rb') as stream:
                yield from _stream_messages(stream)
            raise
        with closing(reader):
            for connection, time_ns, cdr in reader.messages():
                yield Stored(
                    connection.topic, connection.msgtype, time_ns, _decompressed(bytes(cdr))
                )

    def _plain_file(self, file: Path) -> Path:
        """Return the file, or a temporary copy that is decompressed and has a suffix as usual."""
        is_packed = file.suffix.lower() in ('.zstd', '.zst')
        name = _plain_name(file.name)
        if not is_packed and name == file.name:
            return file
        self._unpacked = self._unpacked or TemporaryDirectory(prefix='sim_bridge_bag_')
        target = Path(self._unpacked.name, name)
        if target.exists():
            return target
        with whole_file(target) as part, file.open('rb') as source, part.open('wb') as copy:
            if is_packed:
                zstandard.ZstdDecompressor().copy_stream(source, copy)
            else:
                copy.write(source.read())
        return target


def _plain_name(name: str) -> str:
    """Return the name of a storage file without compression, with its suffix in lower case."""
    path = Path(re.sub(r'\.zstd?$', '', name, flags=re.IGNORECASE))
    return path.stem + path.suffix.lower()


def _decompressed(cdr: bytes) -> bytes:
    """Return the bytes of a message that `ros2 bag` may have compressed by itself.

    CDR begins with a zero byte, so it cannot be mistaken.
    """
    if not cdr.startswith(_ZSTD_MAGIC):
        return cdr
    return zstandard.ZstdDecompressor().decompressobj().decompress(cdr)


def _stream_messages(stream: Any) -> Iterator[Stored]:
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
            yield Stored(channel.topic, name, record.log_time, _decompressed(record.data))


def reason_of(error: BaseException) -> str:
    """Return why a file cannot be read, as one line, from an error of the libraries."""
    text = ' '.join(str(error).split())
    if isinstance(error, McapError | EOFError | struct.error) or not text:
        return 'it ends in the middle of a record'
    return text[:200]
