# SPDX-License-Identifier: Apache-2.0
"""Calls: how a functional network of Keras 1, 2 or 3 describes what a layer is called with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from steering_net.errors import ModelError
from steering_net.model_io.importers.limits import Json

_MAX_DEPTH = 6


@dataclass(frozen=True)
class Ref:
    """An output of a layer: the name of the layer, the number of the call, that of the output."""

    name: str
    node: int = 0
    tensor: int = 0


@dataclass(frozen=True)
class Call:
    """The arguments of a call: Refs, numbers, texts, slices, None, and lists of these."""

    arguments: tuple[Any, ...]
    named: dict[str, Any] = field(default_factory=dict)


def refs_in(call: Call) -> list[Ref]:
    """Return the outputs of other layers that a call takes, in order."""
    return list(_refs([*call.arguments, *call.named.values()]))


def _refs(values: list[Any]) -> Iterator[Ref]:
    for value in values:
        if isinstance(value, Ref):
            yield value
        elif isinstance(value, list):
            yield from _refs(value)


def read_refs(value: Json) -> list[Ref]:
    """Return the ends of a network: one, a list, or a dictionary of [name, node, tensor]."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return []
    if _is_ref(value):
        return [_ref(value)]
    return [ref for part in value for ref in read_refs(part)]


def read_call(node: Json) -> Call:
    """Return the call of a node as Keras 3 describes it (a dictionary) or Keras 1 and 2 (a list).

    Raises ModelError for other JSON.
    """
    if isinstance(node, dict):
        named = node.get('kwargs')
        return Call(
            tuple(_new(value) for value in node.get('args') or ()),
            {str(key): _new(value) for key, value in named.items()} if named else {},
        )
    if not isinstance(node, list) or not node:
        raise ModelError('a layer has inputs of an unknown kind')
    inputs = [node] if _is_ref(node) or node[0] == '_CONSTANT_VALUE' else node
    return _old_call(inputs)


def _old_call(inputs: list[Json]) -> Call:
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    for part in inputs:
        if not isinstance(part, list) or len(part) < 3:
            raise ModelError('a layer has inputs of an unknown kind')
        arguments.append(part[2] if part[0] == '_CONSTANT_VALUE' else _ref(part))
        if len(part) > 3 and isinstance(part[3], dict):
            named |= {str(key): _old(value) for key, value in part[3].items()}
    return Call((arguments,) if len(arguments) > 1 else tuple(arguments), named)


def _old(value: Json, depth: int = 0) -> Any:
    """Return a named argument of Keras 2."""
    if depth > _MAX_DEPTH:
        raise ModelError('an argument is nested too deeply')
    if isinstance(value, list):
        return _ref(value) if _is_ref(value) else [_old(part, depth + 1) for part in value]
    if isinstance(value, dict) and set(value) == {'start', 'stop', 'step'}:
        return slice(value['start'], value['stop'], value['step'])
    return value


def _new(value: Json, depth: int = 0) -> Any:
    """Return an argument of Keras 3."""
    if depth > _MAX_DEPTH:
        raise ModelError('an argument is nested too deeply')
    if isinstance(value, list):
        return [_new(part, depth + 1) for part in value]
    if isinstance(value, dict):
        kind, inner = value.get('class_name'), value.get('config')
        if kind == '__keras_tensor__' and isinstance(inner, dict):
            return _ref(inner.get('keras_history'))
        if kind in ('__slice__', 'slice') and isinstance(inner, dict):
            return slice(inner.get('start'), inner.get('stop'), inner.get('step'))
        if kind == '__tuple__':
            return _new(value.get('items') or inner or [], depth + 1)
        if kind == '__ellipsis__':
            return ...
    return value


def _is_ref(value: Json) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and value[0] != '_CONSTANT_VALUE'
        and all(isinstance(number, int) for number in value[1:3])
    )


def _ref(value: Json) -> Ref:
    if not _is_ref(value):
        raise ModelError('a layer has inputs of an unknown kind')
    return Ref(value[0], value[1], value[2])
