# SPDX-License-Identifier: Apache-2.0
"""Decodes the bytecode of a saved function into instructions with names, as data.

Each byte must belong to an instruction of the tables below. Jumps are not among them.

Formats: Lib/opcode.py of CPython 2.7 and 3.4 to 3.13.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from steering_net.model_io.importers.lambda_marshal import BytecodeError, Code


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, the same for all versions, and its argument."""

    name: str
    argument: int = 0


_CLASSIC = {
    1: 'pop', 2: 'swap', 9: 'nop', 11: 'negate', 20: '*', 23: '+', 24: '-', 25: 'subscript',
    27: '/', 29: '/', 55: '+', 56: '-', 57: '*', 83: 'return', 92: 'unpack', 100: 'constant',
    102: 'tuple', 103: 'tuple', 106: 'attribute', 108: 'import', 109: 'import from',
    116: 'global', 124: 'load', 125: 'store', 133: 'slice', 136: 'outer',
}  # fmt: skip
_OPERATORS = {0: '+', 5: '*', 10: '-', 11: '/', 13: '+', 18: '*', 23: '-', 24: '/'}
_FIRST_WITH_ARGUMENT = 90
"""Instructions of the versions with a width of 3 have an argument from this opcode on."""


@dataclass(frozen=True)
class _Version:
    """The instructions of some versions of Python, and the LAYOUTS of their code objects.

    An instruction has `width` bytes; with a `width` of 3, one without an argument has one byte.
    `operator` is the opcode of all operators, if there is only one. After an instruction follow as
    many zero words as `unused` has for its name. `start` are the first bytes of all code.
    """

    layouts: tuple[int, ...]
    width: int
    names: dict[int, str]
    operator: int | None = None
    unused: dict[str, int] = field(default_factory=dict)
    start: int | None = None


_SINCE_3_11 = {
    1: 'pop', 2: 'null', 9: 'nop', 11: 'negate', 25: 'subscript', 83: 'return', 92: 'unpack',
    100: 'constant',
    102: 'tuple', 103: 'tuple', 106: 'attribute', 108: 'import', 109: 'import from', 116: 'global',
    124: 'load', 125: 'store', 133: 'slice', 137: 'outer', 149: 'nop', 171: 'call',
    172: 'names of call',
}  # fmt: skip
_VERSIONS = (
    # 2.7, with another opcode for `/` unless it imports division from __future__; 3.0 to 3.5.
    _Version((2,), 3, _CLASSIC | {
        21: '/', 58: '/', 30: 'slice all', 31: 'slice from', 32: 'slice to', 33: 'slice both',
        131: 'call old',
    }),
    _Version((1,), 3, _CLASSIC | {131: 'call old'}),
    # 3.6 to 3.10
    _Version((0, 1), 2, _CLASSIC | {
        131: 'call', 141: 'call with names', 160: 'attribute', 161: 'call',
    }),
    _Version(
        (3,), 2, _SINCE_3_11 | {160: 'method', 166: 'precall'}, 122,
        {'operator': 1, 'subscript': 4, 'attribute': 4, 'global': 5, 'method': 10, 'call': 4,
         'precall': 1, 'unpack': 1}, 151,
    ),
    # 3.12
    _Version(
        (3,), 2, _SINCE_3_11 | {26: 'slice two', 121: 'return constant', 127: 'load'}, 122,
        {'operator': 1, 'subscript': 1, 'attribute': 9, 'global': 4, 'call': 3, 'unpack': 1}, 151,
    ),
    # 3.13
    _Version(
        (3,), 2, {
            4: 'slice two', 5: 'subscript', 30: 'nop', 32: 'pop', 34: 'null', 36: 'return',
            42: 'negate', 47: 'tuple', 50: 'slice', 52: 'tuple', 53: 'call',
            57: 'call with names', 62: 'nop', 74: 'import from', 75: 'import', 82: 'attribute',
            83: 'constant', 84: 'outer', 85: 'load', 87: 'load', 88: 'load two', 91: 'global',
            103: 'return constant', 110: 'store', 111: 'store and load', 112: 'store two',
            117: 'unpack',
        }, 45,
        {'operator': 1, 'subscript': 1, 'attribute': 9, 'global': 4, 'call': 3, 'unpack': 1}, 149,
    ),
)  # fmt: skip


def decode(code: Code) -> list[list[Instruction]]:
    """Return the instructions, once for each version of Python that the bytecode fits."""
    found = []
    for version in _VERSIONS:
        if code.layout in version.layouts:
            try:
                found.append(list(_instructions(code.bytecode, version)))
            except (BytecodeError, IndexError):
                continue
    return found


def _instructions(data: bytes, version: _Version) -> Iterator[Instruction]:
    at = 0
    started = version.start is None
    while at < len(data):
        opcode = data[at]
        if not started and opcode == version.start:
            started, at = True, at + 2
            continue
        if opcode == version.operator:
            name, key = _OPERATORS.get(data[at + 1], ''), 'operator'
        else:
            name = key = version.names.get(opcode, '')
        if not name:
            raise BytecodeError('another instruction')
        width = version.width if version.width == 2 or opcode >= _FIRST_WITH_ARGUMENT else 1
        argument = int.from_bytes(data[at + 1 : at + width], 'little')
        unused = version.unused.get(key, 0) * 2
        after = at + width + unused
        if any(data[at + width : after]) or after > len(data):
            raise BytecodeError('another version')
        at = after
        yield from _expanded(name, argument, version)
        if name.startswith('return'):
            break
    if at != len(data) or not started:
        raise BytecodeError('code after the end')


def _expanded(name: str, argument: int, version: _Version) -> Iterator[Instruction]:
    """Yield simple instructions for one that may do two things."""
    has_null = version.start is not None
    if name == 'return constant':
        yield from (Instruction('constant', argument), Instruction('return'))
    elif name == 'load two':
        yield from (Instruction('load', argument >> 4), Instruction('load', argument & 15))
    elif name == 'store and load':
        yield from (Instruction('store', argument >> 4), Instruction('load', argument & 15))
    elif name == 'store two':
        yield from (Instruction('store', argument >> 4), Instruction('store', argument & 15))
    elif name == 'global' and has_null:
        yield Instruction('global', argument >> 1)
        if argument & 1:
            yield Instruction('null')
    elif name == 'attribute' and has_null and 'method' not in version.unused:
        yield Instruction('attribute', argument >> 1)
        if argument & 1:
            yield Instruction('null')
    elif name == 'method':
        yield from (Instruction('attribute', argument), Instruction('null'))
    elif name == 'call' and has_null:
        yield Instruction('call with null', argument)
    elif name == 'call with names' and has_null:
        yield Instruction('call with names and null', argument)
    elif name not in ('nop', 'precall'):
        yield Instruction(name, argument)
