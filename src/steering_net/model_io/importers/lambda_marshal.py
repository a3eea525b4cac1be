# SPDX-License-Identifier: Apache-2.0
"""Reads marshalled code objects of Python as data.

They are neither unmarshalled nor run: the few value types of a code object are parsed here.

Format: Python/marshal.c of CPython 2.7 and 3.4 to 3.13.
"""

import struct
from dataclasses import dataclass
from typing import Any

MAX_CODE_BYTES = 4096
"""A lambda that scales pixels has about 150."""

_MAX_DEPTH = 8
_REFERABLE = 0x80


class BytecodeError(ValueError):
    """A function that does more than to prepare a frame."""


@dataclass(frozen=True)
class Code:
    """The fields of a code object that are used here.

    `arguments` are the numbers of all arguments, of positional-only and of keyword-only ones.
    `cells` is the index of the first variable of an enclosing function, as LOAD_DEREF counts.
    """

    arguments: tuple[int, ...]
    flags: int
    bytecode: bytes
    constants: tuple[Any, ...]
    names: tuple[Any, ...]
    layout: int
    cells: int


LAYOUTS = (
    # The fields between argument count and flags, after the variables' names, and at the end, of
    # Python 3.8 to 3.10, 3.0 to 3.7, 2.7, 3.11 and later.
    ('posonly kwonly nlocals stack', 'free cell file name', 'line lnotab'),
    ('kwonly nlocals stack', 'free cell file name', 'line lnotab'),
    ('nlocals stack', 'free cell file name', 'line lnotab'),
    ('posonly kwonly stack', 'kinds file name qualified', 'line table exceptions'),
)
_FREE = 0x80
"""The kind of a variable of an enclosing function, since Python 3.11."""


def parse(data: bytes) -> list[Code]:
    """Return what the data is with each of LAYOUTS that it fits; BytecodeError if it fits none."""
    if len(data) > MAX_CODE_BYTES:
        raise BytecodeError(f'its code has {len(data)} bytes')
    found = []
    for layout in range(len(LAYOUTS)):
        try:
            found.append(_Parser(data).whole_code(layout))
        except (BytecodeError, struct.error, IndexError, UnicodeDecodeError):
            continue
    if not found:
        raise BytecodeError('its code is of no Python that is known')
    return found


class _Parser:
    """Reads the marshal format: a type byte, then the value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._references: list[Any] = []
        self._interned: list[bytes] = []

    def whole_code(self, layout: int) -> Code:
        """Return the code object that fills the data exactly."""
        kind = self._take(1)[0]
        if kind & ~_REFERABLE != ord('c'):
            raise BytecodeError('no code object')
        if kind & _REFERABLE:
            self._references.append(None)
        counts, tail, end = (part.split() for part in LAYOUTS[layout])
        arguments = self._int()
        numbers = {name: self._int() for name in counts}
        flags = self._int()
        bytecode, constants, names, _variables = (self._object() for _ in range(4))
        others = {name: self._object() for name in tail}
        self._int()
        for _ in end[1:]:
            self._object()
        if self._at != len(self._data):
            raise BytecodeError('trailing bytes')
        if not isinstance(bytecode, bytes) or not isinstance(constants, tuple):
            raise BytecodeError('no code object')
        extra = tuple(numbers.get(name, 0) for name in ('posonly', 'kwonly'))
        kinds, cell = others.get('kinds', b''), others.get('cell', ())
        if not isinstance(kinds, bytes) or not isinstance(cell, tuple):
            raise BytecodeError('no code object')
        cells = next((i for i, kind in enumerate(kinds) if kind & _FREE), 0) or len(cell)
        return Code((arguments, *extra), flags, bytecode, constants, names, layout, cells)

    def _take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._data):
            raise BytecodeError('truncated')
        self._at += count
        return self._data[self._at - count : self._at]

    def _int(self) -> int:
        return int(struct.unpack('<i', self._take(4))[0])

    def _object(self, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise BytecodeError('nested too deeply')
        kind = self._take(1)[0]
        index = None
        if kind & _REFERABLE:
            index = len(self._references)
            self._references.append(None)
        value = self._value(chr(kind & ~_REFERABLE), depth)
        if index is not None:
            self._references[index] = value
        return value

    def _value(self, kind: str, depth: int) -> Any:
        if kind in 'NTF':
            return {'N': None, 'T': True, 'F': False}[kind]
        if kind == 'i':
            return self._int()
        if kind == 'g':
            return struct.unpack('<d', self._take(8))[0]
        if kind == 'f':
            return float(self._take(self._take(1)[0]).decode('ascii'))
        if kind in 'sutaA':
            text = self._take(self._int())
            if kind == 't':
                self._interned.append(text)
            return text
        if kind in 'zZ':
            return self._take(self._take(1)[0])
        if kind == 'r':
            return self._references[self._index(len(self._references))]
        if kind == 'R':
            return self._interned[self._index(len(self._interned))]
        if kind in '()':
            count = self._int() if kind == '(' else self._take(1)[0]
            return tuple(self._object(depth + 1) for _ in range(min(count, MAX_CODE_BYTES)))
        raise BytecodeError(f'a value of type {kind!r}')

    def _index(self, count: int) -> int:
        index = self._int()
        if not 0 <= index < count:
            raise BytecodeError('a reference to nothing')
        return index
