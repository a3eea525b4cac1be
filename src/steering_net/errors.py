# SPDX-License-Identifier: Apache-2.0
"""Errors of reading networks and frames, and of values outside their range."""

import struct
import zipfile
import zlib

READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions that the libraries raise that read files, if a file is broken."""
_LONGEST_LINE = 200


class ModelError(ValueError):
    """A network that is missing, broken or does not steer; the message is one line."""


class SettingError(ValueError):
    """A setting outside its range: `name`, the field of the settings, and `fault`."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f'{name} {fault}')
        self.name, self.fault = name, fault


def check_field(is_good: bool, name: str, value: object, allowed: str) -> None:
    """Raise SettingError, with name, value and what is allowed, unless the value is good."""
    if not is_good:
        raise SettingError(name, f'is {value}; it must be {allowed}')


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened, or its type's name without one."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST_LINE] if lines else type(error).__name__


class ImageError(ValueError):
    """A frame that cannot be decoded or used.

    `kind` is the same for all frames with the same trouble: the message, if it names no file.
    """

    def __init__(self, message: str, kind: str = '') -> None:
        super().__init__(message)
        self.kind = kind or message
