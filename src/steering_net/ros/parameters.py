# SPDX-License-Identifier: Apache-2.0
"""Parameter: the description of a ROS parameter, and how a node declares it and gets its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

_KINDS = {
    bool: 'true or false',
    int: 'a whole number',
    float: 'a float (write 10.0, not 10)',
    str: 'a text',
}


@dataclass(frozen=True)
class Parameter:
    """A parameter with default, description (with unit), range (inclusive) and choices.

    `read_only` means that it cannot be changed while the node runs.
    """

    name: str
    default: bool | int | float | str
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = True

    def descriptor(self) -> ParameterDescriptor:
        """Return the ROS descriptor."""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            read_only=self.read_only,
            dynamic_typing='off' in self.choices,
            additional_constraints=f'one of {", ".join(self.choices)}' if self.choices else '',
        )
        if self.low is None or self.high is None:
            return descriptor
        if isinstance(self.default, int):
            bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high), step=0)
            descriptor.integer_range = [bounds]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(self.low), to_value=float(self.high), step=0.0)
            ]
        return descriptor

    def check_choice(self, value: object) -> None:
        """Raise ParameterError if the value is not among the choices."""
        if self.choices and value not in self.choices:
            raise ParameterError(
                f'parameter {self.name} is {value!r}, it must be one of {", ".join(self.choices)}'
            )


class ParameterError(ValueError):
    """A value that a parameter cannot have; the message names both and what is allowed."""


def declare(node: Node, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Declare parameters and return their values by name.

    Raises ParameterError for a value of the wrong type, out of range or not among the choices.
    """
    return {parameter.name: _declare(node, parameter) for parameter in parameters}


def on_change(
    node: Node, parameters: Sequence[Parameter], change: Callable[[dict[str, Any]], None]
) -> None:
    """Call `change` with the new values by name whenever some of these parameters are set.

    Types, ranges and choices are checked before. A ValueError that `change` raises refuses the
    request, with its message as the reason. Read-only parameters never come.
    """
    known = {parameter.name: parameter for parameter in parameters}

    def on_set(requested: list[RosParameter]) -> SetParametersResult:
        changed = {one.name: one.value for one in requested if one.name in known}
        try:
            for name, value in changed.items():
                known[name].check_choice(value)
            if changed:
                change(changed)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)


def _declare(node: Node, parameter: Parameter) -> Any:
    try:
        value = node.declare_parameter(
            parameter.name, parameter.default, parameter.descriptor()
        ).value
    except InvalidParameterTypeException as error:
        kind = _KINDS[type(parameter.default)]
        raise ParameterError(f'parameter {parameter.name} must be {kind}') from error
    except InvalidParameterValueException as error:
        raise ParameterError(
            f'parameter {parameter.name} must be in {parameter.low:g} .. {parameter.high:g}'
        ) from error
    if value is False and 'off' in parameter.choices:
        value = 'off'  # YAML reads the bare word as false.
    parameter.check_choice(value)
    return value
