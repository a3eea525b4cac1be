# SPDX-License-Identifier: Apache-2.0
"""Recognises what a saved function does to a frame, by following its bytecode as data.

Keras 1 and 2 save a Lambda layer as a marshalled Python code object. It is never run. Additions,
multiplications and the like of the argument and numbers, slices, and a few functions with known
names are recognised, such as `tf.cast` and `tf.image.resize`. All other code is refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from steering_net.model_io.importers.lambda_bytecode import Instruction, decode
from steering_net.model_io.importers.lambda_marshal import BytecodeError, Code, parse
from steering_net.model_io.importers.resampling import CORNERS, KINDS, OLD

_FORBIDDEN_FLAGS = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200  # *args, **kwargs, generators.


@dataclass(frozen=True)
class Affine:
    """`x * scale + offset`."""

    scale: float
    offset: float


@dataclass(frozen=True)
class Crop:
    """The rows and columns that remain, from and to, as in a slice."""

    rows: tuple[int | None, int | None]
    columns: tuple[int | None, int | None]


@dataclass(frozen=True)
class Resize:
    """Resizing to a height and width; `method` is a key of the samplings of `layers`."""

    height: int
    width: int
    method: str


@dataclass(frozen=True)
class Function:
    """A function of each value, by its name among Keras' activations, or `Arctan`, `Grey`."""

    name: str


@dataclass(frozen=True)
class Clip:
    """Values below `low` become `low`, and those above `high` become `high`."""

    low: float
    high: float


Step: TypeAlias = Affine | Clip | Crop | Resize | Function


@dataclass(frozen=True)
class _Frame:
    """The argument after some steps, and then scaled and shifted."""

    steps: tuple[Step, ...] = ()
    scale: float = 1.0
    offset: float = 0.0

    def after(self, step: Step) -> '_Frame':
        return _Frame((*self.all_steps(), step))

    def all_steps(self) -> tuple[Step, ...]:
        if (self.scale, self.offset) == (1.0, 0.0):
            return self.steps
        return (*self.steps, Affine(self.scale, self.offset))


@dataclass(frozen=True)
class _Named:
    """Something outside of the function, by its name with dots."""

    name: str


