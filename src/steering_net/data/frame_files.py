# SPDX-License-Identifier: Apache-2.0
"""Frame files: the images that a log or a folder names, found and read."""

import functools
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from steering_net.errors import ImageError
from steering_net.vision.camera_model import Rgb
from steering_net.vision.jpeg import decode_jpeg

_LOG = logging.getLogger(__name__)

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp')
"""Suffixes of image files, in lower case."""


class LeftOut:
    """Frames that were left out. Each kind of trouble gives one warning with a count."""

    def __init__(self, source: str) -> None:
        """`source` is named in the warnings."""
        self._source = source
        self._errors: list[tuple[str, ImageError]] = []

    def add(self, name: str, error: ImageError) -> None:
        """Add a frame. Threads may call this at the same time."""
        self._errors.append((name, error))

    @property
    def last_reason(self) -> str:
        """Reason of the newest frame, behind a colon; empty without one."""
        return f': {self._errors[-1][1]}' if self._errors else ''

    def warn(self) -> None:
        """Log the warnings."""
        kinds: dict[str, list[tuple[str, ImageError]]] = {}
        for name, error in self._errors:
            kinds.setdefault(error.kind, []).append((name, error))
        for found in kinds.values():
            name, error = found[0]
            count = f'; {len(found)} frames in all' if len(found) > 1 else ''
            _LOG.warning('%s: %s left out: %s%s', self._source, name, error, count)


def base_name(name: str) -> str:
    """Return the file name in a path of any operating system."""
    return re.split(r'[\\/]', name)[-1]


def natural_key(name: str) -> list[tuple[str, int]]:
    """Return a key that sorts drive_2 before drive_10."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r'(\D*)(\d*)', name)]


def images_in(folder: Path) -> list[str]:
    """Return the names of the images in a folder, or else those in its IMG, sorted by number."""
    for place in (folder, folder / _names(folder).get('img', 'IMG')):
        names = [name for name in _names(place).values() if Path(name).suffix.lower() in SUFFIXES]
        if names:
            return sorted(set(names), key=natural_key)
    return []


def find_image(name: str, root: Path) -> Path:
    """Return the image file for a name in a log whose folder is `root`.

    The name, and then shorter and shorter ends of it, are tried as a path in `root` and in
    `root/IMG`. Capitals and the suffix do not matter. Raises ImageError where there is no such
    file.
    """
    parts = [part for part in re.split(r'[\\/]', name) if part]
    ends = [parts[first:] for first in range(len(parts))]
    whole = root / name.replace('\\', '/')  # An absolute path stays as it is.
    for candidate in (whole, *(root.joinpath(*end) for end in ends)):
        # Unlike `Path.is_file`, this is False, too, for a name that is too long or not accessible.
        if os.path.isfile(candidate):
            return candidate
    for end in ends:
        found = _find_in_any_case(root, end) or _find_in_any_case(root, ['IMG', *end])
        if found:
            return found
    raise ImageError(
        f'there is no image {base_name(name)} in {root / "IMG"}', kind='the image is missing'
    )


def _find_in_any_case(folder: Path, parts: Sequence[str]) -> Path | None:
    """Return the file with this path in a folder, or one that differs in capitals or suffix."""
    for part in parts[:-1]:
        found = _names(folder).get(part.lower())
        if found is None:
            return None
        folder = folder / found
    *_, last = parts
    names = _names(folder)
    found = names.get(last.lower()) or names.get(Path(last.lower()).stem)
    return folder / found if found and (folder / found).is_file() else None


def _names(folder: Path) -> dict[str, str]:
    """Return the names in a folder by their lower case, and images by their stems too."""
    try:
        return _listed(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@functools.lru_cache(maxsize=16)
def _listed(folder: Path, _changed_ns: int) -> dict[str, str]:
    names = sorted(path.name for path in folder.iterdir())
    stems = {
        Path(name.lower()).stem: name for name in names if Path(name).suffix.lower() in SUFFIXES
    }
    return stems | {name.lower(): name for name in names}


def read_jpeg(name: str, root: Path) -> bytes:
    """Return the image of a name in a log as a JPEG file's bytes; ImageError if it is unusable.

    A JPEG is returned unchanged. A PNG or BMP is compressed almost without loss.
    """
    path = find_image(name, root)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f'cannot read {path}: {error.strerror}', kind='the image cannot be read'
        ) from error
    if not data.startswith((b'\x89PNG', b'BM')):
        return data
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # Of a size that OpenCV refuses.
        image = None
    if image is None:
        raise ImageError(f'{path} cannot be decoded', kind='the image cannot be decoded')
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def read_image(name: str, root: Path) -> Rgb:
    """Return the frame of a name in a log, uint8 (H, W, 3) RGB; ImageError if it is unusable."""
    return decode_jpeg(read_jpeg(name, root))
