# SPDX-License-Identifier: Apache-2.0
"""Recognises the computation of a saved `lambda x: ...`, by reading its bytecode as data.

Keras 1 and 2 save a Lambda layer as a marshalled Python code object. It is neither unmarshalled
nor run. The few value types of a code object are parsed here. Each byte of the bytecode must
belong to an addition, subtraction, multiplication or division of the only argument and numbers.
Everything else, above all a call, is refused.

Formats: Python/marshal.c and Lib/opcode.py of CPython 2.7 and 3.4 to 3.13.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_CODE_BYTES = 4096
"""A lambda that scales pixels has about 150."""

_MAX_DEPTH = 8
_REFERABLE = 0x80
_FORBIDDEN_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # *args, **kwargs, generators.


class BytecodeError(ValueError):
    """A function that is not `lambda x: x * a + b` or an equal expression."""


@dataclass(frozen=True)
class Affine:
    """The computation of a lambda: `x * scale + offset`."""

    scale: float
    offset: float


@dataclass(frozen=True)
class _Code:
    """The fields of a code object that are used here."""

    arguments: tuple[int, ...]
    flags: int
    bytecode: bytes
    constants: tuple[Any, ...]
    names: tuple[Any, ...]


_LAYOUTS = (
    # The fields between argument count and flags, after the variables' names, and at the end, of
    # Python 3.8 to 3.10, 3.0 to 3.7, 2.7, 3.11 and later.
    ('posonly kwonly nlocals stack', 'free cell file name', 'line lnotab'),
    ('kwonly nlocals stack', 'free cell file name', 'line lnotab'),
    ('nlocals stack', 'free cell file name', 'line lnotab'),
    ('posonly kwonly stack', 'kinds file name qualified', 'line table exceptions'),
)


def recognise(code: bytes) -> Affine:
    """Return the computation of a marshalled `lambda` of one argument.

    Raises BytecodeError for any code but additions, subtractions, multiplications and divisions
    of the argument with finite numbers.
    """
    if len(code) > MAX_CODE_BYTES:
        raise BytecodeError(f'its code has {len(code)} bytes')
    for layout in _LAYOUTS:
        try:
            parsed = _Parser(code).whole_code(layout)
        except (BytecodeError, struct.error, IndexError, UnicodeDecodeError):
            continue
        return _evaluate(parsed)
    raise BytecodeError('its code is of no Python that is known')


class _Parser:
    """Reads the marshal format: a type byte, then the value."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._references: list[Any] = []
        self._interned: list[bytes] = []

    def whole_code(self, layout: tuple[str, str, str]) -> _Code:
        """Return the code object that fills the data exactly."""
        kind = self._take(1)[0]
        if kind & ~_REFERABLE != ord('c'):
            raise BytecodeError('no code object')
        if kind & _REFERABLE:
            self._references.append(None)
        counts, tail, end = (part.split() for part in layout)
        arguments = self._int()
        numbers = {name: self._int() for name in counts}
        flags = self._int()
        bytecode, constants, names, _variables = (self._object() for _ in range(4))
        for _ in tail:
            self._object()
        self._int()
        for _ in end[1:]:
            self._object()
        if self._at != len(self._data):
            raise BytecodeError('trailing bytes')
        if not isinstance(bytecode, bytes) or not isinstance(constants, tuple):
            raise BytecodeError('no code object')
        extra = tuple(numbers.get(name, 0) for name in ('posonly', 'kwonly'))
        return _Code((arguments, *extra), flags, bytecode, constants, names)

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


@dataclass(frozen=True)
class _Opcodes:
    """Opcodes of some versions of Python.

    An instruction has `width` bytes; with a `width` of 3, one without an argument has one byte.
    `binary` is the opcode of all operators, if there is only one; two zero bytes follow it.
    """

    width: int
    argument: int
    constant: int
    end: int
    operators: dict[int, str]
    start: bytes = b''
    binary: int | None = None