_NULL = _Named('')
_IDENTITIES = ('cast', 'to_float', 'convert_to_tensor', 'identity', 'to_int32', 'stop_gradient')
_ACTIVATIONS = ('elu', 'relu', 'relu6', 'selu', 'sigmoid', 'softplus', 'softsign', 'tanh')
_ARITHMETIC = {
    'add': '+', 'subtract': '-', 'sub': '-', 'multiply': '*', 'mul': '*', 'div': '/',
    'divide': '/', 'truediv': '/', 'scalar_mul': '*', 'realdiv': '/',
}  # fmt: skip
_METHODS = {
    # By number, by the name of tf.image.ResizeMethod, and of the functions of TensorFlow 1.
    0: 'bilinear', 1: 'nearest', 2: 'bicubic', 3: 'area', 'nearest_neighbor': 'nearest',
}  # fmt: skip
_OF_TENSORFLOW_1 = {
    'resize_images': '', 'resize_bilinear': 'bilinear', 'resize_area': 'area',
    'resize_nearest_neighbor': 'nearest', 'resize_images_v1': '', 'resize_bicubic': 'bicubic',
}  # fmt: skip


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
    """Follows instructions with a stack of values, in which the argument is a _Frame."""

    def __init__(self, code: Code, defaults: Sequence[Any], closure: Sequence[Any]) -> None:
        count, _, keyword_only = code.arguments
        if count < 1 or keyword_only or count - 1 != len(defaults):
            raise BytecodeError(f'it takes {count + keyword_only} arguments, not only the frame')
        self._code = code
        self._closure = list(closure)
        self._variables: dict[int, Any] = {0: _Frame()}
        self._variables |= dict(enumerate(map(_plain, defaults), 1))
        self._stack: list[Any] = []
        self._names: tuple[str, ...] = ()

    def follow(self, instructions: Sequence[Instruction]) -> tuple[Step, ...]:
        """Return the steps of the frame that is returned."""
        for instruction in instructions[:-1]:
            self._do(instruction.name, instruction.argument)
        if not instructions or instructions[-1].name != 'return' or len(self._stack) != 1:
            raise BytecodeError('it has no end')
        result = self._stack[0]
        if not isinstance(result, _Frame):
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
            push(_plain(self._code.constants[argument]))
        elif name == 'outer':
            push(_plain(self._closure[argument - self._code.cells]))
        elif name == 'global':
            push(_Named(self._name(argument)))
        elif name == 'import':
            self._pop(2)
            push(_Named(self._name(argument)))
        elif name == 'import from':
            push(_Named(f'{self._stack[-1].name}.{self._name(argument)}'))
        elif name == 'attribute':
            push(_attribute(pop(), self._name(argument)))
        elif name == 'null':
            push(_NULL)
        elif name == 'pop':
            pop()
        elif name == 'swap':
            self._stack[-2:] = self._stack[:-3:-1]
        elif name == 'negate':
            push(_combined(0.0, '-', pop()))
        elif name in '+-*/':
            left, right = self._pop(2)
            push(_combined(left, name, right))
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
            self._names = tuple(map(_text, self._code.constants[argument]))
        else:
            self._call(name, argument)

    def _pop(self, count: int) -> list[Any]:
        if count > len(self._stack):
            raise BytecodeError('an operation without operands')
        start = len(self._stack) - count
        taken, self._stack[start:] = self._stack[start:], []
        return taken

    def _name(self, index: int) -> str:
        return _text(self._code.names[index])

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
        self._stack.append(_subscript(value, index))

    def _call(self, name: str, argument: int) -> None:
        """Call a function with a known name; `argument` is the number of its arguments."""
        if name == 'call old':
            # The names are on the stack, before their values.
            pairs = self._pop(2 * (argument >> 8))
            named = {_text(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
            values = self._pop(argument & 0xFF)
        else:
            names: tuple[Any, ...] = self._names
            if name.startswith('call with names'):
                names = self._pop(1)[0]
            values, self._names = self._pop(argument), ()
            split = len(values) - len(names)
            named = dict(zip(map(_text, names), values[split:], strict=True))
            values = values[:split]
        called = self._pop(2 if name.endswith('null') else 1)
        function = next((value for value in called if value != _NULL), _NULL)
        if not isinstance(function, _Named) or not function.name:
            raise BytecodeError('it calls something without a name')
        self._stack.append(_called(function.name, values, named))


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode('utf-8', errors='replace')
    if not isinstance(value, str):
        raise BytecodeError('a name that is no text')
    return value


def _plain(value: Any) -> Any:
    """Return a constant with texts as text and lists as tuples."""
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _attribute(value: Any, name: str) -> _Named:
    if not isinstance(value, _Named):
        raise BytecodeError(f'it uses {name} of the frame')
    return _Named(f'{value.name}.{name}')


def _combined(left: Any, operator: str, right: Any) -> Any:
    """Return the result of an operation on frames and numbers."""
    for value in (left, right):
        if isinstance(value, _Named):
            raise BytecodeError(f'it uses {value.name}, whose value is not in the file')
        if not isinstance(value, _Frame) and not _is_number(value):
            raise BytecodeError(f'it computes with {str(value)[:40]}')
    first, second = (v if isinstance(v, _Frame) else float(v) for v in (left, right))
    if isinstance(first, float) and isinstance(second, float):
        return _of_numbers(first, operator, second)
    if operator in '+-':
        return _sum(first, second if operator == '+' else _scaled(second, -1.0))
    if operator == '*' and isinstance(second, float):
        return _scaled(first, second)
    if operator == '*' and isinstance(first, float):
        return _scaled(second, first)
    if operator == '/' and isinstance(second, float) and second:
        return _scaled(first, 1.0 / second)
    raise BytecodeError('it is not linear in its argument')


def _of_numbers(first: float, operator: str, second: float) -> float:
    if operator == '/' and not second:
        raise BytecodeError('it divides by zero')
    return {
        '+': lambda: first + second,
        '-': lambda: first - second,
        '*': lambda: first * second,
        '/': lambda: first / second,
    }[operator]()


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, float):
        return value * factor
    scaled = replace(value, scale=value.scale * factor, offset=value.offset * factor)
    if not scaled.scale or not math.isfinite(scaled.scale) or not math.isfinite(scaled.offset):
        raise BytecodeError('its result does not depend on its argument')
    return scaled


def _sum(first: Any, second: Any) -> _Frame:
    if isinstance(first, float):
        first, second = second, first
    if isinstance(second, float):
        return _Frame(first.steps, first.scale, first.offset + second)
    if first.steps != second.steps:
        raise BytecodeError('it adds two different images')
    if not first.scale + second.scale:
        raise BytecodeError('its result does not depend on its argument')
    return _Frame(first.steps, first.scale + second.scale, first.offset + second.offset)


def _subscript(value: Any, index: Any) -> Any:
    """Return a part of a frame, x[:, rows, columns, :], or of a tuple of numbers."""
    if isinstance(value, tuple) and isinstance(index, int):
        return value[index]
    if not isinstance(value, _Frame):
        raise BytecodeError('it takes a part of something else than the frame')
    spans = list(index) if isinstance(index, tuple) else [index]
    whole = slice(None)
    spans += [whole] * (4 - len(spans))
    good = len(spans) == 4 and all(
        isinstance(span, slice)
        and span.step in (None, 1)
        and all(end is None or type(end) is int for end in (span.start, span.stop))
        for span in spans
    )
    if not good or any(span.start or span.stop is not None for span in (spans[0], spans[3])):
        raise BytecodeError('it takes other parts of the frame than rows and columns')
    rows, columns = ((span.start, span.stop) for span in spans[1:3])
    return value.after(Crop(rows, columns))


def _called(name: str, values: list[Any], named: dict[str, Any]) -> Any:
    """Return the result of a function with a known name; BytecodeError, naming it, for others."""
    last = name.rpartition('.')[2]
    images = [*values, *named.values()]
    frame = next((value for value in images if isinstance(value, _Frame)), None)
    if frame is None:
        raise BytecodeError(f'it calls {name}')
    if last in _ARITHMETIC and len(values) == 2:
        return _combined(values[0], _ARITHMETIC[last], values[1])
    if last in _IDENTITIES:
        return frame
    if last in _ACTIVATIONS and len(values) == 1 and set(named) <= {'name'}:
        return frame.after(Function(last))
    if last in ('atan', 'arctan') and len(values) == 1:
        return frame.after(Function('Arctan'))
    if last in ('clip', 'clip_by_value'):
        return frame.after(_clip(name, [*values, *named.values()]))
    if last == 'rgb_to_grayscale':
        return frame.after(Function('Grey'))
    if '.image.' in f'.{name}' and (last == 'resize' or last in _OF_TENSORFLOW_1):
        return frame.after(_resize(name, last, values, named))
    raise BytecodeError(f'it calls {name}')


def _clip(name: str, values: Sequence[Any]) -> Clip:
    """Return the clipping of `K.clip(frame, low, high)`."""
    if len(values) != 3 or not all(map(_is_number, values[1:])) or not values[1] < values[2]:
        raise BytecodeError(f'it calls {name} without two limits that are in the file')
    return Clip(float(values[1]), float(values[2]))


def _resize(name: str, last: str, values: list[Any], named: dict[str, Any]) -> Resize:
    """Return the resizing of `tf.image.resize(frame, size, method)`, or of TensorFlow 1."""
    order = ('images', 'size', 'method', 'align_corners')
    given = dict(zip(order, values, strict=False)) | named
    given = {('images' if key == 'image' else key): value for key, value in given.items()}
    size, method = given.get('size'), given.get('method', _OF_TENSORFLOW_1.get(last) or 'bilinear')
    if isinstance(method, _Named):
        method = method.name.rpartition('.')[2].lower()
    method = _METHODS.get(method, method)
    aligned = given.pop('align_corners', False)
    others = {key: value for key, value in given.items() if key not in order}
    if not isinstance(size, tuple) or len(size) != 2 or not all(type(n) is int for n in size):
        raise BytecodeError(f'it calls {name} with a size that is not in the file')
    is_old = last in _OF_TENSORFLOW_1
    if any(others.values()) or method not in KINDS or aligned not in (False, is_old):
        raise BytecodeError(f'it calls {name} with {", ".join(map(str, [method, *others]))}')
    ending = f'{OLD if is_old else ""}{CORNERS if aligned else ""}'
    return Resize(size[0], size[1], f'{method}{ending}')
