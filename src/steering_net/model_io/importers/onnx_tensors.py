# SPDX-License-Identifier: Apache-2.0
"""Reads tensors of ONNX files; large weights may be in another file of the same folder."""

from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError
from steering_net.model_io.importers.layer_chain import Array
from steering_net.model_io.importers.limits import MAX_WEIGHT_BYTES, check_bytes, read_file

_FLOAT16 = 10
TYPES = {1: np.float32, 6: np.int32, 7: np.int64, _FLOAT16: np.float16, 11: np.float64}
"""NumPy's types by the numbers of ONNX."""

_IN_ANOTHER_FILE = 1


def external_data(path: Path) -> list[Path]:
    """Return the usual paths of the large weights of an ONNX file."""
    return [path.with_name(path.name + ending) for ending in ('.data', '_data')]


class ExternalData:
    """The files beside an ONNX file that hold its weights."""

    def __init__(self, path: Path) -> None:
        """Read no file before it is needed; `path` is the ONNX file."""
        self._path = path
        self._contents: dict[str, bytes] = {}

    def array(self, tensor: Any) -> Array:
        """Return a tensor; ModelError for an unknown type, or if its file is missing."""
        if tensor.data_type not in TYPES:
            raise ModelError(f'tensor {tensor.name} is of an unknown type')
        kind = np.dtype(TYPES[tensor.data_type])
        if tensor.data_location == _IN_ANOTHER_FILE:
            raw = self._external(tensor, kind.itemsize)
        else:
            raw = tensor.raw_data
        if raw:
            flat = np.frombuffer(raw, kind.newbyteorder('<')).astype(kind)
        elif tensor.data_type == _FLOAT16:
            # Each number is the bit pattern of a value.
            flat = np.array(tensor.int32_data, np.uint16).view(np.float16)
        else:
            lists = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data)
            flat = np.array(next((list(data) for data in lists if len(data)), []), kind)
        return flat.reshape(list(tensor.dims))

    def _external(self, tensor: Any, item_bytes: int) -> bytes:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get('location', '')
        if not name or name != Path(name).name:
            raise ModelError(f'tensor {tensor.name} is in {name[:80]}, outside of its folder')
        size = item_bytes * int(np.prod(list(tensor.dims), dtype=np.int64))
        check_bytes(size, MAX_WEIGHT_BYTES, f'tensor {tensor.name}')
        try:
            start = int(entries.get('offset') or 0)
        except ValueError as error:
            raise ModelError(f'tensor {tensor.name} has a broken offset') from error
        part = self._content(name)[start : start + size] if start >= 0 else b''
        if len(part) != size:
            raise ModelError(f'{name} is cut short: it lacks tensor {tensor.name}')
        return part

    def _content(self, name: str) -> bytes:
        if name not in self._contents:
            # The usual names too, because the .onnx file may have been renamed.
            files = [self._path.with_name(name), *external_data(self._path)]
            self._contents[name] = self._first_of(files, name)
        return self._contents[name]

    def _first_of(self, files: list[Path], name: str) -> bytes:
        for file in files:
            try:
                return read_file(file)
            except OSError:
                continue
        raise ModelError(
            f'its weights are in {name}, which cannot be read: put that file beside it, '
            f'named {files[1].name}'
        )
