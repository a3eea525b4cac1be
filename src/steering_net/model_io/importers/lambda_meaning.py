# SPDX-License-Identifier: Apache-2.0
"""Recognises what a saved function does to a frame, by following its bytecode as data.

Keras 1 and 2 save a Lambda layer as a marshalled Python code object. It is never run. Additions,
multiplications and the like of the argument and numbers, slices, and a few functions with known
names are recognised, such as `tf.cast` and `tf.image.resize`. All other code is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from steering_net.model_io.importers.lambda_bytecode import Instruction, decode
from steering_net.model_io.importers.lambda_marshal import BytecodeError, Code, parse
from steering_net.model_io.importers.lambda_steps import (
    NULL,
    Affine,
    Frame,
    Named,
    Step,
    attribute_of,
    combined,
    plain,
    result_of,
    subscript,
    text_of,
)

_FORBIDDEN_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # *args, **kwargs, generators.


def recognise(
    code: bytes,
    defaults: Sequence[Any] = (),
    closure: Sequence[Any] = (),
    named: Mapping[str, Any] | None = None,
) -> tuple[Step, ...]:
    """Return the steps of a marshalled function of a frame, in order.

    `defaults` are the values of its last arguments, and `closure` those of the variables of the
    enclosing function, as Keras stores them. Raises BytecodeError for any other code.
    """
    reasons: list[BytecodeError] = []
    if named:
        raise BytecodeError(f'it takes arguments of its own: {", ".join(named)}'[:80])
    for parsed in parse(code):
        if parsed.flags & _FORBIDDEN_FLAGS:
            reasons.append(BytecodeError('it takes any number of arguments, or is a generator'))
            continue
        for instructions in decode(parsed):
            try:
                return _Follower(parsed, defaults, closure).follow(instructions)
            except BytecodeError as error:
                reasons.append(error)
            except (IndexError, TypeError, ValueError, OverflowError):
                reasons.append(BytecodeError('its code is broken'))
    raise (
        reasons[0] if reasons else BytecodeError('it does more than arithmetic with its argument')
    )


class _Follower:
    """Follows instructions with a stack of values, in which the argument is a Frame."""

    def __init__(self, code: Code, defaults: Sequence[Any], closure: Sequence[Any]) -> None:
        count, _, keyword_only = code.arguments
        if count < 1 or keyword_only or count - 1 != len(defaults):
            raise BytecodeError(f'it takes {count + keyword_only} arguments, not only the frame')
        self._code = code
        self._closure = list(closure)
        self._variables: dict[int, Any] = {0: Frame()}
        self._variables |= dict(enumerate(map(plain, defaults), 1))
        self._stack: list[Any] = []
        self._names: tuple[str, ...] = ()

    def follow(self, instructions: Sequence[Instruction]) -> tuple[Step, ...]:
        """Return the steps of the frame that is returned."""
        for instruction in instructions[:-1]:
            self._do(instruction.name, instruction.argument)
        if not instructions or instructions[-1].name != 'return' or len(self._stack) != 1:
            raise BytecodeError('it has no end')
        result = self._stack[0]
        if not isinstance(result, Frame):
            raise BytecodeError('its result does not depend on its argument')
        return result.all_steps() or (Affine(1.0, 0.0),)

    def _do(self, name: str, argument: int) -> None:
        push, pop = self._stack.append, self._stack.pop
        if name == 'load':
            if argument not in self._variables:
                raise BytecodeError('a variable without a value')
            push(self._variables[argument])
        elif name == 'store':
            self._variables[argument] = pop()
        elif name == 'constant':
            push(plain(self._code.constants[argument]))
        elif name == 'outer':
            push(plain(self._closure[argument - self._code.cells]))
        elif name == 'global':
            push(Named(self._name(argument)))
        elif name == 'import':
            self._pop(2)
            push(Named(self._name(argument)))
        elif name == 'import from':
            push(Named(f'{self._stack[-1].name}.{self._name(argument)}'))
        elif name == 'attribute':
            push(attribute_of(pop(), self._name(argument)))
        elif name == 'null':
            push(NULL)
        elif name == 'pop':
            pop()
        elif name == 'swap':
            self._stack[-2:] = self._stack[:-3:-1]
        elif name == 'negate':
            push(combined(0.0, '-', pop()))
        elif name in '+-*/':
            left, right = self._pop(2)
            push(combined(left, name, right))
        elif name == 'unpack':
            values = pop()
            if not isinstance(values, tuple) or len(values) != argument:
                raise BytecodeError('it unpacks something else than numbers')
            self._stack += values[::-1]
        elif name == 'tuple':
            push(tuple(self._pop(argument)))
        elif name.startswith(('slice', 'subscript')):
            self._slice(name, argument)
        elif name == 'names of call':
            self._names = tuple(map(text_of, self._code.constants[argument]))
        else:
            self._call(name, argument)

    def _pop(self, count: int) -> list[Any]:
        if count > len(self._stack):
            raise BytecodeError('an operation without operands')
        start = len(self._stack) - count
        taken, self._stack[start:] = self._stack[start:], []
        return taken

    def _name(self, index: int) -> str:
        return text_of(self._code.names[index])

    def _slice(self, name: str, argument: int) -> None:
        if name == 'slice':
            self._stack.append(slice(*self._pop(argument)))
            return
        if name == 'subscript':
            value, index = self._pop(2)
        elif name == 'slice two' or name == 'slice both':
            value, first, last = self._pop(3)
            index = slice(first, last)
        elif name == 'slice all':
            (value,), index = self._pop(1), slice(None)
        else:
            value, end = self._pop(2)
            index = slice(end, None) if name == 'slice from' else slice(None, end)
        self._stack.append(subscript(value, index))

    def _call(self, name: str, argument: int) -> None:
        """Call a function with a known name; `argument` is the number of its arguments."""
        if name == 'call old':
            # The names are on the stack, before their values.
            pairs = self._pop(2 * (argument >> 8))
            keys = map(text_of, pairs[::2])
            named = dict(zip(keys, pairs[1::2], strict=True))
            values = self._pop(argument & 0xFF)
        else:
            names: tuple[Any, ...] = self._names
            if name.startswith('call with names'):
                names = self._pop(1)[0]
            values, self._names = self._pop(argument), ()
            split = len(values) - len(names)
            named = dict(zip(map(text_of, names), values[split:], strict=True))
            values = values[:split]
        called = self._pop(2 if name.endswith('null') else 1)
        function = next((value for value in called if value != NULL), NULL)
        if not isinstance(function, Named) or not function.name:
            raise BytecodeError('it calls something without a name')
        self._stack.append(result_of(function.name, values, named))
