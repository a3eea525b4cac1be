"""Parameters that are declared once, with everything that a person wants to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from sim_bridge.errors import UsageError


@dataclass(frozen=True)
class Parameter:
    """One parameter: its description ends with the unit; low and high are inclusive."""

    name: str
    default: bool | int | float | str
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = True

    def descriptor(self) -> ParameterDescriptor:
        """The ROS descriptor of this parameter."""
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            read_only=self.read_only,
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


class ParameterError(UsageError):
    """A parameter has a value that it cannot have; the message names it and the fix."""


def declare(node: Node, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Declare all of them and return their values by name.

    Raises ParameterError for a value of the wrong type, out of range or not among the choices.
    """
    return {parameter.name: _declare(node, parameter) for parameter in parameters}


def _declare(node: Node, parameter: Parameter) -> Any:
    try:
        value = node.declare_parameter(
            parameter.name, parameter.default, parameter.descriptor()
        ).value
    except InvalidParameterTypeException as error:
        kind = type(parameter.default).__name__
        hint = ' (write 10.0, not 10)' if kind == 'float' else ''
        raise ParameterError(f'parameter {parameter.name} must be a {kind}{hint}') from error
    except InvalidParameterValueException as error:
        raise ParameterError(
            f'parameter {parameter.name} must be in {parameter.low:g} .. {parameter.high:g}'
        ) from error
    if parameter.choices and value not in parameter.choices:
        raise ParameterError(
            f'parameter {parameter.name} is {value!r}, '
            f'it must be one of {", ".join(parameter.choices)}'
        )
    return value
