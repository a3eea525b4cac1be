# SPDX-License-Identifier: Apache-2.0
"""Limits of the size of a network, because a small file can describe a huge one."""

import json
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from steering_net.errors import ModelError

Json: TypeAlias = Any
"""Parsed JSON, of which nothing has been checked."""

MAX_FILE_BYTES = 512 << 20
"""Largest file, or unpacked member of a `.keras` archive."""

MAX_WEIGHT_BYTES = 512 << 20
"""Largest sum of all weights as float32: 134 million weights, 500 times a PilotNet."""

MAX_JSON_BYTES = 8 << 20
"""Largest description of the layers."""

MAX_LAYERS = 500
MAX_TENSOR_VALUES = 1 << 26
"""Most values between two layers: a 320 x 160 frame with 64 channels has 3 million."""

MAX_ARGUMENT = 1 << 20
"""Largest count or size in a layer's description."""


def read_file(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return a file's content; ModelError if it is larger than `limit` bytes."""
    check_bytes(path.stat().st_size, limit, path.name)
    return path.read_bytes()


def read_member(archive: zipfile.ZipFile, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return a member of a zip archive; its size in the directory is checked first."""
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise ModelError(f'it does not contain {name}') from None
    check_bytes(member.file_size, limit, name)
    with archive.open(member) as stream:
        # zipfile stops at the size in the directory, even if the compressed data is longer.
        return stream.read(limit + 1)


def read_json(text: str | bytes) -> Json:
    """Return parsed JSON; ModelError if the text is too long."""
    check_bytes(len(text), MAX_JSON_BYTES, 'the description of the layers')
    return json.loads(text)


def check_bytes(size: int, limit: int, what: str) -> None:
    """Raise ModelError if `size` bytes are more than `limit`."""
    if size > limit:
        raise ModelError(f'{what} has {size >> 20} MiB, more than the {limit >> 20} MiB allowed')


def check_values(shape: Iterable[int | None], what: str) -> None:
    """Raise ModelError if a tensor of this shape (None counts as 1) would be too large."""
    count = math.prod(abs(side) for side in shape if side is not None)
    if count > MAX_TENSOR_VALUES:
        raise ModelError(f'{what} has {count} values, more than the {MAX_TENSOR_VALUES} allowed')
