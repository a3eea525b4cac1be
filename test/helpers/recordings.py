# SPDX-License-Identifier: Apache-2.0
"""One small recording in every kind of file that there is, made in code."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import zstandard
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from sim_bridge.recording.bag import BagWriter, Offer, command_cdr, frame_cdr, number_cdr
from sim_bridge.recording.message_types import TYPES
from sim_bridge.topics import (
    COMPRESSED_FRAME,
    SPEED,
    STEERING_ANGLE,
    STEERING_COMMAND,
    THROTTLE,
    TOPICS,
)
from steering_net.data.driving_log import recorder_row
from steering_net.vision.jpeg import encode_jpeg

FRAMES = 6
START_NS = 1_795_000_000_000_000_000
PERIOD_NS = 50_000_000
SPEED_MPS = 5.0
COMMON = ('folder', 'log', 'mcap', 'mcap file', 'sqlite')
KINDS = (
    *COMMON, 'mcap.zstd', 'mcap.zstd file', 'db3.zstd', 'compressed messages', 'split mcap',
    'split sqlite', 'mcap without metadata', 'sqlite without metadata', 'db3 file',
    'one of two cars',
)  # fmt: skip


def steering_rad(number):
    """Steering of a frame, rad, left positive."""
    return 0.01 * number - 0.03


def jpeg_of(number):
    """A frame with a shade of its own."""
    return encode_jpeg(np.full((160, 320, 3), (20 * number + 40) % 256, np.uint8))


def messages(number):
    """The messages of one frame: (topic, CDR)."""
    stamp = START_NS + number * PERIOD_NS
    yield COMPRESSED_FRAME, frame_cdr(stamp, jpeg_of(number))
    yield SPEED, number_cdr(SPEED_MPS)
    yield STEERING_ANGLE, number_cdr(steering_rad(number))
    yield THROTTLE, number_cdr(0.5)
    yield STEERING_COMMAND, command_cdr(stamp, steering_rad(number))


def write_bag(
    path, storage=StoragePlugin.MCAP, *, compression=None, cars=('',), numbers=range(FRAMES)
):
    """Write a bag of these frames, with the namespaces of these cars."""
    writer = Writer(path, version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        topics = {
            (car, topic): writer.add_connection(
                f'{car}/{topic}', TOPICS[topic].type, typestore=TYPES
            )
            for car in cars
            for topic, _ in messages(0)
        }
        for number in numbers:
            for offset, (topic, cdr) in enumerate(messages(number)):
                for car in cars:
                    time_ns = START_NS + number * PERIOD_NS + 1_000_000 * (1 + offset)
                    writer.write(topics[car, topic], time_ns, cdr)
    return path


def write_messages(path, sent):
    """Write a bag of (topic, time of receipt in ns, CDR)."""
    writer = BagWriter(path)
    for topic in {topic for topic, *_ in sent}:
        writer.add_topic(topic, TOPICS[topic].type, Offer())
    for topic, time_ns, cdr in sent:
        writer.write(topic, time_ns, cdr)
    writer.close()
    return path


def simulated_drives(count, frames=20):
    """Messages of drives in simulated time, one after another: the wheels of drive n are at n/10.

    The stamps of each begin with one period; the times of receipt are those of a real clock.
    """
    for number in range(1, count + 1):
        for index in range(1, frames + 1):
            stamp, time_ns = index * PERIOD_NS, START_NS + (100 * number + index) * PERIOD_NS
            yield COMPRESSED_FRAME, time_ns, frame_cdr(stamp, jpeg_of(index))
            yield STEERING_ANGLE, time_ns, number_cdr(0.1 * number)
            yield SPEED, time_ns, number_cdr(SPEED_MPS)
            yield STEERING_COMMAND, time_ns + 1000, command_cdr(stamp, 0.1 * number)


def write_split(path, storage):
    """Write a bag of two files, the later of which has the smaller name in the alphabet."""
    suffix = {StoragePlugin.MCAP: '.mcap', StoragePlugin.SQLITE3: '.db3'}[storage]
    parts = [
        write_bag(path.with_name(f'part_{n}'), storage, numbers=numbers)
        for n, numbers in ((9, range(3)), (10, range(3, FRAMES)))
    ]
    shutil.copytree(parts[0], path)
    (path / f'part_9{suffix}').rename(path / f'drive_9{suffix}')
    shutil.copy(parts[1] / f'part_10{suffix}', path / f'drive_10{suffix}')
    text = (path / 'metadata.yaml').read_text(encoding='utf-8')
    listed = f'  - drive_9{suffix}\n  - drive_10{suffix}\n'
    assert f'- part_9{suffix}' in text
    lines = [
        listed if line.strip() == f'- part_9{suffix}' else line + '\n'
        for line in text.splitlines()
    ]
    (path / 'metadata.yaml').write_text(''.join(lines), encoding='utf-8')
    return path


def write_folder(path):
    """Write a folder with IMG and driving_log.csv."""
    (path / 'IMG').mkdir(parents=True)
    rows = []
    for number in range(FRAMES):
        name = f'center_2026_11_17_12_00_00_{50 * number:03d}.jpg'
        (path / 'IMG' / name).write_bytes(jpeg_of(number))
        rows.append(recorder_row(f'IMG/{name}', steering_rad(number), 0.5, SPEED_MPS))
    (path / 'driving_log.csv').write_text(''.join(rows), encoding='utf-8')
    return path


def write_kind(kind, folder):
    """Write the recording as one of KINDS; return (the path to name, words for the verb)."""
    path = folder / 'drive'
    if kind in ('folder', 'log'):
        write_folder(path)
        return (path if kind == 'folder' else path / 'driving_log.csv'), []
    if kind == 'one of two cars':
        return write_bag(path, cars=('/car_1', '/car_2')), ['--car', 2]
    storage = StoragePlugin.MCAP if 'mcap' in kind else StoragePlugin.SQLITE3
    if kind.startswith('split'):
        return write_split(path, storage), []
    compression = {'zstd': CompressionMode.FILE, 'messages': CompressionMode.MESSAGE}
    used = next((mode for word, mode in compression.items() if word in kind), None)
    write_bag(path, storage, compression=used)
    if 'without metadata' in kind or kind == 'db3 file':
        (path / 'metadata.yaml').unlink()
    if kind.endswith('file'):
        return next(file for file in path.iterdir() if file.suffix != '.yaml'), []
    return path, []


def write_ros1(folder):
    """Write the beginning of a bag of ROS 1."""
    path = folder / 'drive.bag'
    path.write_bytes(b'#ROSBAG V2.0\n')
    return path


def every(step, recording):
    """A recording of each `step`-th frame of another one."""
    series = ('times_s', 'steering_rad', 'target_rad', 'speed_mps', 'frame_names')
    kept = {name: getattr(recording, name)[::step] for name in series}
    return replace(recording, load=lambda index: recording.load(step * index), **kept)


def packed(path: Path):
    """Return a zstd copy of a file."""
    copy = path.with_name(f'{path.name}.zstd')
    copy.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    return copy
