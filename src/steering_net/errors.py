"""The errors of what reads networks and frames."""

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
"""What the libraries that we read files with raise, sooner or later, for a broken one."""


class ModelError(ValueError):
    """A model that is missing, broken or not a steering network; the message is one line."""


def one_line(error: BaseException, limit: int = 200) -> str:
    """Return the first line of an error's message, or its type's name, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:limit] if lines else type(error).__name__


class ImageError(ValueError):
    """A frame that cannot be decoded or cannot be used."""
