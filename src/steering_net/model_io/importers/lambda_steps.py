# SPDX-License-Identifier: Apache-2.0
"""Steps of a saved function: what operations and functions with known names make of a frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from steering_net.model_io.importers.lambda_marshal import BytecodeError
from steering_net.model_io.importers.resampling import CORNERS, KINDS, OLD


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
    """Resizing to a height and width; `method` as `Chain.resize` takes it."""

    height: int
    width: int
    method: str


@dataclass(frozen=True)
class Function:
    """A function of each pixel: an activation of Keras, or `Arctan`, `Grey`, `Hsv`."""

    name: str


@dataclass(frozen=True)
class Clip:
    """Values below `low` become `low`, and those above `high` become `high`."""

    low: float
    high: float


Step: TypeAlias = Affine | Clip | Crop | Resize | Function


@dataclass(frozen=True)
class Frame:
    """The argument after some steps, and then scaled and shifted."""

    steps: tuple[Step, ...] = ()
    scale: float = 1.0
    offset: float = 0.0

    def after(self, step: Step) -> 'Frame':
        """Return the argument after one step more."""
        return Frame((*self.all_steps(), step))

    def all_steps(self) -> tuple[Step, ...]:
        """Return all steps, the scale and the offset among them."""
        if (self.scale, self.offset) == (1.0, 0.0):
            return self.steps
        return (*self.steps, Affine(self.scale, self.offset))


@dataclass(frozen=True)
class Named:
    """Something outside of the function, by its name with dots."""

    name: str


NULL = Named('')
_IDENTITIES = ('cast', 'to_float', 'convert_to_tensor', 'identity', 'to_int32', 'stop_gradient')
_ACTIVATIONS = ('elu', 'relu', 'relu6', 'selu', 'sigmoid', 'softplus', 'softsign', 'tanh')
_ARITHMETIC = {
    'add': '+', 'subtract': '-', 'sub': '-', 'multiply': '*', 'mul': '*', 'div': '/',
    'divide': '/', 'truediv': '/', 'scalar_mul': '*', 'realdiv': '/',
}  # fmt: skip
_COLOURS = {'rgb_to_grayscale': 'Grey', 'rgb_to_hsv': 'Hsv'}
_METHODS = {
    # By number, by the name of tf.image.ResizeMethod, and of the functions of TensorFlow 1.
    0: 'bilinear', 1: 'nearest', 2: 'bicubic', 3: 'area', 'nearest_neighbor': 'nearest',
}  # fmt: skip
_OF_TENSORFLOW_1 = {
    'resize_images': '', 'resize_bilinear': 'bilinear', 'resize_area': 'area',
    'resize_nearest_neighbor': 'nearest', 'resize_images_v1': '', 'resize_bicubic': 'bicubic',
}  # fmt: skip


def text_of(value: Any) -> str:
    """Return a name, which Python 2 stored as bytes; BytecodeError for what is none."""
    if isinstance(value, bytes):
        return value.decode('utf-8', errors='replace')
    if not isinstance(value, str):
        raise BytecodeError('a name that is not text')
    return value


def plain(value: Any) -> Any:
    """Return a constant with texts as text and lists as tuples."""
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def attribute_of(value: Any, name: str) -> Named:
    """Return what a name with one more part stands for; BytecodeError for parts of the frame."""
    if not isinstance(value, Named):
        raise BytecodeError(f'it uses {name} of the frame')
    return Named(f'{value.name}.{name}')


def combined(left: Any, operator: str, right: Any) -> Any:
    """Return the result of an operation on frames and numbers."""
    for value in (left, right):
        if isinstance(value, Named):
            raise BytecodeError(f'it uses {value.name}, whose value is not in the file')
        if not isinstance(value, Frame) and not _is_number(value):
            raise BytecodeError(f'it computes with {str(value)[:40]}')
    first, second = (v if isinstance(v, Frame) else float(v) for v in (left, right))
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


def _sum(first: Any, second: Any) -> Frame:
    if isinstance(first, float):
        first, second = second, first
    if isinstance(second, float):
        return Frame(first.steps, first.scale, first.offset + second)
    if first.steps != second.steps:
        raise BytecodeError('it adds two different images')
    if not first.scale + second.scale:
        raise BytecodeError('its result does not depend on its argument')
    return Frame(first.steps, first.scale + second.scale, first.offset + second.offset)


def subscript(value: Any, index: Any) -> Any:
    """Return a part of a frame, x[:, rows, columns, :], or of a tuple of numbers."""
    if isinstance(value, tuple) and isinstance(index, int):
        return value[index]
    if not isinstance(value, Frame):
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


def result_of(name: str, values: list[Any], named: dict[str, Any]) -> Any:
    """Return the result of a function with a known name; BytecodeError, naming it, for others."""
    last = name.rpartition('.')[2]
    images = [*values, *named.values()]
    frame = next((value for value in images if isinstance(value, Frame)), None)
    if frame is None:
        raise BytecodeError(f'it calls {name}')
    if last in _ARITHMETIC and len(values) == 2:
        return combined(values[0], _ARITHMETIC[last], values[1])
    if last in _IDENTITIES:
        return frame
    if last in _ACTIVATIONS and len(values) == 1 and set(named) <= {'name'}:
        return frame.after(Function(last))
    if last in ('atan', 'arctan') and len(values) == 1:
        return frame.after(Function('Arctan'))
    if last in ('clip', 'clip_by_value'):
        return frame.after(_clip(name, [*values, *named.values()]))
    if last in _COLOURS:
        return frame.after(Function(_COLOURS[last]))
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
    if isinstance(method, Named):
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