_OLD_OPERATORS = {0x14: '*', 0x17: '+', 0x18: '-', 0x1B: '/'}
_NEW_OPERATORS = {0: '+', 5: '*', 10: '-', 11: '/'}
_VERSIONS = (
    # 2.7, with another opcode for `/` unless it imports division from __future__; 3.0 to 3.5.
    _Opcodes(3, 0x7C, 0x64, 0x53, _OLD_OPERATORS | {0x15: '/'}),
    _Opcodes(2, 0x7C, 0x64, 0x53, _OLD_OPERATORS),  # 3.6 to 3.10
    _Opcodes(2, 0x7C, 0x64, 0x53, _NEW_OPERATORS, b'\x97\x00', 0x7A),  # 3.11, 3.12
    _Opcodes(2, 0x55, 0x53, 0x24, _NEW_OPERATORS, b'\x95\x00', 0x2D),  # 3.13
)


def _evaluate(code: _Code) -> Affine:
    if code.arguments != (1, 0, 0) or code.flags & _FORBIDDEN_FLAGS or code.names != ():
        raise BytecodeError('it does more than arithmetic with its argument')
    for opcodes in _VERSIONS:
        try:
            steps = list(_steps(code, opcodes))
        except (BytecodeError, IndexError):
            continue
        return _compute(steps)
    raise BytecodeError('it does more than arithmetic with its argument')


def _steps(code: _Code, opcodes: _Opcodes) -> Iterator[str | float]:
    """Yield all of the code as reverse Polish notation: 'x', numbers, operators.

    Raises BytecodeError or IndexError where the code is not of this version.
    """
    data, at = code.bytecode, len(opcodes.start)
    if not data.startswith(opcodes.start):
        raise BytecodeError('another version')
    while at < len(data):
        opcode = data[at]
        if opcode == opcodes.end:
            if data[at:] != bytes([opcode]) + bytes(opcodes.width == 2):
                raise BytecodeError('code after the end')
            return
        if opcode in (opcodes.argument, opcodes.constant):
            value = int.from_bytes(data[at + 1 : at + opcodes.width], 'little')
            at += opcodes.width
            yield _operand(code, opcode == opcodes.constant, value)
        elif opcodes.binary is not None:
            if opcode != opcodes.binary or data[at + 2 : at + 4] != b'\0\0':
                raise BytecodeError('another instruction')
            yield _operator(opcodes, data[at + 1])
            at += 4
        else:
            yield _operator(opcodes, opcode)
            if opcodes.width == 2 and data[at + 1]:
                raise BytecodeError('another instruction')
            at += 1 if opcodes.width == 3 else 2
    raise BytecodeError('no end')


def _operand(code: _Code, is_constant: bool, index: int) -> str | float:
    if not is_constant:
        if index:
            raise BytecodeError('another variable')
        return 'x'
    value = code.constants[index]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BytecodeError('a constant that is no number')
    return float(value)


def _operator(opcodes: _Opcodes, opcode: int) -> str:
    try:
        return opcodes.operators[opcode]
    except KeyError:
        raise BytecodeError('another instruction') from None


def _compute(steps: list[str | float]) -> Affine:
    stack: list[Affine] = []
    for step in steps:
        if step == 'x':
            stack.append(Affine(1.0, 0.0))
        elif isinstance(step, float):
            stack.append(Affine(0.0, step))
        elif len(stack) < 2:
            raise BytecodeError('an operator without operands')
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(_combine(left, step, right))
    if len(stack) != 1:
        raise BytecodeError('operands without an operator')
    result = stack[0]
    if not (math.isfinite(result.scale) and math.isfinite(result.offset) and result.scale):
        raise BytecodeError('its result does not depend on its argument')
    return result


def _combine(left: Affine, operator: str, right: Affine) -> Affine:
    if operator in '+-':
        sign = 1.0 if operator == '+' else -1.0
        return Affine(left.scale + sign * right.scale, left.offset + sign * right.offset)
    if operator == '*' and not right.scale:
        return Affine(left.scale * right.offset, left.offset * right.offset)
    if operator == '*' and not left.scale:
        return Affine(left.offset * right.scale, left.offset * right.offset)
    if operator == '/' and not right.scale and right.offset:
        return Affine(left.scale / right.offset, left.offset / right.offset)
    raise BytecodeError('it is not linear in its argument')
